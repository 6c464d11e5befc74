"""Tells a process that works from one that hangs, from outside."""

import time
from contextlib import suppress
from typing import Final

LOOK_EVERY_S: Final = 2.0
HANG_LIMIT_S: Final = 60.0
"""No processor time and no reading for so long is a hang; slow work uses processor time, a slow disk is waited for."""


class Watch:
    """Looks at a process now and then; `idle_s` is how long it has done nothing."""

    def __init__(self, process_id: int) -> None:
        """Begin with the benefit of the doubt."""
        self._process_id = process_id
        self._seen = -1.0
        self._changed_at = time.monotonic()

    def idle_s(self) -> float:
        """Seconds since it last used the processor or waited for a disk; 0 where that cannot be seen."""
        seen = _processor_s(self._process_id)
        if seen is None or seen != self._seen:
            self._changed_at = time.monotonic()
            self._seen = -1.0 if seen is None else seen
        return time.monotonic() - self._changed_at


def _processor_s(process_id: int) -> float | None:
    """Processor time used so far; None while it waits for a disk, and where it cannot be read."""
    import psutil

    with suppress(psutil.Error, OSError):
        process = psutil.Process(process_id)
        if process.status() != psutil.STATUS_DISK_SLEEP:
            times = process.cpu_times()
            return float(times.user + times.system)
    return None
