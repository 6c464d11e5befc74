"""`landfast install [MODEL]`: bring a model in, every byte verified, or change nothing."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from deploy.bundle.manifest import BundledModel
from deploy.bundle.source import BundleSource
from deploy.catalog.model import Artifact, CataloguedFile, Model
from deploy.commands.admission import require_admitted, require_subject_admitted, subject_of_description
from deploy.commands.arrival import arrival, promised, require_form, seen_by
from deploy.commands.context import Context
from deploy.commands.places import bundle_of, only_from
from deploy.commands.projectors import Seer, Sight, bring, is_projector, sight_of
from deploy.commands.resolve import looks_like_file, resolve
from deploy.commands.select import select
from deploy.commands.sources import require_place
from deploy.commands.targets import CatalogueTarget, FileTarget, InstalledTarget, Target
from deploy.errors import LandfastError, NotFound, NothingFits, Unreachable, UsageError
from deploy.fit.fit import Workload
from deploy.gguf.check import ModelFile, inspect, inspect_parts
from deploy.paths import plain_name
from deploy.results import Message, Result, info, warning
from deploy.sources.base import NoOffer, Source
from deploy.sources.folder import Folder
from deploy.sources.package_index import NAME as PACKAGE_INDEX
from deploy.sources.rate import limited
from deploy.store.files import sha256_of
from deploy.store.records import Arrival, Description, Installed, Pin, Pinned, Promise
from deploy.store.transaction import Transaction


class InstallRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to install. Without a model the best one here is chosen."""

    model: str | None = None
    folder: str | None = None
    """Take the files from this folder, file, bundle or web server and from nowhere else. Where it is the file of a
    projector, only that is taken from it."""
    max_bytes_s: int | None = None
    """Transfer no faster than this; None for as fast as it goes."""
    workload: Workload = Workload()
    """Where it is for vision, the model's projector comes too."""


class InstallData(msgspec.Struct, frozen=True, kw_only=True):
    """What is installed now."""

    installed: Installed
    reason: str
    """Why this model: it was named, or why it was chosen."""


def install(context: Context, request: InstallRequest) -> Result[InstallData]:
    """Install a model, or find that it is installed and whole.

    Raises whatever stands in the way; the store is then as before, and a later try goes on where this one ended.
    """
    named = _projector_named(request)
    if named is not None:
        require_place(context.policy, Folder(named))
        request = msgspec.structs.replace(request, folder=None)
    elif request.folder is not None:
        context = only_from(context, request.folder)
    context = _slowed(context, request.max_bytes_s)
    target, reason, messages = _wanted(context, request)
    _require_admitted(context, target)
    asked = named is not None or request.workload.purpose == "vision"
    sight = sight_of(context, _seer(context, target), _place(request, target, named), asked=asked)
    whole = _install(context, request, (target, reason, messages), sight)
    return whole if sight is None else _with_projector(context, sight, whole)


def _install(
    context: Context,
    request: InstallRequest,
    wanted_here: "tuple[Goal, str, tuple[Message, ...]]",
    sight: Sight | None,
) -> Result[InstallData]:
    """Bring the model itself."""
    target, reason, messages = wanted_here
    if isinstance(target, InstalledTarget):
        if not _outdated(target) and _whole(context, target.installed):
            return _nothing_to_do(target.installed, reason, messages)
        target = _again(target, request)
        _require_admitted(context, target)
    offered = _offered(context, request, target)
    wanted = _described(context, target, request.workload)
    if sight is not None and sight.offered:
        wanted = msgspec.structs.replace(wanted, beside_bytes=sight.offered[0].artifact.size_bytes)
    installed, fresh, note = _bring(context, offered, wanted)
    if not fresh:
        return _nothing_to_do(installed, reason, messages)
    return Result(
        command="install",
        changed=True,
        data=InstallData(installed=installed, reason=reason),
        messages=(*messages, *note, *_kept(context, installed)),
    )


def _projector_named(request: InstallRequest) -> Path | None:
    """The file of a projector that was named with --from: the model itself then comes from where it always comes."""
    path = None if request.folder is None else Path(request.folder).expanduser()
    if path is None or not path.is_file() or not is_projector(path):
        return None
    if request.model is None:
        raise UsageError(
            f"{path.name} is a projector, and belongs to a model.",
            hint=f"Give the model: `landfast install MODEL --for vision --from {request.folder}`.",
        )
    return path


