"""The store: installed models, each file verified, each change all or nothing."""

import contextlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

import msgspec

from deploy.errors import LandfastError, NotFound
from deploy.sources.base import Report, silent
from deploy.store.checks import FileVerdict, examine, is_unchanged, problem, quarantine
from deploy.store.files import delete, delete_tree, disk_errors, sync_folder, tree_bytes
from deploy.store.hashing import side_by_side
from deploy.store.layout import Layout
from deploy.store.records import (
    SCHEMA,
    Damaged,
    Installed,
    StoredFile,
    encode,
    entry_id,
    now,
    read_record,
    version_name,
)
from deploy.store.transaction import Transaction, open_transaction


class Rubbish(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in the store that no installed model needs."""

    kind: Literal["interrupted", "set-aside", "left-behind", "former"]
    name: str
    """The model of an interrupted install, the hash of a file, or a former version."""
    size_bytes: int


class Store:
    """All models under one folder. Reading needs no lock and no right to write."""

    def __init__(self, root: Path, *, shared: bool = False, read_only: bool = False) -> None:
        """Name the folder; nothing is made before the first transaction. A shared one is the whole host's.

        One that is read only stays as it is, whatever this user might do there.
        """
        self.root = root
        self._layout = Layout(root, shared, read_only)

    def installed(self) -> tuple[Installed, ...]:
        """Every model whose lock file can be read, by id."""
        return self.own()

    def own(self) -> tuple[Installed, ...]:
        """Those of this very store."""
        return tuple(record for record in self._records() if isinstance(record, Installed))

    def damaged(self) -> tuple[Damaged, ...]:
        """Every lock file that cannot be understood, with its cure."""
        records = tuple(self._records())
        former = (one for record in records for one in self._layout.former_versions(record.id))
        return tuple(record for record in (*records, *former) if isinstance(record, Damaged))

    def get(self, model_id: str) -> Installed | None:
        """One installed model; None when it is not there or its lock file is damaged: installing cures both."""
        with disk_errors(self._layout.models):
            return self._layout.in_use(model_id)

    def former(self, model_id: str) -> tuple[Installed, ...]:
        """The versions of a model that were in use before, the last one first."""
        found = self._layout.former_versions(model_id)
        return tuple(record for record in found if isinstance(record, Installed))

    def versions(self) -> tuple[Installed, ...]:
        """Every version of every model that could be loaded: those in use, each followed by its former ones."""
        return tuple(one for record in self.installed() for one in (record, *self.former(record.id)))

    def switch(self, model_id: str, serial: int, report: Report) -> Installed:
        """Take a former version of a model into use again, and keep the present one as a former one.

        Raises NotFound where there is none of that number, NotWritable while the model is being installed, and
        IntegrityError where the bytes of that version are not what they were. The store is then as it was.
        """
        layout = self._layout
        with layout.key_lock(model_id, silent, 0), disk_errors(self.root):
            wanted = next((one for one in self.former(model_id) if one.serial == serial), None)
            if wanted is None:
                raise NotFound(
                    f"{version_name(model_id, serial)} is not here.", hint="`landfast models show` lists what is kept."
                )
            wanted = wanted.with_files(tuple(self._usable(wanted, file, report) for file in wanted.all_files))
            with layout.store_lock():
                if (used := layout.in_use(model_id)) is not None:
                    layout.keep_version(used)
                layout.write_record(layout.record(model_id), encode(wanted))
                with contextlib.suppress(OSError):  # the version is in use; what stays here counts for nothing
                    delete(layout.former_record(model_id, serial))
                    layout.collect()
        return wanted

    def forget(self, model_id: str, serial: int) -> int:
        """Take a former version away and say how many bytes that frees. Raises NotFound and NotWritable."""
        layout = self._layout
        record = layout.former_record(model_id, serial)
        if not record.exists():
            raise NotFound(
                f"{version_name(model_id, serial)} is not here.", hint="`landfast models show` lists what is kept."
            )
        with layout.key_lock(model_id, silent, 0), disk_errors(self.root), layout.store_lock():
            delete(record)
            sync_folder(record.parent)
            return layout.collect()

    def open_files(self, installed: Installed, report: Report) -> tuple[Path, ...]:
        """The model's files for the engine, in order.

        Costs no reading while the file system says that they are untouched; otherwise, as after a copy of the
        store, they are hashed once. Raises NotFound, Incomplete or IntegrityError for what must not be loaded.
        """
        files = tuple(self._usable(installed, file, report) for file in installed.files)
        if files != installed.files:
            self._remember(msgspec.structs.replace(installed, files=files))
        return tuple(self._layout.blobs / file.sha256 for file in files)

    def open_projector(self, installed: Installed, report: Report) -> Path | None:
        """What lets the model look at images, for the engine; None where it has none. Raises like `open_files`."""
        kept = installed.projector
        if kept is None:
            return None
        found = self._usable(installed, kept, report)
        if found != kept:
            self._remember(installed.with_files((*installed.files, found)))
        return self._layout.blobs / found.sha256

    def verify(self, installed: Installed, report: Report) -> tuple[FileVerdict, ...]:
        """Hash every file of a model. A bad one is moved aside, so that no load can use it."""
        return self.verify_all((installed,), report)[0]

    def verify_all(self, records: Sequence[Installed], report: Report) -> tuple[tuple[FileVerdict, ...], ...]:
        """Hash the files of several models, several at a time. Bad ones are moved aside."""
        files = tuple(file for record in records for file in record.all_files)
        verdicts = iter(
            side_by_side(
                files,
                lambda file, tell: examine(self._layout, file, tell),
                lambda file: file.size_bytes,
                report,
                f"verify {len(files)} files",
            )
        )
        return tuple(self._judged(record, tuple(islice(verdicts, len(record.all_files)))) for record in records)

    def _judged(self, installed: Installed, verdicts: tuple[FileVerdict, ...]) -> tuple[FileVerdict, ...]:
        """Write down what was found of one model, and move its bad files aside."""
        confirmed = installed.with_files(tuple(map(_confirmed, installed.all_files, verdicts)))
        if all(found.verdict == "ok" for found in verdicts):
            self._remember(msgspec.structs.replace(confirmed, verified_at=now()))
        return tuple(self._set_aside(found) for found in verdicts)

    @contextlib.contextmanager
    def transaction(
        self, key: str, need_bytes: int, report: Report, *, wait_s: float = 3600.0
    ) -> Iterator[Transaction]:
        """Begin or continue to install a model; `key` is its id.

        Waits at most `wait_s` for another process that works on the same model. Raises NotWritable or
        NotEnoughSpace before the first byte; what an earlier try has staged counts. Without a commit the store
        stays as it is, and what was staged waits for the next try.
        """
        layout = self._layout
        with (
            layout.key_lock(key, report, wait_s),
            open_transaction(layout, key, need_bytes, report, lambda: self.get(key)) as transaction,
        ):
            yield transaction

    def remove(self, model_id: str) -> int:
        """Uninstall a model and say how many bytes that frees. Files that another model uses stay.

        Raises NotFound for a model that is not installed, and NotWritable while it is being installed.
        """
        layout = self._layout
        record = layout.record(model_id)
        if not record.exists():
            raise NotFound(f"{model_id} is not installed.", hint="Run `landfast models` to see what is.")
        with layout.key_lock(model_id, silent, 0), disk_errors(self.root), layout.store_lock():
            delete(record)
            sync_folder(layout.models)
            return layout.drop_staging(model_id)

    def staged_bytes(self) -> int:
        """What no installed model needs: interrupted installs, files set aside, files that a crash left behind."""
        return sum(found.size_bytes for found in self.rubbish())

    def rubbish(self) -> tuple[Rubbish, ...]:
        """What `clear_staging` would delete, one by one. Changes nothing."""
        layout = self._layout
        with disk_errors(self.root):
            return (
                *(
                    Rubbish(kind="interrupted", name=entry_id(folder.name), size_bytes=tree_bytes(folder))
                    for folder in sorted(layout.staged.glob("*"))
                ),
                *(
                    Rubbish(kind="set-aside", name=path.name, size_bytes=path.stat().st_size)
                    for path in sorted(layout.quarantine.glob("*"))
                ),
                *(
                    Rubbish(kind="left-behind", name=path.name, size_bytes=path.stat().st_size)
                    for path in sorted(layout.orphans(journals=False))
                ),
            )

    def clear_staging(self, key: str | None = None) -> int:
        """Delete what `staged_bytes` counts, or what one interrupted install left; say how many bytes that frees.

        Without a key, installs that are running now are left alone; with one, NotWritable says that it runs.
        """
        self._layout.admit()
        if key is not None:
            return self._clear(key)
        with disk_errors(self.root):
            keys = [entry_id(folder.name) for folder in self._layout.staged.glob("*")]
            freed = delete_tree(self._layout.quarantine)
        for staged in keys:
            with contextlib.suppress(LandfastError):
                freed += self._clear(staged)
        if self.root.exists():
            with disk_errors(self.root), self._layout.store_lock():
                freed += self._layout.collect()
        return freed

    def _clear(self, key: str) -> int:
        """Delete what one interrupted install left, files in mid-move included."""
        with self._layout.key_lock(key, silent, 0), disk_errors(self.root), self._layout.store_lock():
            return self._layout.drop_staging(key)

    def _records(self) -> Iterator[Installed | Damaged]:
        """Read all lock files, by name. One that goes away meanwhile is not there."""
        with disk_errors(self._layout.models):
            for path in sorted(self._layout.models.glob("*.json")):
                with contextlib.suppress(FileNotFoundError):
                    yield read_record(path, entry_id(path.stem))

    def _usable(self, installed: Installed, file: StoredFile, report: Report) -> StoredFile:
        """A file that may be loaded, with its identity of now."""
        if is_unchanged(self._layout, file):
            return file
        found = examine(self._layout, file, report)
        if found.verdict == "ok":
            return _confirmed(file, found)
        self._set_aside(found)
        in_use = self._layout.in_use(installed.id)
        raise problem(installed, found, former=in_use is not None and in_use.serial != installed.serial)

    def _set_aside(self, found: FileVerdict) -> FileVerdict:
        """Move a bad file to quarantine where the store can be written."""
        if found.verdict not in {"altered", "short"}:
            return found
        with contextlib.suppress(OSError, LandfastError), self._layout.store_lock():
            moved_to = quarantine(self._layout, found)
            return msgspec.structs.replace(found, moved_to=str(moved_to) if moved_to else None)
        return found

    def _remember(self, installed: Installed) -> None:
        """Write down new identities. In a store that cannot be written, the next load hashes again."""
        with contextlib.suppress(OSError, LandfastError), self._layout.store_lock():
            path = self._layout.record(installed.id)
            if (current := self._layout.in_use(installed.id)) is None or current.serial != installed.serial:
                path = self._layout.former_record(installed.id, installed.serial)
            written = read_record(path, installed.version)
            if isinstance(written, Installed) and _bare(written) == _bare(installed):
                self._layout.write_record(path, encode(installed))


def _confirmed(file: StoredFile, found: FileVerdict) -> StoredFile:
    """The file with the identity under which it was just found right."""
    return msgspec.structs.replace(file, identity=found.identity) if found.verdict == "ok" else file


def _bare(installed: Installed) -> Installed:
    """The record without what changes while the model stays the same."""
    bare = installed.with_files(tuple(msgspec.structs.replace(file, identity=None) for file in installed.all_files))
    return msgspec.structs.replace(bare, verified_at=installed.installed_at, schema=SCHEMA)
