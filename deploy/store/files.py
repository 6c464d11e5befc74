"""Files that are on the disk when a function returns, and a full or read-only disk told in a sentence."""

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from deploy.errors import explain
from deploy.sources.base import Progress, Report
from deploy.sources.seen import Identity, identity_of

TEMPORARY: Final = ".new-"
"""How the name of a file begins that is not yet complete."""

_PIECE_BYTES: Final = 2**20  # a piece stays in the processor's cache between being read and being hashed
_BLOCK_BYTES: Final = 512  # the unit of st_blocks, whatever the file system's own block size
_WINDOWS: Final = os.name == "nt"


@contextlib.contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turn what the operating system refuses at `place` into NotEnoughSpace or NotWritable."""
    try:
        yield
    except OSError as error:
        raise explain(error, place) from error


def sha256_of(path: Path, text: str, report: Report) -> tuple[str, Identity]:
    """Hash a file and say how far that is; the identity is the one from before the first byte was read."""
    digest = hashlib.sha256()
    buffer = bytearray(_PIECE_BYTES)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        seen = identity_of(os.fstat(file.fileno()))
        done = 0
        while count := file.readinto(buffer):
            digest.update(view[:count])
            done += count
            report(Progress(step="verify", text=text, done_bytes=done, total_bytes=seen.size_bytes))
    return digest.hexdigest(), seen


def sync_file(path: Path) -> None:
    """Wait until a file's bytes are on the disk."""
    descriptor = os.open(path, os.O_RDWR if _WINDOWS else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Wait until a folder's names are on the disk. Windows has no such call and needs none."""
    if not _WINDOWS:
        sync_file(path)


def write_durably(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Put a small file in place in one step: a reader sees the old one or the new one, also after a power cut."""
    with becoming(path, path.with_name(TEMPORARY + secrets.token_hex(8)), mode) as file:
        file.write(content)


@contextlib.contextmanager
def becoming(path: Path, unfinished: Path, mode: int) -> Iterator[BinaryIO]:
    """A file that takes its name when all of it is on the disk, and is gone where it does not become whole."""
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor: nobody else may read it meanwhile
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.chmod(mode)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def place(source: Path, target: Path, mode: int) -> None:
    """Move a verified file to its place, read-only. One that lies there gives way: its bytes are older knowledge."""
    if _WINDOWS and target.exists():
        target.chmod(0o644)
    source.replace(target)
    set_rights(target, mode)


def set_rights(path: Path, mode: int) -> None:
    """Change a file's rights, but not those of a hard link: another program's file would change with it."""
    if path.stat().st_nlink == 1:
        path.chmod(mode)


def delete(path: Path) -> int:
    """Delete a file if it is there and say how many bytes that frees."""
    try:
        freed = path.lstat().st_size
        if _WINDOWS:
            path.chmod(0o644)
        path.unlink()
    except FileNotFoundError:
        return 0
    return freed


def delete_tree(folder: Path) -> int:
    """Delete a folder if it is there and say how many bytes that frees."""
    freed = tree_bytes(folder)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
    return freed


def tree_bytes(folder: Path) -> int:
    """What the files under a folder take on the disk; holes in them do not count."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += _taken_bytes((Path(base) / name).lstat())
    return total


def _taken_bytes(status: os.stat_result) -> int:
    """The bytes that a file occupies: its length, or less where parts of it were never written."""
    blocks = getattr(status, "st_blocks", None)
    return status.st_size if blocks is None else min(status.st_size, blocks * _BLOCK_BYTES)
