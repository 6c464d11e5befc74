"""`landfast install [MODEL]`: bring a model in, every byte verified, or change nothing."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from deploy.bundle.source import BundleSource
from deploy.commands.admission import require_admitted, require_subject_admitted, subject_of_description
from deploy.commands.arrival import arrival, namesake, promised, require_form, seen_by
from deploy.commands.context import Context
from deploy.commands.goods import BundledTarget, Goal, Goods, goods_of, is_outdated, other_version
from deploy.commands.places import bundle_of, only_from
from deploy.commands.projectors import Seer, Sight, bring, is_projector, sight_of
from deploy.commands.resolve import looks_like_file, resolve
from deploy.commands.select import select
from deploy.commands.sources import require_place
from deploy.commands.targets import CatalogueTarget, FileTarget, InstalledTarget
from deploy.errors import LandfastError, NotFound, NothingFits, Unreachable, UsageError
from deploy.fit.fit import Workload
from deploy.gguf.check import ModelFile, inspect, inspect_parts
from deploy.quantities import gigabytes
from deploy.results import Message, Result, info, warning
from deploy.sources.base import NoOffer, Source
from deploy.sources.folder import OneFile
from deploy.sources.package_index import NAME as PACKAGE_INDEX
from deploy.sources.rate import limited
from deploy.store.files import sha256_of
from deploy.store.records import Arrival, Installed, Pin, Pinned
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
    repair: bool = False
    """Bring back what was there, and not the version of it that a bundle holds by now."""


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
        require_place(context.policy, OneFile(named))
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
    wanted_here: tuple[Goal, str, tuple[Message, ...]],
    sight: Sight | None,
) -> Result[InstallData]:
    """Bring the model itself."""
    target, reason, messages = wanted_here
    if isinstance(target, InstalledTarget):
        other = None if request.repair else other_version(target, bundle_of(context))
        if other is None and not is_outdated(target) and _whole(context, target.installed):
            return _nothing_to_do(target.installed, reason, messages)
        target = other or _again(target, request)
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
        messages=(
            *messages,
            *note,
            *misfit(installed),
            *namesake(context, target, installed),
            *_kept(context, installed),
        ),
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


def _place(request: InstallRequest, target: Goal, named: Path | None) -> Path | None:
    """Where a projector may lie beside the model, or the file of one that was named."""
    if named is not None:
        return named
    if isinstance(target, FileTarget):
        return target.path.parent
    if request.folder is None or request.folder.startswith(("http://", "https://")):
        return None
    path = Path(request.folder).expanduser()
    return path.parent if path.is_file() else path


def _seer(context: Context, target: Goal) -> Seer:
    match target:
        case InstalledTarget(installed, known):
            return Seer(installed.id, known, installed)
        case CatalogueTarget(model, artifact):
            return Seer(target.id, (model, artifact), context.store.get(target.id))
    wanted = goods_of(target)
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


def misfit(installed: Installed) -> tuple[Message, ...]:
    """That a model takes more than this machine had for it when it came: who named it gets it all the same."""
    promise = installed.promise
    if promise is None or promise.verdict != "too-large":
        return ()
    need = f"It needs {gigabytes(promise.peak_bytes)}; {gigabytes(promise.room_bytes)} is free for it"
    return (warning(f"{installed.id} does not fit this machine. {need}: see `landfast plan {installed.id}`."),)


def _kept(context: Context, installed: Installed) -> tuple[Message, ...]:
    """That the former version can be gone back to."""
    if not any(one.serial == installed.serial - 1 for one in context.store.former(installed.id)):
        return ()
    back, free = f"`landfast models rollback {installed.id}`", "`landfast models gc --former`"
    return (info(f"The former version is kept: {back} goes back to it, {free} gives back its space."),)


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
    said = (*chosen.messages, *_beside(context, best.fit.id))
    return resolve(context, best.fit.id, request.workload), best.why, said


def _beside(context: Context, chosen: str) -> tuple[Message, ...]:
    """What else a bundle holds: of several models one is chosen, and the others are not forgotten."""
    bundle = bundle_of(context)
    there = {record.id for record in context.store.installed()} | {chosen}
    others = [] if bundle is None else [name for name in bundle.ids() if name not in there]
    if not others:
        return ()
    return (info(f"The bundle also holds {', '.join(others)}. Name a model to install it too."),)


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


def _only_one(context: Context) -> BundledTarget | InstalledTarget | None:
    """The one model of a bundle, where the catalogue does not know it and thus could not choose it."""
    bundle = bundle_of(context)
    if bundle is None or len(bundle.ids()) != 1:
        return None
    target = _resolved(context, bundle.ids()[0], Workload())
    if isinstance(target, InstalledTarget) and target.catalogued is None:
        return target
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


def _bring(
    context: Context, offered: Sequence[tuple[Source, str]], wanted: Goods
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
        hint="Connect to a hub or a mirror, or give a place that has it: --from, or [sources] of a site file.",
    )


def _bring_from(context: Context, source: Source, place: str, wanted: Goods) -> tuple[Installed, bool]:
    need_bytes = wanted.artifact.size_bytes + wanted.beside_bytes
    with context.store.transaction(wanted.id, need_bytes, context.report) as transaction:
        wanted = _vouched(source, _hashed(context, wanted, transaction.present))
        present = transaction.present
        if present is not None and _is(present, wanted) and _whole(context, present):
            return present, False
        files = source.fetch(wanted.artifact, transaction.staging, context.report)
        return _commit(transaction, files, wanted, (source, place)), True


def _is(present: Installed, wanted: Goods) -> bool:
    """Whether what is installed is what is wanted, as far as anybody promised hashes."""
    files = wanted.artifact.files
    return len(present.files) == len(files) and all(
        file.sha256 is None or file.sha256 == there for file, there in zip(files, present.hashes, strict=True)
    )


def _hashed(context: Context, wanted: Goods, present: Installed | None) -> Goods:
    """A file of one's own is told from an earlier one of its name by its hash: another one is another version."""
    if wanted.own is None or present is None:
        return wanted
    (file,) = wanted.artifact.files
    digest, _ = sha256_of(wanted.own, f"hash {file.name}", context.report)
    artifact = msgspec.structs.replace(wanted.artifact, files=(msgspec.structs.replace(file, sha256=digest),))
    return msgspec.structs.replace(wanted, artifact=artifact, pinned=("first-use",))


