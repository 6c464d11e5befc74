"""Reads a bundle: the manifest is believed only with its signature, and every part only with its SHA-256."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, Literal

import msgspec

from deploy.bundle.manifest import (
    MANIFEST,
    MANIFEST_LIMIT_BYTES,
    SIGNATURE,
    UNFINISHED,
    Entry,
    Manifest,
    Part,
    decode,
)
from deploy.bundle.signing import read_signature, verify
from deploy.errors import Incomplete, IntegrityError, NotFound, Unreachable
from deploy.keys import Envelope
from deploy.paths import Paths
from deploy.sources.base import Progress, Report
from deploy.sources.seen import Follower, Seen, identity
from deploy.store.hashing import side_by_side

BLOCK_BYTES: Final = 1 << 20
NAMED_PARTS: Final = 3
"""So many missing parts are named in a sentence."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """One medium of a bundle. Parts may lie on others."""

    root: Path
    manifest: Manifest
    raw: bytes
    """The manifest's bytes, as signed."""
    signature: Envelope


class PartVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What came of looking at one part."""

    path: str
    verdict: Literal["ok", "present", "missing", "altered"]
    """"present" was not hashed; its length is right."""
    sentence: str


def is_bundle(path: Path) -> bool:
    """Whether a folder is, or wants to be, a bundle."""
    return any((path / name).is_file() for name in (MANIFEST, SIGNATURE, UNFINISHED))


def read_bundle(root: Path) -> Bundle:
    """Read manifest and signature without asking who signed. Raises NotFound, Unreachable or IntegrityError."""
    raw, signature = _small_file(root / MANIFEST), _small_file(root / SIGNATURE)
    return Bundle(root=root.absolute(), manifest=decode(raw), raw=raw, signature=read_signature(signature))


def open_bundle(root: Path, paths: Paths) -> Bundle:
    """Read a bundle that a trusted key has signed.

    The signature comes before the manifest is parsed: what nobody vouches for is not interpreted.
    Raises PolicyRefused for an untrusted key, IntegrityError for altered bytes.
    """
    raw, signature = _small_file(root / MANIFEST), read_signature(_small_file(root / SIGNATURE))
    verify(raw, signature, paths)
    return Bundle(root=root.absolute(), manifest=decode(raw), raw=raw, signature=signature)


def examine(bundle: Bundle, report: Report, *, full: bool) -> tuple[PartVerdict, ...]:
    """Look at every part; with `full` also at every byte."""
    parts = tuple(bundle.manifest.parts)
    if not full:
        return tuple(_look(bundle, part) for part in parts)
    return side_by_side(
        parts,
        lambda part, tell: _hashed(bundle, part, tell),
        lambda part: part.size_bytes,
        report,
        f"verify {len(parts)} parts",
    )


def restore(bundle: Bundle, entries: Sequence[Entry], targets: Sequence[Path], report: Report) -> dict[Path, Seen]:
    """Bring files out of the bundle, going on from what an earlier call left, every byte hashed on its way.

    What this medium holds is taken even where an earlier part is missing. Gives the hashes of the files that were
    read and written in one go. Raises NotFound with the missing parts, IntegrityError with the name of an altered one.
    """
    total_bytes = sum(entry.size_bytes for entry in entries)
    missing: list[Part] = []
    seen: dict[Path, Seen] = {}
    before_bytes = 0
    for entry, target in zip(entries, targets, strict=True):
        target.touch()
        tell = partial(_tell, report, before_bytes, total_bytes)
        lacking, sha256 = _restore_file(bundle, entry, target, tell)
        if sha256 is not None:
            seen[target] = Seen(sha256=sha256, identity=identity(target))
        missing += lacking
        before_bytes += entry.size_bytes
    if missing:
        raise _not_here(bundle, missing)
    return seen


def _restore_file(
    bundle: Bundle, entry: Entry, target: Path, tell: Callable[[Part, int], None]
) -> tuple[list[Part], str | None]:
    """Bring one file out; gives the parts that are missing and, where it was seen in one go, the file's hash."""
    missing: list[Part] = []
    at = 0
    with Follower() as whole, target.open("r+b") as copy:
        _shorten(copy, entry.size_bytes)
        for part in entry.parts:
            beside = whole if len(entry.parts) > 1 else None
            if not _Piece(bundle, part, copy, at, partial(_told, tell, part, at), beside).bring():
                missing.append(part)
            at += part.size_bytes
        if missing or whole.spoilt:
            return missing, None
    return [], whole.hexdigest() if len(entry.parts) > 1 else entry.parts[0].sha256


