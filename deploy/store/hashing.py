"""Hashes several files at once: SHA-256 of one file uses one core, and a machine has more."""

import os
import threading
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from deploy.errors import Interrupted
from deploy.sources.base import Progress, Report

J = TypeVar("J")
R = TypeVar("R")

SMALL_BYTES: Final = 32 << 20
"""Below this much in all, threads cost more than they spare."""
WORKERS_LIMIT: Final = 8
"""A disk that feeds more hashers than these is rare, and a laptop should stay usable."""


def side_by_side(
    jobs: Sequence[J], work: Callable[[J, Report], R], size_bytes: Callable[[J], int], report: Report, text: str
) -> tuple[R, ...]:
    """Do the same work for every job, several at a time, and report it as one step. Results keep the jobs' order.

    The first job that raises, or a report that does, ends the others at their next report.
    """
    total_bytes = sum(map(size_bytes, jobs))
    workers = min(len(jobs), os.cpu_count() or 1, WORKERS_LIMIT)
    if workers <= 1 or total_bytes < SMALL_BYTES:
        return tuple(work(job, report) for job in jobs)
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    shared = _Shared(report, text, total_bytes)
    with ThreadPoolExecutor(workers, thread_name_prefix="landfast-hash") as pool:
        try:
            futures = [pool.submit(work, job, shared.part()) for job in jobs]
            for failed in wait(futures, return_when=FIRST_EXCEPTION).done:
                failed.result()
            return tuple(future.result() for future in futures)
        finally:
            shared.stopped = True


class _Shared:
    """Adds up what several workers report."""

    def __init__(self, report: Report, text: str, total_bytes: int) -> None:
        self.stopped = False
        self._report, self._text, self._total_bytes = report, text, total_bytes
        self._done: list[int] = []
        self._lock = threading.Lock()

    def part(self) -> Report:
        """A report for one worker."""
        number = len(self._done)
        self._done.append(0)

        def tell(progress: Progress) -> None:
            if self.stopped:
                raise Interrupted("Stopped, because another file failed.")
            with self._lock:
                self._done[number] = progress.done_bytes
                done_bytes = sum(self._done)
                self._report(
                    Progress(step="verify", text=self._text, done_bytes=done_bytes, total_bytes=self._total_bytes)
                )

        return tell
