"""Host memory: /proc/meminfo on Linux, psutil elsewhere. Limits on it are read by other probes."""

import re

from profiles.machine import Fact, Memory, Provenance
from profiles.probes.reading import Roots, read_if_there, unknown_fact

_FORMULA = "MemFree + Active(file) + Inactive(file)"
_LINE = re.compile(r"^([^:\n]+):\s+(\d+) kB$", re.MULTILINE)


def read(roots: Roots) -> Memory:
    """Read the host's memory."""
    text = read_if_there(roots.proc / "meminfo")
    return parse_meminfo(text) if text is not None else _read_portable()


def parse_meminfo(text: str, source: str = "/proc/meminfo") -> Memory:
    """Take total, available and swap from /proc/meminfo. A missing or garbled line is Unknown, not zero."""
    values = _bytes_by_name(text)
    return Memory(
        total_bytes=_entry(values, "MemTotal", source),
        available_bytes=_available(values, source),
        swap_total_bytes=_entry(values, "SwapTotal", source),
    )


def _bytes_by_name(text: str) -> dict[str, int]:
    """Read the lines "Name:  123 kB"; the kernel's kB are 1024 bytes. Lines of another form are left out."""
    return {name: int(number) * 1024 for name, number in _LINE.findall(text)}


def _entry(values: dict[str, int], name: str, source: str) -> Fact[int]:
    """Give one line as a fact."""
    if name in values:
        return Fact(values[name], f"{source} {name}")
    return unknown_fact(f"{source} has no readable line {name}", f"{source} {name}")


def _available(values: dict[str, int], source: str) -> Fact[int]:
    """Give MemAvailable, never above the total: inside some containers the host's value shines through."""
    total = values.get("MemTotal")
    ceiling = total if total is not None else max(values.values(), default=0)
    if "MemAvailable" in values:
        return Fact(min(values["MemAvailable"], ceiling), f"{source} MemAvailable")
    if "MemFree" in values:
        # Kernels before 3.14 have no MemAvailable; theirs is this sum less a small watermark.
        cache = values.get("Active(file)", 0) + values.get("Inactive(file)", 0)
        return Fact(min(values["MemFree"] + cache, ceiling), f"{source} {_FORMULA}", Provenance.ESTIMATED)
    return _entry(values, "MemAvailable", source)


def _read_portable() -> Memory:
    """Ask psutil, which knows every platform."""
    import psutil

    virtual = psutil.virtual_memory()
    return Memory(
        total_bytes=Fact(virtual.total, "psutil.virtual_memory"),
        available_bytes=Fact(virtual.available, "psutil.virtual_memory"),
        swap_total_bytes=Fact(psutil.swap_memory().total, "psutil.swap_memory"),
    )
