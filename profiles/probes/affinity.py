"""The processors that this process may run on: taskset, a container's cpuset, a batch system."""

import os

import msgspec

from profiles.machine import CpuLimit, Fact
from profiles.world import NotRecorded, World

_SOURCE = "os.sched_getaffinity"


class Affinity(msgspec.Struct, frozen=True):
    """How many processors this process may use, and how many there are."""

    allowed: int | None
    """None where the system has no such thing."""
    online: int | None


def cpu_limits(world: World) -> tuple[CpuLimit, ...]:
    """Read the affinity of this process. A system without such a thing sets no limit, nor does a fragment of one."""
    try:
        found = world.ask("affinity", gather, Affinity)
    except NotRecorded:
        return ()
    return () if found.allowed is None else parse(found.allowed, found.online)


def gather() -> Affinity:
    """Ask the kernel."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return Affinity(allowed, os.cpu_count())


def parse(allowed: int, online: int | None) -> tuple[CpuLimit, ...]:
    """Call it a limit only when it leaves out a processor that is there."""
    if online is not None and allowed >= online:
        return ()
    return (CpuLimit(name="processor affinity", cores=Fact(float(allowed), _SOURCE)),)
