"""Control groups, versions 1 and 2: the limits that containers, pods and services live under.

A limit may stand at any level between this process's own group and the root that it can see, so every level is
read. Page cache counts as used in a group but is given back under pressure, so it is counted as available.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

import msgspec

from profiles.machine import CpuLimit, Fact, MemoryLimit
from profiles.probes.reading import fact_or_unknown, read_if_there, unknown_fact
from profiles.world import World

NAME = "control group"
V2 = "v2"
"""Stands for the one hierarchy of version 2 among the controllers of version 1."""

_NO_LIMIT_BYTES = 1 << 62
"""Version 1 writes the largest page-aligned number, which differs by page size, for "no limit"."""
_DEFAULT_PERIOD_US = 100_000
_MOUNT = re.compile(r"^\S+ \S+ \S+ (\S+) (\S+) .*? - (cgroup2?) \S+ (\S+)$", re.MULTILINE)
"""A line of mountinfo: mounted group, mount point, kind, options."""


class Mount(msgspec.Struct, frozen=True):
    """One mounted hierarchy: which group is mounted, and where."""

    root: str
    point: str


class _MemoryFiles(msgspec.Struct, frozen=True):
    """The names of one version's files and of the page cache's lines in memory.stat."""

    limits: tuple[str, ...]
    usage: str
    cache: tuple[str, ...]


_MEMORY_FILES = {
    # Above memory.high the kernel slows a group down and reclaims: no place for a model.
    V2: _MemoryFiles(("memory.max", "memory.high"), "memory.current", ("inactive_file", "active_file")),
    "memory": _MemoryFiles(
        ("memory.limit_in_bytes",), "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")
    ),
}


def memory_limits(world: World) -> tuple[MemoryLimit, ...]:
    """Read the memory limit of every level that has one, this process's own level first."""
    found = (
        _memory_limit(world, level, files, is_top=level == levels[-1])
        for controller, files in _MEMORY_FILES.items()
        for levels in (_levels(world, controller),)
        for level in levels
    )
    return tuple(limit for limit in found if limit is not None)


def cpu_limits(world: World) -> tuple[CpuLimit, ...]:
    """Read the processor quota of every level that has one, this process's own level first."""
    found = (
        read_quota(world, level)
        for controller, read_quota in ((V2, _quota_v2), ("cpu", _quota_v1))
        for level in _levels(world, controller)
    )
    return tuple(limit for limit in found if limit is not None)


def parse_membership(text: str) -> dict[str, str]:
    """Read /proc/self/cgroup: controller to group. A group's path may hold colons."""
    lines = re.findall(r"^\d+:([^:\n]*):(.*)$", text, re.MULTILINE)
    return {controller: group for names, group in lines for controller in (names.split(",") if names else (V2,))}


def parse_mounts(text: str) -> dict[str, Mount]:
    """Read /proc/self/mountinfo: controller to its mount. The first mount of a hierarchy counts."""
    mounts: dict[str, Mount] = {}
    for root, point, kind, options in _MOUNT.findall(text):
        for controller in (V2,) if kind == "cgroup2" else options.split(","):
            mounts.setdefault(controller, Mount(_unescape(root), _unescape(point)))
    return mounts


def parse_limit_bytes(text: str) -> int | None:
    """Read a limit: None says that there is none. Raises ValueError on anything that is no number."""
    if text.strip() == "max":
        return None
    value = int(text)
    return value if 0 <= value < _NO_LIMIT_BYTES else None


def parse_quota(quota: str, period: str = "") -> float | None:
    """Give processors from a quota per period in microseconds: None says that there is no quota."""
    if quota.strip() in ("max", "-1"):
        return None
    period_us = int(period or _DEFAULT_PERIOD_US)
    quota_us = int(quota)
    if quota_us <= 0 or period_us <= 0:
        message = f"no quota can be {quota_us} of {period_us}"
        raise ValueError(message)
    return quota_us / period_us


def parse_stat(text: str) -> dict[str, int]:
    """Read the lines "name 123" of memory.stat. Lines of another form are left out."""
    return {name: int(number) for name, number in re.findall(r"^(\S+) (\d+)$", text, re.MULTILINE)}


def available_bytes(limit: int, usage: int, stat: Mapping[str, int], cache: tuple[str, ...]) -> int:
    """Give what a limit leaves, page cache counted back; never below zero or above the limit."""
    return max(0, min(limit, limit - usage + sum(stat.get(name, 0) for name in cache)))