def _vouched(source: Source, wanted: Goods) -> Goods:
    """With a bundle, its signer promises the hashes that nobody else does."""
    if not isinstance(source, BundleSource):
        return wanted
    pinned: tuple[Pinned, ...] = tuple(
        who if file.sha256 else "bundle" for who, file in zip(wanted.promisers, wanted.artifact.files, strict=True)
    )
    return msgspec.structs.replace(wanted, artifact=source.promised(wanted.artifact), pinned=pinned)


def _commit(transaction: Transaction, files: tuple[Path, ...], wanted: Goods, origin: tuple[Source, str]) -> Installed:
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
        return arrival(wanted.description(place, contents), source, wanted.promise, transaction.present)

    return transaction.commit(files, pins, validate, describe, seen_by(source))


def _offered(context: Context, request: InstallRequest, target: Goal) -> list[tuple[Source, str]]:
    """Sources that have the target, each with its name for people. A folder that was named is the only one."""
    artifact = goods_of(target).artifact
    if request.folder is not None:
        return [(source, source.offer(artifact).source) for source in context.sources]
    if isinstance(target, FileTarget):
        own = OneFile(target.path)
        require_place(context.policy, own)
        return [(own, own.name)]
    if request.max_bytes_s is not None and not context.sources:
        raise UsageError(
            "No source here keeps to a rate: pip, which brings what is in the package index, does not.",
            hint="Leave out --max-rate (max_rate in a site file), or give another place with --from.",
        )
    offers = [(source, source.offer(artifact)) for source in context.sources]
    return [(source, offer.source) for source, offer in offers if not isinstance(offer, NoOffer)]


def _described(context: Context, target: Goal, workload: Workload) -> Goods:
    """What goes into the store, with what is foretold of it here."""
    wanted = goods_of(target)
    if not isinstance(target, (CatalogueTarget, FileTarget)):
        return wanted
    return msgspec.structs.replace(wanted, promise=promised(context, target, workload))
