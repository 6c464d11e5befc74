"""One process at a time: locks that the kernel drops when their holder dies, however it dies."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.errors import NotWritable, explain
from deploy.sources.base import Progress, Report
from deploy.store.files import disk_errors

if TYPE_CHECKING:
    from filelock import BaseFileLock


@contextlib.contextmanager
def hold(path: Path, purpose: str, report: Report, wait_s: float) -> Iterator[None]:
    """Hold a lock file, after waiting at most `wait_s` seconds for whoever holds it.

    Raises NotWritable when it is still held then, or when the file cannot be made.
    """
    from filelock import FileLock

    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    _acquire(lock, path.parent, purpose, report, wait_s)
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: "BaseFileLock", place: Path, purpose: str, report: Report, wait_s: float) -> None:
    """Take the lock; say so before waiting for it."""
    from filelock import Timeout

    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            report(Progress(step="note", text=f"waiting for another Landfast process: it {purpose}"))
            lock.acquire(timeout=wait_s)
    except Timeout as error:
        raise NotWritable(
            f"Another Landfast process is still busy: it {purpose}.",
            hint="Wait until it is done, or stop it, and run the command again.",
        ) from error
    except OSError as error:
        raise explain(error, place) from error