def _unescape(field: str) -> str:
    """Undo mountinfo's octal escapes of blanks and backslashes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _levels(world: World, controller: str) -> tuple[PurePosixPath, ...]:
    """List the folders from this process's own group up to the root of what is mounted.

    Inside a container the listed group is often not visible, and the mount itself is the container's group.
    """
    groups = parse_membership(read_if_there(world, "/proc/self/cgroup") or "")
    mount = parse_mounts(read_if_there(world, "/proc/self/mountinfo") or "").get(controller)
    if controller not in groups or mount is None:
        return ()
    top = PurePosixPath(mount.point)
    group = PurePosixPath(groups[controller])
    inside = group.relative_to(mount.root) if group.is_relative_to(mount.root) else PurePosixPath()
    visible = [] if ".." in inside.parts else [place for place in (inside, *inside.parents) if place.parts]
    return (*(top / place for place in visible if world.entries(str(top / place))), top)


def _memory_limit(world: World, level: PurePosixPath, files: _MemoryFiles, *, is_top: bool) -> MemoryLimit | None:
    """Read one level, or give None where it sets no limit. Above the top one, parents are out of sight."""
    stat = parse_stat(read_if_there(world, str(level / "memory.stat")) or "")
    try:
        limit, source = _smallest_limit(world, level, files, stat if is_top else {})
    except ValueError as error:
        fact = unknown_fact(f"the limit of a control group cannot be understood: {error}", str(level))
        return MemoryLimit(name=NAME, limit_bytes=fact, available_bytes=fact)
    if limit is None:
        return None
    return MemoryLimit(
        name=NAME, limit_bytes=Fact(limit, source), available_bytes=_left(world, level, files, limit, stat)
    )


def _smallest_limit(
    world: World, level: PurePosixPath, files: _MemoryFiles, stat: Mapping[str, int]
) -> tuple[int | None, str]:
    """Give the smallest limit of a level and its file, or None where there is none."""
    texts = {str(level / name): read_if_there(world, str(level / name)) for name in files.limits}
    values = {source: parse_limit_bytes(text) for source, text in texts.items() if text is not None}
    # Version 1 tells the smallest limit of all parents here, also of those that a container cannot see.
    inherited = stat.get("hierarchical_memory_limit", _NO_LIMIT_BYTES)
    values[f"{level / 'memory.stat'} hierarchical_memory_limit"] = parse_limit_bytes(str(inherited))
    limits = [(value, source) for source, value in values.items() if value is not None]
    return min(limits, default=(None, str(level)), key=lambda pair: pair[0])


def _left(world: World, level: PurePosixPath, files: _MemoryFiles, limit: int, stat: Mapping[str, int]) -> Fact[int]:
    """Set a level's limit against its use."""
    source = f"{level}: limit - {files.usage} + {' + '.join(files.cache)}"
    usage = (read_if_there(world, str(level / files.usage)) or "").strip()
    left = available_bytes(limit, int(usage), stat, files.cache) if usage.isdecimal() else None
    return fact_or_unknown(left, source, f"{level / files.usage} cannot be read")


def _quota_v2(world: World, level: PurePosixPath) -> CpuLimit | None:
    """Read cpu.max: quota and period on one line."""
    text = read_if_there(world, str(level / "cpu.max"))
    return None if text is None else _cpu_limit(lambda: parse_quota(*text.split()), level / "cpu.max")


def _quota_v1(world: World, level: PurePosixPath) -> CpuLimit | None:
    """Read cpu.cfs_quota_us and its period."""
    quota = read_if_there(world, str(level / "cpu.cfs_quota_us"))
    period = read_if_there(world, str(level / "cpu.cfs_period_us")) or ""
    return None if quota is None else _cpu_limit(lambda: parse_quota(quota, period), level / "cpu.cfs_quota_us")


def _cpu_limit(parse: Callable[[], float | None], file: PurePosixPath) -> CpuLimit | None:
    """Make a limit of a quota, Unknown where its text cannot be understood."""
    try:
        cores = parse()
    except (ValueError, TypeError) as error:
        return CpuLimit(name=NAME, cores=unknown_fact(f"the quota cannot be understood: {error}", str(file)))
    return None if cores is None else CpuLimit(name=NAME, cores=Fact(cores, str(file)))
