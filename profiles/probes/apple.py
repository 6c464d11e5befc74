"""Apple: sysctl for the memory and its limits, system_profiler for the GPU.

The GPU works in the host's memory, up to a working set that Metal recommends. Only the engine can ask Metal for it;
until then it is estimated by the rule that Metal has followed on every machine whose figure was published.
"""

import json
import re
from typing import Any, Final

from profiles.machine import Accelerator, Fact, Provenance
from profiles.probes.reading import output_of, unknown_fact
from profiles.world import CommandFailed, NotRecorded, World

SYSCTL: Final = ("sysctl", "hw", "machdep.cpu")
WIRED_LIMIT: Final = ("sysctl", "iogpu.wired_limit_mb")
DISPLAYS: Final = ("system_profiler", "SPDisplaysDataType", "-json")
MIB: Final = 1 << 20
GIB: Final = 1 << 30
_SMALL_BYTES: Final = 32 * GIB
"""Up to here the default is two thirds of the memory, above it three quarters.

Published: 10.67 of 16, 21.33 of 32, 96 of 128 GiB. M5 Max gives 107.5 of 128: the rule is then on the safe side.
"""
_FORMULA: Final = "Metal's default working set: 2/3 of the memory up to 32 GiB, 3/4 above"


def sysctl(world: World) -> dict[str, str]:
    """Read the lines "hw.physicalcpu: 8"."""
    return parse_lines(output_of(world, SYSCTL))


def parse_lines(text: str) -> dict[str, str]:
    """Split "name: value" or "name = value" lines; macOS has both."""
    return dict(re.findall(r"^([\w.]+)(?: =|:) ?(.*?)\s*$", text, re.MULTILINE))


def read(world: World) -> Fact[tuple[Accelerator, ...]]:
    """Read Apple's GPU. Other systems have none; Intel Macs have AMD and Intel GPUs that Metal sees as well."""
    if world.platform != "darwin":
        return Fact((), "platform")
    memory = _memory(world)
    try:
        displays = output_of(world, DISPLAYS)
    except CommandFailed as error:
        return unknown_fact(str(error), DISPLAYS[0])
    return parse(displays, memory, _wired_limit(world))


def _memory(world: World) -> int | None:
    """Give the installed memory."""
    try:
        size = sysctl(world).get("hw.memsize", "")
    except (CommandFailed, NotRecorded):
        return None
    return int(size) if size.isdecimal() else None


def _wired_limit(world: World) -> int:
    """Give the limit that an administrator has set, in MiB; 0 stands for the default."""
    try:
        value = parse_lines(output_of(world, WIRED_LIMIT)).get("iogpu.wired_limit_mb", "0")
    except (CommandFailed, NotRecorded):
        return 0
    return int(value) if value.isdecimal() else 0


def parse(displays: str, memory_bytes: int | None, wired_limit_mib: int) -> Fact[tuple[Accelerator, ...]]:
    """Turn system_profiler's JSON into devices. A log line may stand before it."""
    try:
        listed = json.loads(displays[displays.index("{") :])["SPDisplaysDataType"]
        names = [name for name in map(_name, listed) if name]
    except (ValueError, KeyError, TypeError, AttributeError):
        return unknown_fact("system_profiler's answer cannot be understood", DISPLAYS[0])
    apple = [name for name in names if name.startswith("Apple")]
    return Fact(tuple(_accelerator(name, memory_bytes, wired_limit_mib) for name in apple), DISPLAYS[0])


def _name(entry: Any) -> str | None:
    """Name a device by its model: its own name may be an internal one."""
    model = entry.get("sppci_model")
    return str(model) if model else None


def _accelerator(name: str, memory_bytes: int | None, wired_limit_mib: int) -> Accelerator:
    """Describe the GPU of an Apple chip."""
    working_set = working_set_of(memory_bytes, wired_limit_mib)
    return Accelerator(
        name=f"{name} GPU",
        vendor="apple",
        memory_kind="unified",
        total_bytes=working_set,
        free_bytes=working_set,
        driver_version=unknown_fact("Metal comes with the system and has no version of its own", DISPLAYS[0]),
        compute_capability=unknown_fact("Apple's GPUs have none", DISPLAYS[0]),
        own_bytes=Fact(0, "the GPU has no memory of its own"),
        own_free_bytes=Fact(0, "the GPU has no memory of its own"),
    )


def working_set_of(memory_bytes: int | None, wired_limit_mib: int) -> Fact[int]:
    """Give what Metal lets a model take: the set limit, or the default's estimate."""
    if wired_limit_mib:
        return Fact(wired_limit_mib * MIB, "sysctl iogpu.wired_limit_mb")
    if memory_bytes is None:
        return unknown_fact("sysctl does not report the size of the memory", "sysctl hw.memsize")
    share = memory_bytes * 2 // 3 if memory_bytes <= _SMALL_BYTES else memory_bytes * 3 // 4
    return Fact(share, _FORMULA, Provenance.ESTIMATED)
