"""Models that are to be there, and those that are no longer wanted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from deploy.bundle.signing import trusted_keys
from deploy.catalog.model import CataloguedFile
from deploy.commands.admission import require_admitted
from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from deploy.commands.models import remove
from deploy.commands.resolve import resolve
from deploy.errors import IntegrityError, NotFound, NotWritable, PolicyRefused
from deploy.fit.fit import Workload
from deploy.provision.keeping import is_closed
from deploy.provision.lock import Lock, PinnedFile, PinnedModel
from deploy.provision.receipt import Receipt, read_receipt, write_receipt
from deploy.provision.steps import Change, Finding, Unseen
from deploy.provision.world import World
from deploy.quantities import gigabytes, read_size
from deploy.store.checks import FileVerdict, examine, is_unchanged
from deploy.store.layout import Layout
from deploy.store.records import Installed, StoredFile
from deploy.store.stores import ids_of_host


@dataclass(frozen=True, slots=True)
class ModelStep:
    """One model that is to be installed, with the bytes that were promised."""

    world: World
    lock: Lock
    pinned: PinnedModel

    @property
    def name(self) -> str:
        """Of the step."""
        return f"model {self.pinned.id}"

    def look(self) -> Change | None:
        """Without reading a byte where the file system says that nothing was touched.

        Raises PolicyRefused for a model that the wanted policy forbids, IntegrityError for one with other bytes.
        """
        context = self.world.pinned(self.lock, self.world.context)
        self._require_admitted(context)
        record = next((found for found in context.store.installed() if found.id == self.pinned.id), None)
        after = _description(self.pinned.id, self.pinned.all_files)
        if record is None:
            size_text = f", {gigabytes(self.pinned.size_bytes)}" if self.pinned.size_bytes else ""
            return Change(sentence=f"Install {self.pinned.id}{size_text}.", after=after)
        if (other := self._other(record)) is not None:
            self._require_brought(other)
            before = _description(self.pinned.id, record.all_files)
            return Change(
                sentence=f"Change {self.pinned.id} to the version of the lock file.", before=before, after=after
            )
        if self.pinned.projector is not None and record.projector is None:
            name = self.pinned.projector.name
            return Change(sentence=f"Install the projector {name} of {self.pinned.id}.", after=after)
        damage = _damage(context, record)
        if damage is None:
            return None
        return Change(sentence=f"Install {self.pinned.id} again: {damage}", before=f"{damage}\n", after=after)

    def do(self) -> None:
        """Install it from the sources of the site file; the store is the old one or the new one.

        A version that was in use here before is taken into use again, which needs no source.
        """
        if not self._gone_back() or self.look() is not None:
            self._install()

    def _gone_back(self) -> bool:
        """Whether another version is in use, and the pinned one was kept and is now in use again."""
        store = self.world.context.store
        record = store.get(self.pinned.id)
        if record is None or self._other(record) is None:
            return False
        former = next((one for one in store.former(self.pinned.id) if self._other(one) is None), None)
        if former is not None:
            store.switch(self.pinned.id, former.serial, self.world.context.report)
        return former is not None

    def _install(self) -> None:
        context = self.world.pinned(self.lock, self.world.sourced)
        rate = self.world.file.site.sources.max_rate
        request = InstallRequest(
            model=self.pinned.id,
            folder=self._bundle_folder(context),
            max_bytes_s=None if rate is None else read_size(rate),
            workload=Workload() if self.pinned.projector is None else Workload(purpose="vision"),
        )
        installed = install(context, request).data
        if installed is not None and (other := self._other(installed.installed)) is not None:
            raise self._foreign(other)

    def _require_admitted(self, context: Context) -> None:
        try:
            target = resolve(context, self.pinned.id, Workload())
        except NotFound:
            return
        try:
            require_admitted(context, target)
        except PolicyRefused as error:
            cure = "Remove it from the site file or, where it was chosen for a use, from the lock file."
            raise PolicyRefused(error.message, hint=f"{error.hint} {cure}") from error

    def _bundle_folder(self, context: Context) -> str | None:
        """The bundle, for a model that the catalogue does not know and the bundle does."""
        from deploy.catalog.search import find

        bundle = self.world.bundle
        own = bundle.own(self.pinned.id) if bundle is not None else None
        if own is None:
            return None
        if (other := _first_other(self.pinned.files, own[1].files)) is not None:
            raise IntegrityError(
                f"The bundle holds {self.pinned.id} with other bytes than the lock file promises: {other}.",
                hint="Use the lock file that was made with this bundle, or choose again where choices are made.",
            )
        try:
            known = find(context.catalog(), self.pinned.id)[1]
        except NotFound:
            known = None
        named = self.world.file.site.sources.bundle
        return str(self.world.file.beside(named)) if known is None and named is not None else None

    def _other(self, record: Installed) -> str | None:
        """The first installed file whose bytes are not the promised ones."""
        files = self.pinned.files if record.projector is None else self.pinned.all_files
        return _first_other(files, record.all_files)

    def _require_brought(self, other: str) -> None:
        """Another version gives way where `apply` itself brought it; what others brought is not replaced unasked."""
        if self.pinned.id not in read_receipt(self.world.context).models:
            raise self._foreign(other)

    def _foreign(self, other: str) -> IntegrityError:
        program = "landfast --system" if self.world.context.paths.shared else "landfast"
        return IntegrityError(
            f"{self.pinned.id} is installed with other bytes than the lock file promises: {other}.",
            hint=f"Find out why, then run `{program} models remove {self.pinned.id}`, and apply the file again.",
        )


@dataclass(frozen=True, slots=True)
class TidyStep:
    """Nothing is left of an install that was cut off when its model was in place already."""

    context: Context
    lock: Lock
    name: str = "left over"

    def look(self) -> Finding:
        """Look into the staging folder, where this user may."""
        try:
            found = self._left()
        except NotWritable as error:
            return Unseen(error.message)
        if not found:
            return None
        return Change(sentence=f"Delete what an interrupted install of {found[0]} left.", before=f"{found[0]}\n")

    def do(self) -> None:
        """Delete it; NotWritable where that install still runs."""
        for name in self._left():
            self.context.store.clear_staging(name)

    def _left(self) -> list[str]:
        wanted = {pinned.id for pinned in self.lock.models}
        return [
            found.name for found in self.context.store.rubbish() if found.kind == "interrupted" and found.name in wanted
        ]


@dataclass(frozen=True, slots=True)
class ReceiptStep:
    """The note of what `apply` brings, written before it is brought."""

    context: Context
    lock: Lock
    keys: tuple[str, ...]
    """Fingerprints of the keys that the site file lists."""
    name: str = "receipt"

    def look(self) -> Change | None:
        """Compare with what it will be."""
        before, after = read_receipt(self.context), self._wanted()
        if before == after:
            return None
        sentence = "Note which models and keys this file brings, so that only those are ever removed for it."
        return Change(sentence=sentence, before=_listed(before), after=_listed(after))

    def do(self) -> None:
        """Write it."""
        write_receipt(self.context, self._wanted())

    def _wanted(self) -> Receipt:
        """What was brought and is still of use, and what will be brought."""
        before = read_receipt(self.context)
        wanted = [pinned.id for pinned in self.lock.models]
        installed = {record.id for record in self.context.store.installed()}
        kept = [name for name in before.models if name in installed or name in wanted]
        fresh = [name for name in dict.fromkeys(wanted) if name not in installed and name not in kept]
        return Receipt(models=(*kept, *fresh), keys=self._wanted_keys(before.keys))

    def _wanted_keys(self, before: tuple[str, ...]) -> tuple[str, ...]:
        if is_closed(self.context):
            return before
        trusted = {known.fingerprint for known in trusted_keys(self.context.paths)}
        kept = (key for key in before if key in trusted or key in self.keys)
        return tuple(dict.fromkeys((*kept, *self.keys)))


@dataclass(frozen=True, slots=True)
class RemovalStep:
    """A model that is no longer wanted."""

    context: Context
    model_id: str
    why: str

    @property
    def name(self) -> str:
        """Of the step."""
        return f"old model {self.model_id}"

    def look(self) -> Change | None:
        """It is there, or else it would not have been planned."""
        record = self.context.store.get(self.model_id)
        if record is None:
            return None
        before = f"{self.model_id}\n"
        return Change(sentence=f"Remove {self.model_id}, {gigabytes(record.size_bytes)}: {self.why}.", before=before)

    def do(self) -> None:
        """Take it away, and then its line in the receipt."""
        remove(self.context, self.model_id)
        receipt = read_receipt(self.context)
        if self.model_id in receipt.models:
            left = tuple(name for name in receipt.models if name != self.model_id)
            write_receipt(self.context, msgspec.structs.replace(receipt, models=left))


@dataclass(frozen=True, slots=True)
class FormerStep:
    """Former versions of a model that `apply` brought, beyond what is kept."""

    context: Context
    model_id: str
    kept: int

    @property
    def name(self) -> str:
        """Of the step."""
        return f"former versions {self.model_id}"

    def look(self) -> Change | None:
        """Count them, when the model itself is as wanted."""
        old = self._old()
        if not old:
            return None
        before = "".join(f"{one.version}\n" for one in old)
        return Change(sentence=f"Remove {', '.join(one.version for one in old)}: beyond what is kept.", before=before)

    def do(self) -> None:
        """Take them away, one by one."""
        for one in self._old():
            self.context.store.forget(one.id, one.serial)

    def _old(self) -> tuple[Installed, ...]:
        brought = self.model_id in read_receipt(self.context).models
        return self.context.store.former(self.model_id)[self.kept :] if brought else ()


def removals(world: World, lock: Lock) -> tuple[RemovalStep | FormerStep, ...]:
    """What the section [retention] asks to take away, oldest first."""
    retention = world.file.site.retention
    context = replace(world.context, sources=())
    wanted = {pinned.id for pinned in lock.models}
    foreign = ids_of_host(context.store)
    installed = [record.id for record in context.store.installed() if record.id not in foreign]
    brought = [name for name in read_receipt(context).models if name in installed and name not in wanted]
    steps: list[RemovalStep | FormerStep] = []
    if retention.old_models is not None:
        steps += [FormerStep(context, name, retention.old_models) for name in sorted(wanted)]
        old = brought[: max(0, len(brought) - retention.old_models)]
        steps += [RemovalStep(context, name, "an earlier choice, beyond what is kept") for name in old]
    if retention.unlisted == "remove":
        others = [name for name in installed if name not in wanted and name not in brought]
        steps += [RemovalStep(context, name, "the site file does not list it") for name in others]
    return tuple(steps)


def _damage(context: Context, record: Installed) -> str | None:
    """What is wrong with an installed model's files; reads those that the file system says were touched."""
    layout = _layout(context, record)
    found = (_verdict(layout, context, number, record) for number in range(len(record.all_files)))
    return next((verdict.sentence for verdict in found if verdict is not None and verdict.verdict != "ok"), None)