def read_small(bundle: Bundle, entry: Entry) -> bytes:
    """A whole small file of the bundle. Raises NotFound or IntegrityError."""
    content = b""
    for part in entry.parts:
        origin = open_part(bundle, part)
        if origin is None:
            raise _not_here(bundle, [part])
        with origin:
            block = origin.read(part.size_bytes)
        if hashlib.sha256(block).hexdigest() != part.sha256:
            raise _altered(part)
        content += block
    return content


def open_part(bundle: Bundle, part: Part) -> BinaryIO | None:
    """Open one part; None where it is not on this medium. Raises IntegrityError for what is no such file."""
    path = bundle.root / part.path
    steps = [path, *(folder for folder in path.parents if folder.is_relative_to(bundle.root) and folder != bundle.root)]
    try:
        if any(step.is_symlink() for step in steps):
            raise IntegrityError(
                f"{part.path} in the bundle is a link.",
                hint="Put the file itself in its place: a bundle holds plain files only.",
            )
        file = path.open("rb", buffering=0)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    size_bytes = os.fstat(file.fileno()).st_size
    if size_bytes != part.size_bytes:
        file.close()
        sentence = f"{part.path} in the bundle has {size_bytes:,} bytes instead of {part.size_bytes:,}."
        if size_bytes < part.size_bytes:
            cure = "Wait until it is copied, or copy this part again from where the bundle was made."
            raise Incomplete(sentence, hint=cure)
        raise IntegrityError(sentence, hint="Copy this part again from where the bundle was made.")
    return file


@dataclass(frozen=True, slots=True)
class _Piece:
    """One part on its way into a copy."""

    bundle: Bundle
    part: Part
    copy: BinaryIO
    at: int
    """Where the part begins in the copy."""
    tell: Callable[[int], None]
    whole: Follower | None
    """Hashes the whole copy beside the part; None where they are the same."""

    def bring(self) -> bool:
        """Make sure that the part's bytes stand in the copy; False where this medium does not have them."""
        part = self.part
        staged_bytes = max(0, min(self.copy.seek(0, os.SEEK_END) - self.at, part.size_bytes))
        with Follower() as digest:
            _hash_range(self.copy, self.at, staged_bytes, self.tell, self._both(digest))
            if staged_bytes == part.size_bytes and digest.hexdigest() == part.sha256:
                return True
            origin = open_part(self.bundle, part)
            if origin is None:
                self._spoil()
                return False
            with origin:
                if staged_bytes < part.size_bytes and self._copy_rest(origin, staged_bytes, digest) == part.sha256:
                    return True
                return self._begin_anew(origin, staged_bytes)

    def _begin_anew(self, origin: BinaryIO, staged_bytes: int) -> bool:
        """What was staged is no beginning of this part, or the part is not what was signed: find out which."""
        if staged_bytes:
            self._spoil()
            with Follower() as digest:
                if self._copy_rest(origin, 0, digest) == self.part.sha256:
                    return True
        self.copy.truncate(self.at)
        raise _altered(self.part)

    def _copy_rest(self, origin: BinaryIO, done_bytes: int, digest: Follower) -> str:
        """Copy and hash the part from `done_bytes` on; gives the SHA-256 of what stands in the copy then."""
        origin.seek(done_bytes)
        self.copy.seek(self.at + done_bytes)
        while done_bytes < self.part.size_bytes:
            try:
                block = origin.read(min(BLOCK_BYTES, self.part.size_bytes - done_bytes))
            except OSError as error:
                raise _unreadable(self.bundle.root / self.part.path, error) from error
            if not block:
                break
            for hasher in self._both(digest):
                hasher.update(block)
            self.copy.write(block)
            done_bytes += len(block)
            self.tell(done_bytes)
        return digest.hexdigest()

    def _both(self, digest: Follower) -> tuple[Follower, ...]:
        return (digest,) if self.whole is None else (digest, self.whole)

    def _spoil(self) -> None:
        """The whole file's digest has been handed bytes that do not stand in it."""
        if self.whole is not None:
            self.whole.spoilt = True


