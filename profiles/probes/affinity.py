"""The processors that this process may run on: taskset, a container's cpuset, a batch system."""

import os

from profiles.machine import CpuLimit, Fact

_SOURCE = "os.sched_getaffinity"


def cpu_limits() -> tuple[CpuLimit, ...]:
    """Read the affinity of this process. Systems without such a thing set no limit."""
    if not hasattr(os, "sched_getaffinity"):
        return ()
    return parse(len(os.sched_getaffinity(0)), os.cpu_count())


def parse(allowed: int, online: int | None) -> tuple[CpuLimit, ...]:
    """Call it a limit only when it leaves out a processor that is there."""
    if online is not None and allowed >= online:
        return ()
    return (CpuLimit(name="processor affinity", cores=Fact(float(allowed), _SOURCE)),)
