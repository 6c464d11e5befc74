"""Host memory: /proc/meminfo on Linux, sysctl and vm_stat on macOS, psutil elsewhere. Other probes read the limits."""

import re
from typing import Final

import msgspec

from profiles.machine import Fact, Memory, NumaNode, Provenance
from profiles.probes import apple, numa
from profiles.probes.memory_lines import SOURCE, available, bytes_by_name, entry
from profiles.probes.reading import fact_or_unknown, line_of, read_if_there, unknown_fact
from profiles.world import NotRecorded, World

_COUNT: Final = re.compile(r"^HugePages_Total:\s+(\d+)$", re.MULTILINE)
_PRESSURE: Final = re.compile(r"^some avg10=([0-9.]+)", re.MULTILINE)
_PRESSURE_FILE: Final = "/proc/pressure/memory"


class PsutilMemory(msgspec.Struct, frozen=True):
    """What psutil says, on any platform."""

    total_bytes: int
    available_bytes: int
    swap_total_bytes: int


def read(world: World) -> Memory:
    """Read the host's memory."""
    text = read_if_there(world, "/proc/meminfo")
    if text is not None:
        return _with_nodes(parse_meminfo(text), numa.read(world), _pressure(world))
    try:
        return parse_psutil(world.ask("psutil memory", gather, PsutilMemory))
    except NotRecorded:
        if world.platform == "darwin":
            return parse_sysctl(apple.sysctl(world))
        raise


def gather() -> PsutilMemory:
    """Ask psutil, which knows every platform."""
    import psutil

    virtual = psutil.virtual_memory()
    return PsutilMemory(virtual.total, virtual.available, psutil.swap_memory().total)


def parse_psutil(found: PsutilMemory) -> Memory:
    """Take psutil's figures over."""
    return Memory(
        total_bytes=Fact(found.total_bytes, "psutil.virtual_memory"),
        available_bytes=Fact(found.available_bytes, "psutil.virtual_memory"),
        swap_total_bytes=Fact(found.swap_total_bytes, "psutil.swap_memory"),
    )


def parse_sysctl(values: dict[str, str]) -> Memory:
    """Take the one figure that sysctl has."""
    total = values.get("hw.memsize", "")
    missing = unknown_fact("sysctl does not report what is in use", "sysctl")
    return Memory(
        total_bytes=fact_or_unknown(int(total) if total.isdecimal() else None, "sysctl hw.memsize", "no such line"),
        available_bytes=missing,
        swap_total_bytes=missing,
    )


def parse_meminfo(text: str, source: str = SOURCE) -> Memory:
    """Take total, available and swap from /proc/meminfo. A missing or garbled line is Unknown, not zero."""
    values = bytes_by_name(text)
    return Memory(
        total_bytes=entry(values, "MemTotal", source),
        available_bytes=available(values, source),
        swap_total_bytes=entry(values, "SwapTotal", source),
        huge_pages_bytes=_huge_pages(text, values, source),
    )


def _huge_pages(text: str, values: dict[str, int], source: str) -> Fact[int]:
    """Give what is set aside for huge pages. MemAvailable leaves it out already."""
    count, size = _COUNT.search(text), values.get("Hugepagesize")
    if count is None or size is None:
        return unknown_fact("the kernel does not report huge pages", f"{source} HugePages_Total")
    return Fact(int(count[1]) * size, f"{source} HugePages_Total x Hugepagesize")


def _pressure(world: World) -> Fact[float]:
    """Read how long tasks waited for memory of late."""
    found = _PRESSURE.search(line_of(world, _PRESSURE_FILE))
    return fact_or_unknown(float(found[1]) if found else None, _PRESSURE_FILE, "the kernel does not count it")


def _with_nodes(memory: Memory, nodes: Fact[tuple[NumaNode, ...]], pressure: Fact[float]) -> Memory:
    """Add the nodes, and take off a GPU's own memory where the kernel counts it as the host's."""
    whole = msgspec.structs.replace(memory, numa_nodes=nodes, pressure_percent=pressure)
    foreign = sum(node.total_bytes for node in nodes.known or () if node.is_device_memory)
    total, free = memory.total_bytes.known, memory.available_bytes.known
    if not foreign or total is None or free is None:
        return whole
    formula = "/proc/meminfo less the nodes that are a GPU's memory"
    left = max(0, total - foreign)
    return msgspec.structs.replace(
        whole,
        total_bytes=Fact(left, formula, Provenance.ESTIMATED),
        # A GPU's memory is taken to be all available, so that the host's own is never counted too high.
        available_bytes=Fact(max(0, min(left, free - foreign)), formula, Provenance.ESTIMATED),
    )
