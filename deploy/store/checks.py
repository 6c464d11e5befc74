"""Whether a blob still holds the bytes that were verified when it came."""

from pathlib import Path
from typing import Literal

import msgspec

from deploy.errors import Incomplete, IntegrityError, LandfastError, NotFound
from deploy.sources.base import Report
from deploy.sources.seen import Identity, identity
from deploy.store.files import sha256_of
from deploy.store.layout import Layout
from deploy.store.records import Installed, StoredFile

Verdict = Literal["ok", "altered", "short", "missing", "unreadable"]


class FileVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What came of hashing one file of an installed model."""

    name: str
    sha256: str
    """The hash that it should have."""
    verdict: Verdict
    sentence: str
    moved_to: str | None = None
    """Where a bad file lies now; None for a good one, and where it could not be moved."""
    identity: Identity | None = None
    """Of a file that was found: as it was when its first byte was read."""


def examine(layout: Layout, file: StoredFile, report: Report) -> FileVerdict:
    """Hash one blob, whatever its identity says. Changes nothing."""
    path = layout.blobs / file.sha256
    try:
        found = identity(path)
        if found is None:
            return _verdict(file, "missing", f"{file.name} is no longer in the store.")
        if found.size_bytes < file.size_bytes:
            sentence = f"{file.name} has {found.size_bytes:,} of its {file.size_bytes:,} bytes left."
            return _verdict(file, "short", sentence, found)
        digest, found = sha256_of(path, f"verify {file.name}", report)
    except OSError as error:
        return _verdict(file, "unreadable", f"{file.name} cannot be read: {error.strerror or error}.")
    if digest != file.sha256:
        return _verdict(file, "altered", f"{file.name} was altered after it was installed.", found)
    return _verdict(file, "ok", f"{file.name} is unchanged.", found)


def is_unchanged(layout: Layout, file: StoredFile) -> bool:
    """Whether the file system says that nothing touched a blob since it was hashed. Reads none of its bytes."""
    try:
        return file.identity is not None and identity(layout.blobs / file.sha256) == file.identity
    except OSError:
        return False


def quarantine(layout: Layout, found: FileVerdict) -> Path | None:
    """Move a bad blob out of the way of every load, under the store lock.

    None when it was meanwhile replaced by another file, which may be a good one. Raises OSError where the
    store cannot be written.
    """
    blob = layout.blobs / found.sha256
    if identity(blob) != found.identity:
        return None
    layout.make_private(layout.quarantine)
    return blob.replace(layout.quarantine / found.sha256)


def problem(installed: Installed, found: FileVerdict, *, former: bool = False) -> LandfastError:
    """The error for a model, or a former version of it, that cannot be loaded because of one bad file."""
    leaves: dict[str, type[LandfastError]] = {"missing": NotFound, "short": Incomplete}
    leaf = leaves.get(found.verdict, IntegrityError)
    hint = f"Run `landfast install {installed.id}` to fetch it again."
    if former:
        hint = f"Remove this version with `landfast models remove {installed.version}`; the one in use stays."
    if found.verdict == "unreadable":
        hint = f"Check the permissions of the file and the health of the disk, then {hint[0].lower()}{hint[1:]}"
    return leaf(f"{installed.name} cannot be loaded: {found.sentence}", hint=hint)


def _verdict(file: StoredFile, verdict: Verdict, sentence: str, found: Identity | None = None) -> FileVerdict:
    """A verdict on one file."""
    return FileVerdict(name=file.name, sha256=file.sha256, verdict=verdict, sentence=sentence, identity=found)
