"""Where things lie in the store, and what keeps two processes apart in it."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from deploy.errors import NotWritable
from deploy.sources.base import Report, silent
from deploy.store.files import (
    TEMPORARY,
    delete,
    delete_tree,
    disk_errors,
    place,
    set_rights,
    sync_folder,
    write_durably,
)
from deploy.store.locks import hold
from deploy.store.records import Damaged, Installed, encode, entry_name, read_record, version_name
from deploy.store.sharing import OWN, SHARED, Modes, adopt_group, make_root, require_owner, set_mode

_SHA256: Final = re.compile(rb"[0-9a-f]{64}")
_PUBLISH_WAIT_S: Final = 120.0  # publishing renames a few files; only a stuck disk takes this long


class Move(msgspec.Struct, frozen=True):
    """One verified file on its way from the staging folder to its place among the blobs."""

    staged: str
    """Path inside the staging folder."""
    sha256: str


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one store. All lie on one file system, so that a rename is atomic."""

    root: Path
    shared: bool = False
    """Whether it is the host's: then its owner alone may change it."""
    read_only: bool = False
    """Whether it is only looked at, by whomever."""

    @property
    def modes(self) -> Modes:
        """The rights of what is made here."""
        return SHARED if self.shared else OWN

    @property
    def blobs(self) -> Path:
        """Verified files, each named by its SHA-256."""
        return self.root / "blobs" / "sha256"

    @property
    def models(self) -> Path:
        """One lock file for each installed model."""
        return self.root / "models"

    @property
    def quarantine(self) -> Path:
        """Files that were found altered; nothing loads from here."""
        return self.root / "quarantine"

    @property
    def staged(self) -> Path:
        """What installs in progress, or interrupted ones, have brought so far."""
        return self.root / "staging"

    @property
    def versions(self) -> Path:
        """For each model, the lock files of the versions that were in use before."""
        return self.root / "versions"

    def record(self, model_id: str) -> Path:
        """The lock file of a model."""
        return self.models / f"{entry_name(model_id)}.json"

    def former(self, model_id: str) -> Path:
        """The folder of a model's former versions."""
        return self.versions / entry_name(model_id)

    def former_record(self, model_id: str, serial: int) -> Path:
        """The lock file of one former version."""
        return self.former(model_id) / f"{serial}.json"

    def staging(self, key: str) -> Path:
        """The folder of one install: the source's files, and the journal while they are moved."""
        return self.staged / entry_name(key)

    def incoming(self, key: str) -> Path:
        """Where a source puts its files. It is the source's alone."""
        return self.staging(key) / "files"

    def journal(self, key: str) -> Path:
        """The list of moves in progress. It is there only while files are moved."""
        return self.staging(key) / "journal.json"

    @property
    def locks(self) -> Path:
        """What keeps two processes apart."""
        return self.root / "locks"

    def create(self) -> None:
        """Make the folders that are not there yet."""
        for folder in (self.blobs.parent, self.blobs, self.models, self.versions):
            folder.mkdir(parents=True, exist_ok=True)
            set_mode(folder, self.modes.folder)
        self.make_private(self.staged)
        for folder in (self.root, self.blobs.parent):
            sync_folder(folder)

    def make_private(self, folder: Path) -> None:
        """Make a folder whose contents are nobody else's business."""
        folder.mkdir(parents=True, exist_ok=True)
        set_mode(folder, self.modes.private)

    def place_blob(self, staged: Path, sha256: str) -> None:
        """Move a verified file among the blobs, with the group of a shared store."""
        blob = self.blobs / sha256
        place(staged, blob, self.modes.blob)
        if self.shared:
            adopt_group(blob)

    def write_record(self, path: Path, content: bytes) -> None:
        """Put a lock file in place."""
        write_durably(path, content, self.modes.paper)

    @contextlib.contextmanager
    def key_lock(self, key: str, report: Report, wait_s: float) -> Iterator[None]:
        """Be the only one who installs or removes this model."""
        self.admit()
        with hold(self.locks / f"{entry_name(key)}.lock", f"works on {key}", report, wait_s):
            yield

    @contextlib.contextmanager
    def store_lock(self) -> Iterator[None]:
        """Be the only one who moves blobs and lock files. Held for moments only."""
        # No key begins with an underscore.
        self.admit()
        with hold(self.locks / "_store.lock", "changes the store", silent, _PUBLISH_WAIT_S):
            yield

    def admit(self) -> None:
        """Before any change of a host's store: who is not its owner changes nothing. Raises NotWritable."""
        if self.read_only:
            raise NotWritable(
                f"The models in {self.root} belong to the host, and are only read here.",
                hint="An administrator can change them with `landfast --system models`.",
            )
        if self.shared:
            require_owner(self.root)
            with disk_errors(self.root):
                make_root(self.root)
                self.make_private(self.locks)

    def named_blobs(self, *, journals: bool) -> set[str]:
        """Every hash that a lock file speaks of, readable or damaged; with `journals`, also those on the move.

        Former versions count while their model is installed: without it nobody could go back to them.
        """
        models = list(self.models.glob("*.json"))
        former = (paper for model in models for paper in (self.versions / model.stem).glob("*.json"))
        papers = [*models, *former, *(self.staged.glob("*/journal.json") if journals else ())]
        return {found.decode() for paper in papers for found in _SHA256.findall(_content(paper))}

    def orphans(self, *, journals: bool) -> tuple[Path, ...]:
        """Blobs that no lock file speaks of; with `journals`, only those that no move in progress speaks of either."""
        named = self.named_blobs(journals=journals)
        return tuple(blob for blob in self.blobs.glob("*") if blob.name not in named)

    def collect(self) -> int:
        """Delete the orphans, under the store lock, and say how many bytes that frees.

        One that is in use on Windows stays for the next time.
        """
        for folder in self.versions.glob("*"):
            if not (self.models / f"{folder.name}.json").exists():
                delete_tree(folder)
        freed = 0
        unfinished = (*self.models.glob(f"{TEMPORARY}*"), *self.versions.glob(f"*/{TEMPORARY}*"))
        for path in (*self.orphans(journals=True), *unfinished):
            with contextlib.suppress(PermissionError):
                freed += delete(path)
        return freed

    def keep_version(self, record: Installed) -> None:
        """Write down a version that is about to be replaced, under the store lock."""
        path = self.former_record(record.id, record.serial)
        path.parent.mkdir(parents=True, exist_ok=True)
        set_mode(path.parent, self.modes.folder)
        self.write_record(path, encode(record))
        sync_folder(self.versions)

    def former_versions(self, model_id: str) -> tuple[Installed | Damaged, ...]:
        """What was in use before what is now, the last one first. A copy of what is in use does not count."""
        papers = sorted(filter(_is_numbered, self.former(model_id).glob("*.json")), key=_serial, reverse=True)
        in_use = self.in_use(model_id) if papers else None
        found: list[Installed | Damaged] = []
        for path in papers:
            with contextlib.suppress(FileNotFoundError):
                found.append(read_record(path, version_name(model_id, path.stem)))
        return tuple(one for one in found if in_use is None or not _same(one, in_use))

    def in_use(self, model_id: str) -> Installed | None:
        """The version of a model that loads; None where there is none or its lock file is damaged."""
        with contextlib.suppress(FileNotFoundError):
            record = read_record(self.record(model_id), model_id)
            return record if isinstance(record, Installed) else None
        return None

    def plan_moves(self, key: str, files: tuple[Path, ...], hashes: tuple[str, ...]) -> tuple[Move, ...]:
        """Write down, durably, which staged files are about to become blobs."""
        home = self.incoming(key)
        pairs = zip(files, hashes, strict=True)
        moves = tuple(Move(file.relative_to(home).as_posix(), sha256) for file, sha256 in pairs)
        write_durably(self.journal(key), msgspec.json.encode(moves))
        return moves

    def undo(self, key: str) -> None:
        """Bring files of an install that was cut off in mid-move back to its staging folder, under the store lock.

        Files that an installed model has come to share stay where they are.
        """
        journal = self.journal(key)
        if not journal.exists():
            return
        shared = self.named_blobs(journals=False)
        for move in _moves(journal):
            blob, home = self.blobs / move.sha256, self.incoming(key) / move.staged
            if blob.exists() and not home.exists() and move.sha256 not in shared:
                set_rights(blob, 0o644)
                home.parent.mkdir(parents=True, exist_ok=True)
                blob.replace(home)
        journal.unlink()

    def drop_staging(self, key: str) -> int:
        """Delete all that an install has brought so far, under the store lock, and say how many bytes that frees."""
        return delete_tree(self.staging(key)) + self.collect()


def _is_numbered(path: Path) -> bool:
    """Whether a file among the former versions is the lock file of one; what has no number is nobody's version."""
    return path.stem.isdecimal()


def _serial(path: Path) -> int:
    """The number in the name of a former version's lock file."""
    return int(path.stem)


def _same(one: Installed | Damaged, other: Installed) -> bool:
    return isinstance(one, Installed) and one.serial == other.serial


def _moves(journal: Path) -> tuple[Move, ...]:
    """What a journal lists; nothing when the disk has lost it, so that a new install is not in its way."""
    try:
        return msgspec.json.decode(journal.read_bytes(), type=tuple[Move, ...])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ()


def _content(path: Path) -> bytes:
    """A file's bytes; none for a file that another process has just deleted."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
