"""The policy in front of the commands: what is asked of it before a model is chosen, brought in or run."""

from collections.abc import Iterable

from deploy.catalog.model import Artifact, Model
from deploy.commands.context import Context
from deploy.commands.targets import CatalogueTarget, FileTarget, InstalledTarget, Target
from deploy.fit.rank import Admission
from deploy.policy.policy import Policy
from deploy.policy.subject import Reading, Subject, of_file, of_model
from deploy.store.records import Description, Installed


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


def admitted_first(context: Context, targets: Iterable[InstalledTarget]) -> tuple[InstalledTarget, ...]:
    """The installed models that the policy admits. Raises PolicyRefused where it admits none of them."""
    every = tuple(targets)
    admitted = tuple(target for target in every if context.policy.refusal(subject_of(target)) is None)
    if every and not admitted:
        require_admitted(context, every[0])
    return admitted
