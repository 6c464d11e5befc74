"""The operating system's name and the architecture it was built for."""

import platform
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from profiles.machine import Fact
from profiles.probes.reading import fact_or_unknown, read_if_there
from profiles.world import NotRecorded, World

_LINE: Final = re.compile(r"""^(\w+)=["']?(.*?)["']?$""", re.MULTILINE)


class System(msgspec.Struct, frozen=True, kw_only=True):
    """What runs on the machine."""

    operating_system: Fact[str]
    architecture: Fact[str]


class PlatformNames(msgspec.Struct, frozen=True):
    """What Python's platform module says."""

    kernel: str
    version: str
    architecture: str


def read(world: World) -> System:
    """Ask the platform, and os-release for the name of a Linux distribution."""
    texts = (read_if_there(world, path) for path in ("/etc/os-release", "/usr/lib/os-release"))
    release = dict(_LINE.findall(next((text for text in texts if text), "")))
    try:
        names = world.ask("platform", gather, PlatformNames)
    except NotRecorded:
        names = PlatformNames("", "", "")
    return parse(release, names.kernel, names.version, names.architecture)


def gather() -> PlatformNames:
    """Ask Python."""
    return PlatformNames(platform.system(), platform.mac_ver()[0] or platform.release(), platform.machine())


def parse(release: Mapping[str, str], kernel: str, version: str, architecture: str) -> System:
    """Name the system as its makers do: the distribution on Linux, name and version elsewhere."""
    names = {"Darwin": "macOS"}
    pretty = release.get("PRETTY_NAME")
    plain = f"{names.get(kernel, kernel)} {version}".strip() or None
    return System(
        operating_system=Fact(pretty, "os-release")
        if pretty
        else fact_or_unknown(plain, "platform.system", "the platform does not name its operating system"),
        architecture=fact_or_unknown(
            architecture or None, "platform.machine", "the platform does not name its architecture"
        ),
    )
