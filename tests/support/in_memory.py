"""A folder in memory, for tests that write a lot and prove nothing about the disk: they would mostly wait for it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - Linux's file system in memory
ROOM_BYTES: Final = 4 * 10**9
"""Many times what one test writes, so that nothing else runs short."""


@contextmanager
def in_memory() -> Iterator[Path]:
    """A folder that goes away with the block; where memory has no room for files, it is on the disk."""
    has_room = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES
    with tempfile.TemporaryDirectory(prefix="landfast-test-", dir=MEMORY if has_room else None) as folder:
        yield Path(folder)
