"""Limits on the memory of one process that `ulimit` sets."""

import re
from collections.abc import Mapping

import msgspec

from profiles.machine import Fact, MemoryLimit
from profiles.probes.reading import fact_or_unknown, read_if_there
from profiles.world import NotRecorded, World


class _Kind(msgspec.Struct, frozen=True):
    """One kind of limit, and the line of /proc/self/status that counts against it."""

    resource: str
    name: str
    used: str


_LINE = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)

_KINDS = (
    _Kind("RLIMIT_AS", "ulimit -v (address space)", "VmSize"),
    _Kind("RLIMIT_DATA", "ulimit -d (data)", "VmData"),
)


def memory_limits(world: World) -> tuple[MemoryLimit, ...]:
    """Read the limits of this process, which its children inherit. A fragment of a machine is taken to have none."""
    try:
        finite = world.ask("resource limits", gather, dict[str, int])
    except NotRecorded:
        return ()
    return parse(finite, read_if_there(world, "/proc/self/status")) if finite else ()


def gather() -> dict[str, int]:
    """Ask the kernel for the limits that are finite. Windows has none."""
    try:
        import resource
    except ImportError:
        return {}
    limits = {kind.resource: resource.getrlimit(getattr(resource, kind.resource))[0] for kind in _KINDS}
    return {name: value for name, value in limits.items() if value != resource.RLIM_INFINITY}


def parse(limits: Mapping[str, int], status: str | None) -> tuple[MemoryLimit, ...]:
    """Set the finite limits against what this process uses already."""
    used = _used_bytes(status or "")
    return tuple(_limit(kind, limits[kind.resource], used) for kind in _KINDS if kind.resource in limits)


def _limit(kind: _Kind, limit_bytes: int, used: Mapping[str, int]) -> MemoryLimit:
    """Describe one limit and what it leaves."""
    left = max(0, limit_bytes - used[kind.used]) if kind.used in used else None
    source = f"resource.{kind.resource}"
    return MemoryLimit(
        name=kind.name,
        limit_bytes=Fact(limit_bytes, source),
        available_bytes=fact_or_unknown(
            left, f"{source} - {kind.used} of /proc/self/status", "what this process uses already cannot be read"
        ),
    )


def _used_bytes(status: str) -> dict[str, int]:
    """Read the lines "VmSize:   1234 kB" of /proc/self/status."""
    return {name: int(number) * 1024 for name, number in _LINE.findall(status)}