def _place(request: InstallRequest, target: "Goal", named: Path | None) -> Path | None:
    """Where a projector may lie beside the model, or the file of one that was named."""
    if named is not None:
        return named
    if isinstance(target, FileTarget):
        return target.path.parent
    if request.folder is None or request.folder.startswith(("http://", "https://")):
        return None
    path = Path(request.folder).expanduser()
    return path.parent if path.is_file() else path


def _seer(context: Context, target: "Goal") -> Seer:
    match target:
        case InstalledTarget(installed, known):
            return Seer(installed.id, known, installed)
        case CatalogueTarget(model, artifact):
            return Seer(target.id, (model, artifact), context.store.get(target.id))
    wanted = _goods(target)
    return Seer(wanted.id, None, context.store.get(wanted.id))


def _with_projector(context: Context, sight: Sight, whole: Result[InstallData]) -> Result[InstallData]:
    """The model with its projector, which is brought after it."""
    if not sight.offered or whole.data is None:
        return whole
    installed, notes = bring(context, whole.data.installed, sight.offered)
    return msgspec.structs.replace(
        whole,
        changed=True,
        data=msgspec.structs.replace(whole.data, installed=installed),
        messages=(*whole.messages, *notes),
    )


def _outdated(target: InstalledTarget) -> bool:
    """Whether the catalogue promises other bytes by now than those that are installed."""
    if target.catalogued is None:
        return False
    promised_hashes = tuple(file.sha256 for file in target.catalogued[1].files)
    return None not in promised_hashes and promised_hashes != target.installed.hashes


def _kept(context: Context, installed: Installed) -> tuple[Message, ...]:
    """That the former version can be gone back to."""
    if not any(one.serial == installed.serial - 1 for one in context.store.former(installed.id)):
        return ()
    back, free = f"`landfast models rollback {installed.id}`", "`landfast models gc --former`"
    return (info(f"The former version is kept: {back} goes back to it, {free} gives back its space."),)


@dataclass(frozen=True, slots=True)
class BundledTarget:
    """A model that a bundle brings and the catalogue does not know."""

    model: BundledModel
    artifact: Artifact


Goal = Target | BundledTarget


def _require_admitted(context: Context, target: Goal) -> None:
    """Raises PolicyRefused. A bundle's signer promises its hashes."""
    if isinstance(target, BundledTarget):
        subject = subject_of_description(target.model, target.artifact.size_bytes, pinned=True)
        require_subject_admitted(context, subject)
    else:
        require_admitted(context, target)


def _slowed(context: Context, max_bytes_s: int | None) -> Context:
    """The world at a limited rate: without the package index, since pip keeps to none."""
    if max_bytes_s is None:
        return context
    sources = tuple(source for source in context.sources if source.name != PACKAGE_INDEX)
    return replace(context, report=limited(context.report, max_bytes_s), sources=sources)


def _wanted(context: Context, request: InstallRequest) -> tuple[Goal, str, tuple[Message, ...]]:
    name = _name(request)
    if name is not None:
        return _resolved(context, name, request.workload), "It was asked for by name.", ()
    chosen = select(context, request.workload)
    if chosen.data is None or chosen.data.ranking.chosen is None:
        if only := _only_one(context):
            return only, "It is the only model in the bundle.", ()
        raise NothingFits(chosen.errors[0].message, hint=chosen.errors[0].hint)
    best = chosen.data.ranking.chosen
    return resolve(context, best.fit.id, request.workload), best.why, chosen.messages


def _resolved(context: Context, name: str, workload: Workload) -> Goal:
    """What a name means; a bundle may know models that the catalogue does not."""
    try:
        return resolve(context, name, workload)
    except NotFound:
        bundle = bundle_of(context)
        own = bundle.own(name) if bundle is not None else None
        if own is None:
            raise
        return BundledTarget(*own)


def _only_one(context: Context) -> BundledTarget | None:
    """The one model of a bundle, where the catalogue does not know it and thus could not choose it."""
    bundle = bundle_of(context)
    if bundle is None or len(bundle.ids()) != 1:
        return None
    target = _resolved(context, bundle.ids()[0], Workload())
    return target if isinstance(target, BundledTarget) else None


