"""One install: bytes are staged, checked and then put in place, all of them or none."""

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import msgspec

from deploy.errors import (
    Incomplete,
    IntegrityError,
    InvalidModel,
    LandfastError,
    NotEnoughSpace,
    NotFound,
    larger_disk,
)
from deploy.quantities import gigabytes
from deploy.sources.base import Report
from deploy.sources.seen import Seen, identity
from deploy.store.files import delete, delete_tree, disk_errors, sha256_of, sync_file, sync_folder, tree_bytes
from deploy.store.hashing import side_by_side
from deploy.store.layout import Layout
from deploy.store.records import Description, Installed, Pin, StoredFile, StoredProjector, encode, now

M = TypeVar("M")


class Origin(NamedTuple):
    """Whose a projector is, and where it came from."""

    publisher: str
    source: str
    revision: str | None


class Transaction:
    """The right to install one model. It ends with the `with` block that gave it."""

    def __init__(self, layout: Layout, key: str, report: Report, present: Installed | None) -> None:
        """Take over the staging folder; the lock of the key is held."""
        self._layout = layout
        self._key = key
        self._report = report
        self.present = present
        """What is installed under this key now: another process may have been faster."""
        self.staging = layout.incoming(key)
        """Where the source puts its files. What an interrupted try left there is still there."""

    def commit(
        self,
        files: Sequence[Path],
        pins: Sequence[Pin],
        validate: Callable[[Sequence[Path]], M],
        describe: Callable[[M], Description],
        seen: Mapping[Path, Seen] = MappingProxyType({}),
    ) -> Installed:
        """Check the staged files against their pins and the validator, and put them and the lock file in place.

        Files that were hashed while they were written, and not touched since, are not read a second time. Another
        version that is in use now is kept beside the new one.

        Raises IntegrityError, Incomplete or InvalidModel, after which the bad bytes are gone, or NotEnoughSpace
        or NotWritable, after which all of them are still staged. The store is then the old one.
        """
        stored = self._examined(files, pins, seen)
        description = describe(self._validated(files, validate))
        moment = now()
        record = Installed(
            **msgspec.structs.asdict(description),
            files=stored,
            projector=None if self.present is None else self.present.projector,
            installed_at=moment,
            verified_at=moment,
        )
        return self._publish(tuple(zip(files, stored, strict=True)), record)

    def lay_beside(
        self,
        file: Path,
        pin: Pin,
        validate: Callable[[Path], object],
        origin: Origin,
        seen: Mapping[Path, Seen] = MappingProxyType({}),
    ) -> Installed:
        """Check a staged projector like a model's file, and make it part of the model that is installed.

        Raises as `commit` does, and NotFound where the model was removed meanwhile.
        """
        if self.present is None:
            raise NotFound(f"{self._key} is not installed.", hint=f"Run `landfast install {self._key}` first.")
        (stored,) = self._examined((file,), (pin,), seen)
        self._validated((file,), lambda files: validate(files[0]))
        kept = StoredProjector(**msgspec.structs.asdict(stored), **origin._asdict())
        return self._publish(((file, kept),), msgspec.structs.replace(self.present, projector=kept))

    def _examined(
        self, files: Sequence[Path], pins: Sequence[Pin], seen: Mapping[Path, Seen]
    ) -> tuple[StoredFile, ...]:
        """Check all files: lengths first, since they cost nothing, then the hashes, several at a time."""
        pairs = tuple(zip(files, pins, strict=True))
        work = partial(_digest, seen)
        sizes: dict[Path, int] = {}
        for path, pin in pairs:
            with self._discarding(path, files):
                sizes[path] = _length(path, pin)
        digests = side_by_side(pairs, work, lambda pair: sizes[pair[0]], self._report, f"verify {len(pairs)} files")
        stored: list[StoredFile] = []
        for (path, pin), digest in zip(pairs, digests, strict=True):
            with self._discarding(path, files):
                stored.append(self._compared(pin, digest, sizes[path]))
        return tuple(stored)

    @contextlib.contextmanager
    def _discarding(self, path: Path, files: Sequence[Path]) -> Iterator[None]:
        """When a file is bad it goes, and with it whatever could give the same bytes again."""
        try:
            yield
        except IntegrityError:
            self._discard({file for file in files if file != path})
            raise

    def _compared(self, pin: Pin, digest: str, size_bytes: int) -> StoredFile:
        """Compare a file's hash with the promised one, or with that of the first use when that is still installed."""
        expected = pin.sha256 or self._first_use(pin.name)
        if expected and digest != expected.lower():
            raise _differs(pin, digest, expected, self._key)
        return StoredFile(
            name=pin.name,
            sha256=digest,
            size_bytes=size_bytes,
            pinned=pin.by if pin.sha256 else "first-use",
        )

    def _first_use(self, name: str) -> str | None:
        """The hash that an unpinned file had when it was first installed."""
        files = self.present.all_files if self.present else ()
        return next((file.sha256 for file in files if file.name == name), None)

    def _validated(self, files: Sequence[Path], validate: Callable[[Sequence[Path]], M]) -> M:
        """What the validator finds in the files. After its refusal nothing of them stays."""
        try:
            return validate(files)
        except (IntegrityError, InvalidModel):
            self._discard(set())
            raise

    def _discard(self, keep: set[Path]) -> None:
        """Delete all staged files but `keep`, so that the next try cannot build on a bad one."""
        with disk_errors(self.staging):
            for path in sorted(self.staging.rglob("*")):
                if path not in keep and not (path.is_dir() and not path.is_symlink()):
                    delete(path)

    def _publish(self, brought: tuple[tuple[Path, StoredFile], ...], record: Installed) -> Installed:
        """Move the files and write the lock file. Before its rename the store is the old one, after it the new one."""
        layout = self._layout
        files = tuple(path for path, _ in brought)
        with disk_errors(layout.root):
            for path in files:
                sync_file(path)
            return self._placed(files, tuple(file.sha256 for _, file in brought), record)

    def _placed(self, files: tuple[Path, ...], hashes: tuple[str, ...], record: Installed) -> Installed:
        layout = self._layout
        with layout.store_lock():
            moves = layout.plan_moves(self._key, files, hashes)
            for path, move in zip(files, moves, strict=True):
                layout.place_blob(path, move.sha256)
            sync_folder(layout.blobs)
            final = _identified(layout, self._numbered(record))
            layout.write_record(layout.record(record.id), encode(final))
            with contextlib.suppress(OSError):  # the model is installed; what stays here is found by clear_staging
                self._drop_copies(final)
                layout.drop_staging(self._key)
        return final

    def _numbered(self, record: Installed) -> Installed:
        """The record with its number among the model's versions; another one that is in use is kept as a former one."""
        layout, used = self._layout, self._layout.in_use(record.id)
        if not layout.record(record.id).exists():
            delete_tree(layout.former(record.id))
        if used is not None and used.hashes == record.hashes:
            return msgspec.structs.replace(record, serial=used.serial)
        if used is not None:
            layout.keep_version(used)
        taken = [int(path.stem) for path in layout.former(record.id).glob("*.json") if path.stem.isdigit()]
        return msgspec.structs.replace(record, serial=max(taken, default=0) + 1)

    def _drop_copies(self, record: Installed) -> None:
        """Forget former versions that are the same as the one in use."""
        for former in self._layout.former_versions(record.id):
            if isinstance(former, Installed) and former.hashes == record.hashes:
                delete(self._layout.former_record(record.id, former.serial))


