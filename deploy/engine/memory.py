"""How much memory this process holds. Usable in a sealed process: what is read stays open from the first call."""

import os
import resource
import sys
from functools import cache


def resident_bytes() -> int:
    """Resident memory of this process, mapped weights included."""
    if sys.platform != "linux":
        import psutil

        return int(psutil.Process().memory_info().rss)
    fields = os.pread(_statm(), 256, 0).split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_resident_bytes() -> int:
    """The most that was ever resident. ru_maxrss counts KiB on Linux and bytes on macOS."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@cache
def _statm() -> int:
    return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