def _name(request: InstallRequest) -> str | None:
    """The model that was asked for. Where the files come from one file, that file decides what is left open."""
    path = Path(request.folder).expanduser() if request.folder is not None else None
    if path is None or not path.is_file():
        return request.model
    if request.model is None:
        return str(path.absolute())
    if ":" in request.model or looks_like_file(request.model):
        return request.model
    return f"{request.model}:{inspect(path).quant}"


def _whole(context: Context, installed: Installed) -> bool:
    """Whether an installed model can be loaded; a damaged one is installed again."""
    try:
        context.store.open_files(installed, context.report)
    except LandfastError:
        return False
    return True


def _again(target: InstalledTarget, request: InstallRequest) -> Goal:
    """What a damaged model is brought again as: the catalogue's, or from a place that was named what it was."""
    if target.catalogued is None:
        if request.folder is not None:
            return target
        raise Unreachable(
            f"{target.installed.id} is damaged, and it came from a file of your own.",
            hint=f"Give a place that has it: `landfast install {target.installed.id} --from PLACE`.",
        )
    return CatalogueTarget(*target.catalogued)


def _nothing_to_do(installed: Installed, reason: str, messages: tuple[Message, ...]) -> Result[InstallData]:
    return Result(
        command="install",
        data=InstallData(installed=installed, reason=reason),
        messages=(*messages, info(f"{installed.id} is installed already.")),
    )


class _Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What goes into the store, wherever it comes from."""

    id: str
    artifact: Artifact
    model: Model | None = None
    known: Description | None = None
    """What an earlier install or a bundle says of a model that the catalogue does not know."""
    pinned: tuple[Pinned, ...] = ()
    """For each file, who promised its hash; empty where it was the catalogue."""
    own: Path | None = None
    """The file that the user named; None where it comes from elsewhere."""
    promise: Promise | None = None
    beside_bytes: int = 0
    """What is to come after it."""

    @property
    def promisers(self) -> tuple[Pinned, ...]:
        """For each file, who promised its hash."""
        everyone: Pinned = "catalogue"
        return self.pinned or (everyone,) * len(self.artifact.files)


def _bring(
    context: Context, offered: Sequence[tuple[Source, str]], wanted: _Wanted
) -> tuple[Installed, bool, tuple[Message, ...]]:
    """Try the sources in turn. One that does not answer or has not got it is passed over; a wrong byte is final."""
    silent: list[Unreachable | NotFound] = []
    for source, place in offered:
        try:
            installed, fresh = _bring_from(context, source, place, wanted)
        except (Unreachable, NotFound) as error:
            silent.append(error)
            continue
        return installed, fresh, tuple(warning(error.message) for error in silent)
    if len(silent) == 1:
        raise silent[0]
    if silent:
        raise Unreachable(" ".join(error.message for error in silent), hint=silent[0].hint)
    raise Unreachable(
        f"No source offers {wanted.id}.",
        hint="Connect to a hub or a mirror, or give the folder that holds the files with --from.",
    )


def _bring_from(context: Context, source: Source, place: str, wanted: _Wanted) -> tuple[Installed, bool]:
    need_bytes = wanted.artifact.size_bytes + wanted.beside_bytes
    with context.store.transaction(wanted.id, need_bytes, context.report) as transaction:
        wanted = _vouched(source, _hashed(context, wanted, transaction.present))
        present = transaction.present
        if present is not None and _is(present, wanted) and _whole(context, present):
            return present, False
        files = source.fetch(wanted.artifact, transaction.staging, context.report)
        return _commit(transaction, files, wanted, (source, place)), True


def _is(present: Installed, wanted: _Wanted) -> bool:
    """Whether what is installed is what is wanted, as far as anybody promised hashes."""
    files = wanted.artifact.files
    return len(present.files) == len(files) and all(
        file.sha256 is None or file.sha256 == there for file, there in zip(files, present.hashes, strict=True)
    )


def _hashed(context: Context, wanted: _Wanted, present: Installed | None) -> _Wanted:
    """A file of one's own is told from an earlier one of its name by its hash: another one is another version."""
    if wanted.own is None or present is None:
        return wanted
    (file,) = wanted.artifact.files
    digest, _ = sha256_of(wanted.own, f"hash {file.name}", context.report)
    artifact = msgspec.structs.replace(wanted.artifact, files=(msgspec.structs.replace(file, sha256=digest),))
    return msgspec.structs.replace(wanted, artifact=artifact, pinned=("first-use",))


