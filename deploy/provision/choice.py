"""What every wish of a site file comes to: as the lock file says, or as the ranking chooses on this machine."""

from pathlib import Path

import msgspec

from deploy.catalog.model import Artifact, CataloguedFile, Model
from deploy.commands.context import Context
from deploy.commands.goods import BundledTarget, Goal, other_version
from deploy.commands.projectors import Seer, offers
from deploy.commands.resolve import resolve
from deploy.commands.select import select
from deploy.commands.targets import CatalogueTarget, FileTarget, InstalledTarget
from deploy.errors import NotFound, NothingFits, UsageError
from deploy.provision.lock import Lock, PinnedFile, PinnedModel
from deploy.provision.site import ModelWish
from deploy.provision.world import World
from deploy.store.records import Installed, StoredFile

NAMED = "It was asked for by name."


def choose(world: World, before: Lock | None) -> Lock:
    """The lock that the site file and what was chosen before come to. What is pinned stays as it is."""
    known = before or Lock()
    return Lock(models=tuple(known.of(wish.text) or _chosen(world, wish) for wish in world.file.site.models))


def require_fitting(world: World, lock: Lock | None, path: Path) -> Lock:
    """The lock as it is. Raises NotFound or UsageError where it would have to be changed."""
    cure = f"Run `landfast apply {world.file.path.name}` without --locked where choices are made, and hand the lock on."
    if lock is None:
        raise NotFound(f"There is no lock file {path}.", hint=cure)
    wishes = [wish.text for wish in world.file.site.models]
    strange = [wish for wish in wishes if lock.of(wish) is None] + [
        pinned.wish for pinned in lock.models if pinned.wish not in wishes
    ]
    if strange:
        raise UsageError(f"The lock file {path} is not that of this site file: {strange[0]}.", hint=cure)
    return lock


def completed(context: Context, lock: Lock) -> Lock:
    """With the hashes that only an install could tell."""
    return msgspec.structs.replace(lock, models=tuple(_completed(context, pinned) for pinned in lock.models))


def _completed(context: Context, pinned: PinnedModel) -> PinnedModel:
    record = context.store.get(pinned.id)
    if record is None or all(file.sha256 and file.size_bytes is not None for file in pinned.all_files):
        return pinned
    known = {file.name: _pinned_file(file) for file in record.all_files}
    files = tuple(known.get(file.name, file) if file.sha256 is None else file for file in pinned.files)
    eyes = pinned.projector
    if eyes is not None and eyes.sha256 is None:
        eyes = known.get(eyes.name, eyes)
    return msgspec.structs.replace(pinned, files=files, projector=eyes)


def _chosen(world: World, wish: ModelWish) -> PinnedModel:
    """Raises NothingFits, NotFound and PolicyRefused."""
    if wish.name is not None:
        return _named(world, wish, wish.name, NAMED)
    ranking = select(world.sourced, wish.workload)
    if ranking.data is None or ranking.data.ranking.chosen is None:
        raise NothingFits(f"{wish.text}: {ranking.errors[0].message}", hint=ranking.errors[0].hint)
    best = ranking.data.ranking.chosen
    return _named(world, wish, best.fit.id, best.why)


def _named(world: World, wish: ModelWish, name: str, why: str) -> PinnedModel:
    context = world.sourced
    target = _target(world, wish, name)
    match target:
        case BundledTarget(model, artifact):
            eyed = _pinned(context, wish, why, (model.id, model.licence, artifact))
            return _with_projector(context, wish, eyed, Seer(model.id, None))
        case CatalogueTarget(known, artifact):
            eyed = _pinned(context, wish, why, (target.id, known.licence.id, artifact))
            return _with_projector(context, wish, eyed, Seer(target.id, (known, artifact)))
        case InstalledTarget(record, catalogued):
            eyed = _entry(context, wish, why, record, catalogued)
            return _with_projector(context, wish, eyed, Seer(record.id, catalogued, record))
        case FileTarget():
            raise UsageError(
                f"A site file cannot name the file {name}: other hosts do not have it.",
                hint="Install it once, put it into a bundle with `landfast bundle create`, and name it by its id.",
            )


def _target(world: World, wish: ModelWish, name: str) -> Goal:
    """What a name means: of what is installed, the version that a bundle holds; a bundle may also know more models."""
    try:
        target = resolve(world.sourced, name, wish.workload)
    except NotFound:
        own = world.bundle.own(name) if world.bundle is not None else None
        if own is None:
            raise
        return BundledTarget(*own)
    newer = other_version(target, world.bundle) if isinstance(target, InstalledTarget) else None
    return newer or target


def _with_projector(context: Context, wish: ModelWish, pinned: PinnedModel, seer: Seer) -> PinnedModel:
    """The same with the projector that an install would bring. Raises NotFound, Unreachable and PolicyRefused."""
    if wish.workload.purpose != "vision":
        return pinned
    if seer.record is not None and seer.record.projector is not None:
        return msgspec.structs.replace(pinned, projector=_pinned_file(seer.record.projector))
    (file,) = offers(context, seer, None)[0].artifact.files
    return msgspec.structs.replace(pinned, projector=_catalogued_file(file))


def _catalogued_file(file: CataloguedFile) -> PinnedFile:
    return PinnedFile(name=file.name, size_bytes=file.size_bytes if file.size_exact else None, sha256=file.sha256)


def _pinned_file(file: StoredFile) -> PinnedFile:
    return PinnedFile(name=file.name, size_bytes=file.size_bytes, sha256=file.sha256)


def _pinned(context: Context, wish: ModelWish, why: str, what: tuple[str, str, Artifact]) -> PinnedModel:
    model_id, licence, artifact = what
    files = tuple(map(_catalogued_file, artifact.files))
    return PinnedModel(
        wish=wish.text,
        id=model_id,
        why=why,
        publisher=artifact.publisher,
        licence=licence,
        catalogue=context.catalog().dated,
        files=files,
    )


def _entry(
    context: Context, wish: ModelWish, why: str, record: Installed, known: tuple[Model, Artifact] | None
) -> PinnedModel:
    """An installed model: as the catalogue promises it, or else as it lies here."""
    if known is not None:
        return _completed(context, _pinned(context, wish, why, (record.id, known[0].licence.id, known[1])))
    return PinnedModel(
        wish=wish.text,
        id=record.id,
        why=why,
        publisher=record.publisher,
        licence=record.licence,
        catalogue=context.catalog().dated,
        files=_of_installed(record),
    )


def _of_installed(record: Installed) -> tuple[PinnedFile, ...]:
    return tuple(map(_pinned_file, record.files))
