"""What the operating system says when a file cannot be written, in Landfast's own errors."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deploy.errors import NotEnoughSpace, NotWritable

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
REFUSED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR})


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turn a full disk into NotEnoughSpace and a refused one into NotWritable; let everything else through."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise no_space(folder) from error
        if error.errno in REFUSED:
            raise not_writable(folder, error.strerror or str(error)) from error
        raise


def no_space(folder: Path) -> NotEnoughSpace:
    """The error for a file system that is full."""
    return NotEnoughSpace(
        f"The disk that holds {folder} is full.",
        hint="Free some space and run the same command again: it continues where it stopped.",
    )


def not_writable(folder: Path, reason: str) -> NotWritable:
    """The error for a folder that refuses to be written."""
    return NotWritable(
        f"{folder} cannot be written: {reason}.",
        hint="Give this user write access to it, or set LANDFAST_HOME to a folder that can be written.",
    )
