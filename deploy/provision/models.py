"""Models that are to be there, and those that are no longer wanted."""

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from deploy.commands.admission import require_admitted
from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from deploy.commands.models import remove
from deploy.commands.resolve import resolve
from deploy.errors import IntegrityError, NotFound, NotWritable
from deploy.fit.fit import Workload
from deploy.provision.files import folders
from deploy.provision.lock import Lock, PinnedFile, PinnedModel
from deploy.provision.steps import Change, Finding, Unseen
from deploy.provision.world import World
from deploy.quantities import gigabytes, read_size
from deploy.store.checks import FileVerdict, examine, is_unchanged
from deploy.store.files import disk_errors, write_durably
from deploy.store.layout import Layout
from deploy.store.records import Installed
from deploy.store.stores import ids_of_host

RECEIPT_NAME = "provision.json"


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What `apply` brought to this host, oldest first: it takes away nothing else unless it is told to."""

    models: tuple[str, ...] = ()


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
        after = _description(self.pinned)
        if record is None:
            size_text = f", {gigabytes(self.pinned.size_bytes)}" if self.pinned.size_bytes else ""
            return Change(sentence=f"Install {self.pinned.id}{size_text}.", after=after)
        self._require_same(record)
        if self.pinned.projector is not None and record.projector is None:
            name = self.pinned.projector.name
            return Change(sentence=f"Install the projector {name} of {self.pinned.id}.", after=after)
        damage = _damage(context, record)
        if damage is None:
            return None
        return Change(sentence=f"Install {self.pinned.id} again: {damage}", before=f"{damage}\n", after=after)

    def do(self) -> None:
        """Install it from the sources of the site file; the store is the old one or the new one."""
        context = self.world.pinned(self.lock, self.world.sourced)
        rate = self.world.file.site.sources.max_rate
        request = InstallRequest(
            model=self.pinned.id,
            folder=self._bundle_folder(context),
            max_bytes_s=None if rate is None else read_size(rate),
            workload=Workload() if self.pinned.projector is None else Workload(purpose="vision"),
        )
        installed = install(context, request).data
        if installed is not None:
            self._require_same(installed.installed)

    def _require_admitted(self, context: Context) -> None:
        try:
            target = resolve(context, self.pinned.id, Workload())
        except NotFound:
            return
        require_admitted(context, target)

    def _bundle_folder(self, context: Context) -> str | None:
        """The bundle, for a model that the catalogue does not know and the bundle does."""
        from deploy.catalog.search import find

        bundle = self.world.bundle
        own = bundle.own(self.pinned.id) if bundle is not None else None
        if own is None:
            return None
        self._require_promised(self.pinned.files, {file.name: file.sha256 for file in own[1].files}, "the bundle holds")
        try:
            known = find(context.catalog(), self.pinned.id)[1]
        except NotFound:
            known = None
        named = self.world.file.site.sources.bundle
        return str(self.world.file.beside(named)) if known is None and named is not None else None

    def _require_same(self, record: Installed) -> None:
        files = self.pinned.files if record.projector is None else self.pinned.all_files
        self._require_promised(files, {file.name: file.sha256 for file in record.all_files}, "is installed")

    def _require_promised(self, files: tuple[PinnedFile, ...], found: dict[str, str | None], where: str) -> None:
        for file in files:
            if file.sha256 is not None and found.get(file.name) != file.sha256:
                raise IntegrityError(
                    f"{self.pinned.id} {where} with other bytes than the lock file promises: {file.name}.",
                    hint=f"Find out why, then run `landfast models remove {self.pinned.id}`, and apply the file again.",
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
    name: str = "receipt"

    def look(self) -> Change | None:
        """Compare with what it will be."""
        before, after = read_receipt(self.context), self._wanted()
        if before == after:
            return None
        sentence = "Note which models this file installs, so that only those are ever removed for it."
        return Change(sentence=sentence, before=_listed(before), after=_listed(after))

    def do(self) -> None:
        """Write it."""
        write_receipt(self.context, self._wanted())

    def _wanted(self) -> Receipt:
        """What was brought and is still of use, and what will be brought."""
        before = read_receipt(self.context).models
        wanted = [pinned.id for pinned in self.lock.models]
        installed = {record.id for record in self.context.store.installed()}
        kept = [name for name in before if name in installed or name in wanted]
        fresh = [name for name in dict.fromkeys(wanted) if name not in installed and name not in kept]
        return Receipt(models=(*kept, *fresh))


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
            write_receipt(self.context, Receipt(models=tuple(n for n in receipt.models if n != self.model_id)))


def removals(world: World, lock: Lock) -> tuple[RemovalStep, ...]:
    """What the section [retention] asks to take away, oldest first."""
    retention = world.file.site.retention
    context = replace(world.context, sources=())
    wanted = {pinned.id for pinned in lock.models}
    foreign = ids_of_host(context.store)
    installed = [record.id for record in context.store.installed() if record.id not in foreign]
    brought = [name for name in read_receipt(context).models if name in installed and name not in wanted]
    steps = []
    if retention.old_models is not None:
        old = brought[: max(0, len(brought) - retention.old_models)]
        steps += [RemovalStep(context, name, "an earlier choice, beyond what is kept") for name in old]
    if retention.unlisted == "remove":
        others = [name for name in installed if name not in wanted and name not in brought]
        steps += [RemovalStep(context, name, "the site file does not list it") for name in others]
    return tuple(steps)


def read_receipt(context: Context) -> Receipt:
    """What was brought so far. Raises IntegrityError for a receipt that cannot be understood."""
    path = _receipt_path(context)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Receipt)
    except FileNotFoundError:
        return Receipt()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(
            f"The record {path} of what this file installed cannot be used.",
            hint="Put back a copy, or delete it: models that are here already then count as installed by others.",
        ) from error


def write_receipt(context: Context, receipt: Receipt) -> None:
    """Put it in its place in one move. Raises NotWritable."""
    path = _receipt_path(context)
    with disk_errors(path.parent), folders(path.parent):
        write_durably(path, msgspec.json.format(msgspec.json.encode(receipt), indent=2) + b"\n")


def _receipt_path(context: Context) -> Path:
    return context.paths.state / RECEIPT_NAME


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


def _description(pinned: PinnedModel) -> str:
    lines = [pinned.id, *(f"  {file.sha256 or 'hash at first use'}  {file.name}" for file in pinned.all_files)]
    return "".join(f"{line}\n" for line in lines)


def _listed(receipt: Receipt) -> str:
    return "".join(f"{name}\n" for name in receipt.models)
