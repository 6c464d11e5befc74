"""The operating system's name and the architecture it was built for."""

import platform
from collections.abc import Mapping

import msgspec

from profiles.machine import Fact
from profiles.probes.reading import fact_or_unknown


class System(msgspec.Struct, frozen=True, kw_only=True):
    """What runs on the machine."""

    operating_system: Fact[str]
    architecture: Fact[str]


def read() -> System:
    """Ask the platform, and os-release for the name of a Linux distribution."""
    try:
        release: Mapping[str, str] = platform.freedesktop_os_release()
    except OSError:
        release = {}
    return parse(release, platform.system(), platform.mac_ver()[0] or platform.release(), platform.machine())


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