def _vouched(source: Source, wanted: _Wanted) -> _Wanted:
    """With a bundle, its signer promises the hashes that nobody else does."""
    if not isinstance(source, BundleSource):
        return wanted
    pinned: tuple[Pinned, ...] = tuple(
        who if file.sha256 else "bundle" for who, file in zip(wanted.promisers, wanted.artifact.files, strict=True)
    )
    return msgspec.structs.replace(wanted, artifact=source.promised(wanted.artifact), pinned=pinned)


def _commit(
    transaction: Transaction, files: tuple[Path, ...], wanted: _Wanted, origin: tuple[Source, str]
) -> Installed:
    source, place = origin
    pins = [
        Pin(name=file.name, size_bytes=file.size_bytes if file.size_exact else None, sha256=file.sha256, by=who)
        for file, who in zip(wanted.artifact.files, wanted.promisers, strict=True)
    ]

    def validate(paths: Sequence[Path]) -> ModelFile:
        contents = inspect_parts(paths)
        if not wanted.artifact.pinned and wanted.model is not None:
            require_form(wanted.id, contents)
        return contents

    def describe(contents: ModelFile) -> Arrival:
        return arrival(_description(wanted, place, contents), source, wanted.promise, transaction.present)

    return transaction.commit(files, pins, validate, describe, seen_by(source))


def _description(wanted: _Wanted, place: str, contents: ModelFile) -> Description:
    template = contents.chat_template
    model_id, _, quant = wanted.id.partition(":")
    if wanted.known is not None:
        same = {name: getattr(wanted.known, name) for name in Description.__struct_fields__}
        return Description(**{**same, "source": place})
    return Description(
        id=wanted.id,
        model_id=model_id,
        name=wanted.model.name if wanted.model else contents.name,
        quant=quant,
        publisher=wanted.artifact.publisher,
        architecture=contents.architecture,
        licence=wanted.model.licence.id if wanted.model else "unknown",
        source=place,
        chat_template_sha256=hashlib.sha256(template.encode()).hexdigest() if template else None,
    )


def _offered(context: Context, request: InstallRequest, target: Goal) -> list[tuple[Source, str]]:
    """Sources that have the target, each with its name for people. A folder that was named is the only one."""
    if request.folder is not None:
        return [(source, source.name) for source in context.sources]
    if isinstance(target, FileTarget):
        own = Folder(target.path)
        return [(own, own.name)]
    artifact = _goods(target).artifact
    offers = [(source, source.offer(artifact)) for source in context.sources]
    return [(source, offer.source) for source, offer in offers if not isinstance(offer, NoOffer)]


def _described(context: Context, target: Goal, workload: Workload) -> _Wanted:
    """What goes into the store, with what is foretold of it here."""
    wanted = _goods(target)
    if not isinstance(target, (CatalogueTarget, FileTarget)):
        return wanted
    return msgspec.structs.replace(wanted, promise=promised(context, target, workload))


def _goods(target: Goal) -> _Wanted:
    match target:
        case CatalogueTarget(model, artifact):
            return _Wanted(id=target.id, artifact=artifact, model=model)
        case FileTarget(path, contents):
            file = CataloguedFile(name=path.name, size_bytes=contents.file_bytes, size_exact=True)
            artifact = Artifact(quant=contents.quant, publisher="own file", files=(file,))
            return _Wanted(id=f"{_own_id(path)}:{contents.quant}", artifact=artifact, own=path)
        case BundledTarget(bundled, artifact):
            signer: Pinned = "bundle"
            return _Wanted(id=bundled.id, artifact=artifact, known=bundled, pinned=(signer,) * len(artifact.files))
        case InstalledTarget(installed, _):
            return _recorded(installed)


def _recorded(installed: Installed) -> _Wanted:
    """A model as its lock file knows it."""
    files = tuple(
        CataloguedFile(name=file.name, size_bytes=file.size_bytes, size_exact=True, sha256=file.sha256)
        for file in installed.files
    )
    return _Wanted(
        id=installed.id,
        artifact=Artifact(quant=installed.quant, publisher=installed.publisher, files=files),
        known=installed,
        pinned=tuple(file.pinned for file in installed.files),
    )


def _own_id(path: Path) -> str:
    """An id made of a file's name: lower case, and only what the store takes."""
    return plain_name(path.stem) or "model"
