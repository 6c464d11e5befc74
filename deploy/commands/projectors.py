"""The projector of a model that was made for images: which one, from where, and how it becomes part of the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from deploy.bundle.source import BundleSource
from deploy.catalog.model import Artifact, CataloguedFile, Model
from deploy.commands.admission import OWN, require_subject_admitted, subject_of_projector
from deploy.commands.arrival import seen_by
from deploy.commands.context import Context
from deploy.errors import InvalidModel, LandfastError, NotFound, NotWritable, Unreachable
from deploy.fit.suit import suit
from deploy.gguf.check import inspect_parts
from deploy.gguf.projector import inspect_projector
from deploy.results import Message, info, warning
from deploy.sources.base import Informed, NoOffer, Source
from deploy.sources.folder import OneFile
from deploy.store.records import Installed, Pin, Pinned, StoredProjector
from deploy.store.stores import ids_of_host
from deploy.store.transaction import Origin, Transaction

MARK: Final = "mmproj"
"""What the name of every published projector has in it."""
HINT: Final = "Give the folder that holds it, or the file itself, with --from."


@dataclass(frozen=True, slots=True)
class Seer:
    """A model that is to look at images."""

    id: str
    known: tuple[Model, Artifact] | None
    """What the catalogue knows of it."""
    record: Installed | None = None
    """As it is installed now."""


class Offered(NamedTuple):
    """A projector that can be had."""

    source: Source
    place: str
    artifact: Artifact
    by: Pinned


class Sight(NamedTuple):
    """What is to be brought for a model that is to look at images."""

    seer: Seer
    offered: tuple[Offered, ...]
    """Empty where its projector is here."""


def is_projector(path: Path) -> bool:
    """Whether a file is a projector for images, by its own header."""
    try:
        inspect_projector(path)
    except LandfastError:
        return False
    return True


def sight_of(context: Context, seer: Seer, place: Path | None, *, asked: bool) -> Sight | None:
    """What the model needs for images: where that was asked for, where it has one, and where a bundle holds one.

    Raises as `offers` does, before the first byte of the model comes.
    """
    had = seer.record is not None and seer.record.projector is not None
    held = any(bundle.projector_of(seer.id) is not None for bundle in _bundles(context))
    if not (asked or had or held):
        return None
    named = place is not None and place.is_file()
    return Sight(seer, () if not named and is_whole(context, seer) else offers(context, seer, place))


def offers(context: Context, seer: Seer, place: Path | None) -> tuple[Offered, ...]:
    """What can be had, first choice first; `place` is a folder or file that was named, or that the model lies in.

    Touches no network. Raises NotFound for a model without eyes and where nothing has its projector, and PolicyRefused
    where the policy forbids what there is.
    """
    if seer.record is not None and seer.id in ids_of_host(context.store):
        raise NotWritable(
            f"{seer.id} belongs to the host, and is not yours to change.",
            hint=f"An administrator can run `landfast --system install {seer.id} --for vision`.",
        )
    found = _of_sources(context, seer, place) or _of_place(seer, place)
    if not found:
        raise _nowhere(context, seer, place)
    admitted = tuple(one for one in found if _refusal(context, seer, one) is None)
    if not admitted:
        require_subject_admitted(context, subject_of_projector(seer.id, seer.known, seer.record, found[0].artifact))
    return admitted


def is_whole(context: Context, seer: Seer) -> bool:
    """Whether the model's projector is here, unchanged, and still what the catalogue promises under its name."""
    record = seer.record
    if record is None or record.projector is None:
        return False
    promised = {file.sha256 for one in _catalogued(seer) for file in one.files if file.name == record.projector.name}
    if promised and None not in promised and record.projector.sha256 not in promised:
        return False
    try:
        context.store.open_projector(record, context.report)
    except LandfastError:
        return False
    return True


def bring(context: Context, installed: Installed, offered: Sequence[Offered]) -> tuple[Installed, tuple[Message, ...]]:
    """Try the offers in turn, as for a model. A wrong byte is final; the model itself stays as it is."""
    silent: list[Unreachable | NotFound] = []
    for one in offered:
        try:
            now = _brought(context, installed, one)
        except (Unreachable, NotFound) as error:
            silent.append(error)
            continue
        seen = info(f"It can look at images now, with {one.artifact.files[0].name} from the {one.place}.")
        return now, (*(warning(error.message) for error in silent), seen)
    reasons = " ".join(dict.fromkeys(error.message for error in silent))
    raise Unreachable(
        f"{installed.id} is installed, but its projector could not be fetched: {reasons}", hint=silent[0].hint or HINT
    )


