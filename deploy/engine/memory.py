"""How much memory this process holds. Usable in a sealed process: what is read stays open from the first call."""

import os
import re
import resource
import sys
from functools import cache
from typing import Final

STATUS_BYTES: Final = 8192
"""More than /proc/self/status has."""


def resident_bytes() -> int:
    """Resident memory of this process, mapped weights included."""
    if sys.platform != "linux":
        import psutil

        return int(psutil.Process().memory_info().rss)
    return _status_bytes("VmRSS")


def peak_resident_bytes() -> int:
    """The most that was ever resident.

    Linux counts the parent's memory into ru_maxrss of a child that it starts, so it is not asked there.
    """
    if sys.platform != "linux":
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return _status_bytes("VmHWM")


def _status_bytes(field: str) -> int:
    text = os.pread(_status(), STATUS_BYTES, 0).decode("ascii", "replace")
    found = re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


@cache
def _status() -> int:
    return os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