def _hash_range(
    copy: BinaryIO, at: int, count: int, tell: Callable[[int], None], digests: Sequence["hashlib._Hash | Follower"]
) -> None:
    """Read a range and hand it to each digest."""
    copy.seek(at)
    done_bytes = 0
    while done_bytes < count and (block := copy.read(min(BLOCK_BYTES, count - done_bytes))):
        for digest in digests:
            digest.update(block)
        done_bytes += len(block)
        tell(done_bytes)


def _shorten(copy: BinaryIO, size_bytes: int) -> None:
    """What is longer than the file can be is not a beginning of it."""
    if copy.seek(0, os.SEEK_END) > size_bytes:
        copy.truncate(0)


def _look(bundle: Bundle, part: Part) -> PartVerdict:
    try:
        origin = open_part(bundle, part)
    except (IntegrityError, Unreachable) as error:
        return PartVerdict(path=part.path, verdict="altered", sentence=error.message)
    if origin is None:
        return PartVerdict(path=part.path, verdict="missing", sentence=f"{part.path} is not on this medium.")
    origin.close()
    return PartVerdict(path=part.path, verdict="present", sentence=f"{part.path} is present.")


def _hashed(bundle: Bundle, part: Part, tell: Report) -> PartVerdict:
    found = _look(bundle, part)
    if found.verdict != "present":
        return found
    with (bundle.root / part.path).open("rb", buffering=0) as file:
        digest = hashlib.sha256()
        try:
            _hash_range(file, 0, part.size_bytes, partial(_verifying, tell, part), (digest,))
        except OSError as error:
            return PartVerdict(path=part.path, verdict="altered", sentence=_unreadable(Path(part.path), error).message)
    if digest.hexdigest() != part.sha256:
        return PartVerdict(path=part.path, verdict="altered", sentence=_altered(part).message)
    return PartVerdict(path=part.path, verdict="ok", sentence=f"{part.path} is unchanged.")


def _small_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(MANIFEST_LIMIT_BYTES + 1)
    except FileNotFoundError as error:
        if (path.parent / UNFINISHED).exists():
            raise _unfinished(path.parent) from error
        raise IntegrityError(
            f"The bundle in {path.parent} has no {path.name}.",
            hint="Copy manifest and signature again from where the bundle was made; every medium needs both.",
        ) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(raw) > MANIFEST_LIMIT_BYTES:
        raise IntegrityError(f"{path} is too large.", hint="Have a new bundle made.")
    return raw


def _unfinished(root: Path) -> IntegrityError:
    return IntegrityError(
        f"The bundle in {root} is not finished: it is still being made, or that was interrupted.",
        hint=f"Run `landfast bundle create {root}` again where it is made, and wait for its end.",
    )


def _tell(report: Report, before_bytes: int, total_bytes: int, part: Part, done_bytes: int) -> None:
    """Report how far the copying has come."""
    name = Path(part.path).name
    report(
        Progress(step="download", text=f"copy {name}", done_bytes=before_bytes + done_bytes, total_bytes=total_bytes)
    )


def _told(tell: Callable[[Part, int], None], part: Part, at: int, done_bytes: int) -> None:
    tell(part, at + done_bytes)


def _verifying(report: Report, part: Part, done_bytes: int) -> None:
    """Report how far the hashing of one part has come."""
    name = Path(part.path).name
    report(Progress(step="verify", text=f"verify {name}", done_bytes=done_bytes, total_bytes=part.size_bytes))


def _not_here(bundle: Bundle, missing: Sequence[Part]) -> NotFound:
    names = ", ".join(part.path for part in missing[:NAMED_PARTS])
    more = len(missing) - NAMED_PARTS
    return NotFound(
        f"{bundle.root} does not hold {names}{f' and {more} more parts' if more > 0 else ''}.",
        hint="Insert the medium that does, and run the command again with its path: it continues from here.",
    )


def _altered(part: Part) -> IntegrityError:
    return IntegrityError(
        f"{part.path} in the bundle was altered: its SHA-256 is not the signed one.",
        hint="Copy this part again from where the bundle was made.",
    )


def _unreadable(path: Path, error: OSError) -> Unreachable:
    return Unreachable(
        f"{path} cannot be read: {error.strerror or error}.",
        hint="Check that the medium is connected and that this user may read it.",
    )
