"""The lines of /proc/meminfo."""

import re
from typing import Final

from profiles.machine import Fact, Provenance
from profiles.probes.reading import unknown_fact

_FORMULA: Final = "MemFree + Active(file) + Inactive(file)"
_LINE: Final = re.compile(r"^([^:\n]+):\s+(\d+) kB$", re.MULTILINE)
SOURCE: Final = "/proc/meminfo"


def bytes_by_name(text: str) -> dict[str, int]:
    """Read the lines "Name:  123 kB"; the kernel's kB are 1024 bytes. Lines of another form are left out."""
    return {name: int(number) * 1024 for name, number in _LINE.findall(text)}


def entry(values: dict[str, int], name: str, source: str) -> Fact[int]:
    """Give one line as a fact."""
    if name in values:
        return Fact(values[name], f"{source} {name}")
    return unknown_fact(f"{source} has no readable line {name}", f"{source} {name}")


def available(values: dict[str, int], source: str) -> Fact[int]:
    """Give MemAvailable, never above the total: inside some containers the host's value shines through."""
    total = values.get("MemTotal")
    ceiling = total if total is not None else max(values.values(), default=0)
    if "MemAvailable" in values:
        return Fact(min(values["MemAvailable"], ceiling), f"{source} MemAvailable")
    if "MemFree" in values:
        # Kernels before 3.14 have no MemAvailable; theirs is this sum less a small watermark.
        cache = values.get("Active(file)", 0) + values.get("Inactive(file)", 0)
        return Fact(min(values["MemFree"] + cache, ceiling), f"{source} {_FORMULA}", Provenance.ESTIMATED)
    return entry(values, "MemAvailable", source)


def host_memory(text: str | None) -> tuple[Fact[int], Fact[int]]:
    """Give total and available of the host, for a device that shares its memory."""
    if text is None:
        missing = unknown_fact("the host's memory, which the device shares, cannot be read", SOURCE)
        return missing, missing
    values = bytes_by_name(text)
    return entry(values, "MemTotal", SOURCE), available(values, SOURCE)