@contextlib.contextmanager
def open_transaction(
    layout: Layout, key: str, need_bytes: int, report: Report, present: Callable[[], Installed | None]
) -> Iterator[Transaction]:
    """Prepare the staging folder of a key whose lock is held, and tidy up however the block ends."""
    with disk_errors(layout.root):
        layout.create()
        with layout.store_lock():
            layout.undo(key)
        layout.incoming(key).mkdir(parents=True, exist_ok=True)
    try:
        _preflight(layout.incoming(key), need_bytes)
        yield Transaction(layout, key, report, present())
    finally:
        # What cannot be tidied now is tidied when the next transaction begins, and must not hide the first error.
        with contextlib.suppress(OSError, LandfastError):
            _tidy(layout, key)


def _tidy(layout: Layout, key: str) -> None:
    """Bring half-moved files back to staging, and drop a staging folder that holds nothing."""
    if layout.journal(key).exists():
        with layout.store_lock():
            layout.undo(key)
    if not any(path.is_file() or path.is_symlink() for path in layout.staging(key).rglob("*")):
        delete_tree(layout.staging(key))


def _preflight(staging: Path, need_bytes: int) -> None:
    """Before the first byte: raise NotWritable or NotEnoughSpace where the files could not be staged."""
    with disk_errors(staging):
        probe = staging / ".writable"
        probe.write_bytes(b"1")
        probe.unlink()
        missing = need_bytes - tree_bytes(staging)
        free = shutil.disk_usage(staging).free
    if missing > free:
        raise NotEnoughSpace(
            f"{gigabytes(missing)} is needed, and {staging} has {gigabytes(free)} free.",
            hint=f"Free some space, choose a smaller model, or {larger_disk(staging)}.",
        )


def _digest(seen: Mapping[Path, Seen], pair: tuple[Path, Pin], report: Report) -> str:
    """The SHA-256 of a staged file."""
    path, pin = pair
    if path in seen and seen[path].is_still(path):
        return seen[path].sha256
    with disk_errors(path.parent):
        return sha256_of(path, f"verify {pin.name}", report)[0]


def _length(path: Path, pin: Pin) -> int:
    """The length of a staged file that may be what was promised."""
    with disk_errors(path.parent):
        if not os.path.lexists(path):
            raise Incomplete(f"{pin.name} did not arrive.", hint="Run the command again.")
        status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise IntegrityError(f"{pin.name} is not a plain file.", hint="Use another source.")
    if pin.size_bytes is None or status.st_size == pin.size_bytes:
        return status.st_size
    sentence = f"{pin.name} has {status.st_size:,} bytes instead of {pin.size_bytes:,}."
    if status.st_size < pin.size_bytes:
        raise Incomplete(sentence, hint="Run the command again to fetch it once more.")
    raise IntegrityError(sentence, hint="Use another source: this one has another file.")


def _differs(pin: Pin, digest: str, expected: str, key: str) -> IntegrityError:
    """The error for a file whose hash is not the promised one."""
    if pin.sha256 and pin.by != "first-use":
        cause = f"{pin.name} is not the file that the {pin.by} promises"
        hint = "It was deleted. Run the command again; if the same comes back, use another source."
    else:
        cause = f"{pin.name} is not the file that was installed first"
        remove = f"`landfast models remove {key}`"
        hint = f"It was deleted. If the publisher has replaced the file, run {remove} and install again."
    return IntegrityError(f"{cause}: its SHA-256 is {digest}, not {expected}.", hint=hint)


def _identified(layout: Layout, record: Installed) -> Installed:
    """The record with what the file system says of its blobs now."""
    return record.with_files(
        tuple(msgspec.structs.replace(file, identity=identity(layout.blobs / file.sha256)) for file in record.all_files)
    )