def _brought(context: Context, installed: Installed, offered: Offered) -> Installed:
    source, place, projector, by = offered
    (file,) = projector.files
    pin = Pin(name=file.name, size_bytes=file.size_bytes if file.size_exact else None, sha256=file.sha256, by=by)
    with context.store.transaction(installed.id, file.size_bytes, context.report) as transaction:
        (path,) = _fetched(context, source, projector, transaction)

        def validate(staged: Path) -> None:
            judged = inspect_projector(staged)
            width = inspect_parts(context.store.open_files(installed, context.report)).embedding_length
            if file.sha256 is None and judged.width != width:
                raise InvalidModel(
                    f"{file.name} is for models of width {judged.width:,}, and {installed.id} has {width:,}.",
                    hint="Use the projector that was published with this model.",
                )

        revision = source.revision if isinstance(source, Informed) else None
        return transaction.lay_beside(
            path, pin, validate, Origin(projector.publisher, place, revision), seen_by(source)
        )


def _fetched(context: Context, source: Source, projector: Artifact, transaction: Transaction) -> tuple[Path, ...]:
    folder = transaction.staging / "projector"
    folder.mkdir(parents=True, exist_ok=True)
    return source.fetch(projector, folder, context.report)


def _of_sources(context: Context, seer: Seer, place: Path | None) -> tuple[Offered, ...]:
    """What the sources have of what is known. A file that was named is its own offer."""
    if place is not None and place.is_file():
        return ()
    found: list[Offered] = []
    for projector, by in _known(context, seer):
        for source in context.sources:
            offer = source.offer(projector)
            if not isinstance(offer, NoOffer):
                found.append(Offered(source, offer.source, projector, by))
    return tuple(found)


def _known(context: Context, seer: Seer) -> tuple[tuple[Artifact, Pinned], ...]:
    """What the signer of a bundle vouches for, the catalogue's, and what was installed before.

    Where the catalogue promises the hash of a file, nobody else's word for it counts.
    """
    known: list[tuple[Artifact, Pinned]] = [(one, "catalogue") for one in _catalogued(seer)]
    promised = {file.name for one, _ in known for file in one.files if file.sha256}
    vouched = [one for bundle in _bundles(context) if (one := bundle.projector_of(seer.id)) is not None]
    signed: list[tuple[Artifact, Pinned]] = [(one, "bundle") for one in vouched if one.files[0].name not in promised]
    before = None if seer.record is None else seer.record.projector
    if before is not None and before.name not in promised:
        known.append((_recorded(before), before.pinned))
    return (*signed, *known)


def _bundles(context: Context) -> list[BundleSource]:
    return [source for source in context.sources if isinstance(source, BundleSource)]


def _catalogued(seer: Seer) -> tuple[Artifact, ...]:
    return () if seer.known is None else seer.known[0].projectors


def _recorded(kept: StoredProjector) -> Artifact:
    file = CataloguedFile(name=kept.name, size_bytes=kept.size_bytes, size_exact=True, sha256=kept.sha256)
    return Artifact(quant="", publisher=kept.publisher, files=(file,))


def _of_place(seer: Seer, place: Path | None) -> tuple[Offered, ...]:
    """The file that was named, or the one projector in the folder; under a name that the catalogue knows, that one."""
    path = place if place is None or place.is_file() else _only_one(place)
    if path is None:
        return ()
    own = OneFile(path)
    named = next((one for one in _catalogued(seer) if one.files[0].name == path.name), None)
    if named is not None:
        return (Offered(own, own.name, named, "catalogue"),)
    file = CataloguedFile(name=path.name, size_bytes=path.stat().st_size, size_exact=True)
    return (Offered(own, own.name, Artifact(quant="", publisher=OWN, files=(file,)), "first-use"),)


def _only_one(folder: Path) -> Path | None:
    try:
        found = [path for path in folder.iterdir() if MARK in path.name.lower() and path.suffix.lower() == ".gguf"]
    except OSError:
        return None
    return found[0] if len(found) == 1 else None


def _refusal(context: Context, seer: Seer, offered: Offered) -> object:
    return context.policy.refusal(subject_of_projector(seer.id, seer.known, seer.record, offered.artifact))


def _nowhere(context: Context, seer: Seer, place: Path | None) -> LandfastError:
    """Why there is nothing: the model has no eyes, or nobody here has its projector."""
    refusal = None if seer.known is None else suit(seer.known[0], "vision", None).refusal
    if refusal is not None:
        return NotFound(f"{seer.id} cannot look at images: {refusal}", hint="See `landfast select --for vision`.")
    names = ", ".join(one.files[0].name for one in _catalogued(seer))
    where = f"The folder {place}" if place is not None else "No source"
    if place is not None:
        what = f"holds neither {names} nor any one {MARK} file" if names else f"does not hold one {MARK} file"
        return NotFound(f"{where} {what} for {seer.id}.", hint=HINT)
    barred = "" if context.sources else " Landfast is offline here."
    return Unreachable(f"{where} offers the projector of {seer.id}.{barred}", hint=HINT)
