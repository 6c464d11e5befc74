"""Hashes several files at once: SHA-256 of one file uses one core, and a machine has more."""

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Queue
from types import TracebackType
from typing import Final, Self, TypeVar

import msgspec

from deploy.errors import Interrupted
from deploy.sources.base import Progress, Report
from deploy.store.files import identity
from deploy.store.records import Identity

J = TypeVar("J")
R = TypeVar("R")

SMALL_BYTES: Final = 32 << 20
"""Below this much in all, threads cost more than they spare."""
AHEAD_BLOCKS: Final = 8
"""So many blocks may wait to be hashed."""
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


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was hashed while it was written, and what the file system said of it when it was complete."""

    sha256: str
    identity: Identity | None

    def is_still(self, path: Path) -> bool:
        """Whether nothing has touched the file since."""
        return self.identity is not None and identity(path) == self.identity


class Follower:
    """Hashes on a thread of its own what the caller reads and writes meanwhile."""

    def __init__(self) -> None:
        """Start with nothing hashed."""
        self.spoilt = False
        """True when something was handed over that does not stand in the file."""
        self._digest = hashlib.sha256()
        self._blocks: Queue[bytes | None] = Queue(AHEAD_BLOCKS)
        self._thread = threading.Thread(target=self._follow, daemon=True, name="landfast-hash")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.hexdigest()

    def update(self, block: bytes) -> None:
        """Hand over the next bytes; waits when the hashing is far behind."""
        self._blocks.put(block)

    def hexdigest(self) -> str:
        """Wait until everything is hashed. Nothing can be handed over afterwards."""
        if self._thread.is_alive():
            self._blocks.put(None)
            self._thread.join()
        return self._digest.hexdigest()

    def _follow(self) -> None:
        while (block := self._blocks.get()) is not None:
            self._digest.update(block)


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
