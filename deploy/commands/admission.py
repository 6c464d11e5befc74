"""The policy in front of the commands: what is asked of it before a model is chosen, brought in or run."""

from collections.abc import Iterable
from typing import Final

import msgspec

from deploy.catalog.model import Artifact, CataloguedFile, Model
from deploy.commands.context import Context, UsedProjector
from deploy.commands.targets import CatalogueTarget, FileTarget, InstalledTarget, Target
from deploy.fit.rank import Admission
from deploy.policy.policy import Policy
from deploy.policy.subject import Reading, Subject, of_file, of_model
from deploy.store.records import Description, Installed, StoredProjector

OWN: Final = "own file"
"""Stands for the publisher of what a user brought by hand."""


def forbidden(policy: Policy) -> Admission:
    """What the ranking asks of every artifact."""

    def why(model: Model, artifact: Artifact) -> str | None:
        refusal = policy.refusal(of_model(model, artifact))
        return None if refusal is None else refusal.sentence

    return why


def require_admitted(context: Context, target: Target) -> None:
    """Raises PolicyRefused, naming rule and file, for a model that the policy in force forbids."""
    if context.policy.documents:
        require_subject_admitted(context, subject_of(target))


def require_subject_admitted(context: Context, subject: Subject) -> None:
    """Raises PolicyRefused, naming rule and file."""
    refusal = context.policy.refusal(subject)
    if refusal is not None:
        raise refusal.error(subject.id)


def subject_of(target: Target) -> Subject:
    """What a policy looks at in a target."""
    match target:
        case CatalogueTarget(model, artifact):
            return of_model(model, artifact)
        case InstalledTarget(installed, catalogued):
            return subject_of_installed(installed, catalogued)
        case FileTarget(path, contents):
            return of_file(path.name, contents.quant, contents.file_bytes)


def subject_of_installed(installed: Installed, catalogued: tuple[Model, Artifact] | None) -> Subject:
    """An installed model: its hashes were promised or not when it came, whatever the catalogue says today."""
    pinned = all(file.pinned != "first-use" for file in installed.files)
    if catalogued is not None:
        return of_model(*catalogued, pinned=pinned)
    return subject_of_description(installed, installed.size_bytes, pinned=pinned)


def subject_of_description(known: Description, size_bytes: int, *, pinned: bool) -> Subject:
    """A model that the catalogue does not know, with what an install or a bundle wrote down of it."""
    subject = of_file(known.id, known.quant, size_bytes, pinned=pinned)
    subject.properties["quantiser"] = Reading((known.publisher,))
    if known.licence != "unknown":
        subject.properties["licence"] = Reading((known.licence,))
    return subject


def require_sight_admitted(context: Context, target: Target) -> None:
    """Raises PolicyRefused for a projector that the policy forbids. Of a file of one's own nobody promised anything."""
    sight = context.sight
    if sight is None or not context.policy.documents:
        return
    match target:
        case InstalledTarget(record, known):
            projector = _whose(sight, record.projector, known)
            subject = subject_of_projector(record.id, known, record, projector)
        case CatalogueTarget(model, artifact):
            known = (model, artifact)
            subject = subject_of_projector(target.id, known, None, _whose(sight, None, known))
        case FileTarget(path, contents):
            own = _alone(sight.file, OWN, None)
            subject = subject_of_projector(f"{path.name}:{contents.quant}", None, None, own)
    require_subject_admitted(context, subject)


def _whose(sight: UsedProjector, kept: StoredProjector | None, known: tuple[Model, Artifact] | None) -> Artifact:
    """Whose projector it is, by its hash: that of the model, one of the catalogue, or nobody's."""
    if kept is not None and kept.sha256 == sight.sha256:
        return _alone(kept.name, kept.publisher, None if kept.pinned == "first-use" else kept.sha256)
    of_catalogue = known[0].projectors if known is not None else ()
    own = _alone(sight.file, OWN, None)
    return next((one for one in of_catalogue if one.files[0].sha256 == sight.sha256), own)


def _alone(name: str, publisher: str, sha256: str | None) -> Artifact:
    file = CataloguedFile(name=name, size_bytes=0, size_exact=False, sha256=sha256)
    return Artifact(quant="", publisher=publisher, files=(file,))


def subject_of_projector(
    model_id: str, known: tuple[Model, Artifact] | None, record: Description | None, projector: Artifact
) -> Subject:
    """A model's projector: under the model's licence and from its country, but made and promised by its own publisher.

    Its form counts as the model's: what a policy says of quantisations is about what answers.
    """
    if known is not None:
        model, artifact = known
        subject = of_model(model, projector)
        subject.properties["quantisation"] = Reading((artifact.quant,))
    elif record is not None:
        subject = subject_of_description(record, projector.size_bytes, pinned=projector.pinned)
        subject.properties["quantiser"] = Reading((projector.publisher,))
    else:
        subject = of_file(model_id, model_id.partition(":")[2], projector.size_bytes, pinned=projector.pinned)
    return msgspec.structs.replace(subject, id=f"the projector of {model_id}")


def admitted_first(context: Context, targets: Iterable[InstalledTarget]) -> tuple[InstalledTarget, ...]:
    """The installed models that the policy admits. Raises PolicyRefused where it admits none of them."""
    every = tuple(targets)
    admitted = tuple(target for target in every if context.policy.refusal(subject_of(target)) is None)
    if every and not admitted:
        require_admitted(context, every[0])
    return admitted
