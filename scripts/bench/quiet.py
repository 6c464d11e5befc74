"""Whether other programs took processor time while something was measured (Linux)."""

import os
from pathlib import Path
from typing import Final

import psutil

LIMIT: Final = 0.05
"""Of one core. What was disturbed more is measured again."""
CLOCK: Final = os.sysconf("SC_CLK_TCK")


class Disturbance:
    """Counts from its making on."""

    def __init__(self) -> None:
        """Begin."""
        self._others_s = _others_s()
        self._uptime_s = _uptime_s()

    def share(self) -> float:
        """How much of one core programs other than ours have used since."""
        return (_others_s() - self._others_s) / max(_uptime_s() - self._uptime_s, 0.01)


def _uptime_s() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])


def _others_s() -> float:
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / CLOCK - _ours_s()


def _ours_s() -> float:
    """This process, its children, and those of them that have ended."""
    process = psutil.Process()
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:  # it ended meanwhile, and is counted as another's
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total
