"""How fast the disk of a folder gives its bytes back, past the page cache. Only on request: it writes a file."""

import errno
import mmap
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from profiles.machine import Fact
from profiles.probes.disk import nearest_existing
from profiles.probes.reading import unknown_fact

SAMPLE_BYTES: Final = 256 << 20
STEP_BYTES: Final = 4 << 20
"""Large enough that one request at a time keeps a solid-state disk busy."""
WRITE_LIMIT_S: Final = 4.0
READ_LIMIT_S: Final = 2.0
_LEAST_BYTES: Final = 2 * STEP_BYTES


def measure(path: Path) -> Fact[float]:
    """Write a file of random bytes beside the path, read it back and take it away. Gives bytes a second.

    Takes 6 s at most. Unknown where the folder cannot be written or its file system cannot go past the page cache.
    """
    folder = nearest_existing(path.expanduser().absolute())
    source = f"a file of random bytes in {folder}, read past the page cache"
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".landfast-disk-rate-") as file:
            written = _write(file.fileno())
            if written < _LEAST_BYTES:
                return unknown_fact(f"only {written} bytes were written in {WRITE_LIMIT_S:g} s", source)
            return Fact(_timed_read(Path(file.name)), source)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTSUP):
            return unknown_fact("this file system cannot be read past the page cache", source)
        return unknown_fact(f"the folder cannot be tried: {error.strerror}", source)


def _write(descriptor: int) -> int:
    """Write whole steps to the disk itself until the sample or the time is full."""
    deadline_s = time.monotonic() + WRITE_LIMIT_S
    written = 0
    while written < SAMPLE_BYTES and time.monotonic() < deadline_s:
        written += os.write(descriptor, os.urandom(STEP_BYTES))
        os.fdatasync(descriptor) if hasattr(os, "fdatasync") else os.fsync(descriptor)
    return written


def _timed_read(path: Path) -> float:
    descriptor = _open_past_the_cache(path)
    try:
        with mmap.mmap(-1, STEP_BYTES) as buffer:  # its pages are aligned as direct reads need them
            started_s = time.perf_counter()
            done = 0
            while step := os.readv(descriptor, [buffer]):
                done += step
                if time.perf_counter() - started_s > READ_LIMIT_S:
                    break
            return done / (time.perf_counter() - started_s)
    finally:
        os.close(descriptor)


def _open_past_the_cache(path: Path) -> int:
    """Open for reading without the page cache. Raises OSError where the system has no way."""
    if sys.platform == "darwin":
        import fcntl

        descriptor = os.open(path, os.O_RDONLY)
        fcntl.fcntl(descriptor, fcntl.F_NOCACHE, 1)
        return descriptor
    direct = getattr(os, "O_DIRECT", None)
    if direct is None or not hasattr(os, "readv"):
        raise OSError(errno.ENOTSUP, "not on this system")
    return os.open(path, os.O_RDONLY | direct)