def _layout(context: Context, record: Installed) -> Layout:
    """Where a model lies: one's own store, or the host's beside it."""
    host = context.paths.host
    if host is not None and record.id in ids_of_host(context.store):
        return Layout(host.store, shared=True)
    return Layout(context.paths.store, context.paths.shared)


def _verdict(layout: Layout, context: Context, number: int, record: Installed) -> FileVerdict | None:
    file = record.all_files[number]
    return None if is_unchanged(layout, file) else examine(layout, file, context.report)


def _first_other(promised: Sequence[PinnedFile], found: Sequence[StoredFile | CataloguedFile]) -> str | None:
    """The first file whose promised hash is not that of the file of its name."""
    hashes = {file.name: file.sha256 for file in found}
    others = (file.name for file in promised if file.sha256 is not None and hashes.get(file.name) != file.sha256)
    return next(others, None)


def _description(model_id: str, files: Sequence[PinnedFile | StoredFile]) -> str:
    lines = [model_id, *(f"  {file.sha256 or 'hash at first use'}  {file.name}" for file in files)]
    return "".join(f"{line}\n" for line in lines)


def _listed(receipt: Receipt) -> str:
    return "".join(f"{name}\n" for name in (*receipt.models, *(f"key {key}" for key in receipt.keys)))
