"""What a user means by MODEL: a file, an installed model, or one of the catalogue."""

from dataclasses import dataclass
from pathlib import Path

from deploy.catalog.model import Artifact, Model
from deploy.commands.availability import availability, reach_all
from deploy.commands.context import Context
from deploy.commands.pace import timed_budget
from deploy.errors import LandfastError, NotFound, NothingFits
from deploy.fit.fit import Fit, Workload, fit
from deploy.fit.rank import best_form
from deploy.gguf.check import ModelFile, inspect
from deploy.store.records import Installed
from deploy.store.stores import closed_to
from profiles.budget import Budget


@dataclass(frozen=True, slots=True)
class FileTarget:
    """A GGUF file that the user names by its path."""

    path: Path
    contents: ModelFile


@dataclass(frozen=True, slots=True)
class InstalledTarget:
    """A model in the store, with what the catalogue knows of it."""

    installed: Installed
    catalogued: tuple[Model, Artifact] | None


@dataclass(frozen=True, slots=True)
class CatalogueTarget:
    """A model of the catalogue in one quantised form, not installed."""

    model: Model
    artifact: Artifact

    @property
    def id(self) -> str:
        """model-id:QUANT."""
        return f"{self.model.id}:{self.artifact.quant}"


Target = FileTarget | InstalledTarget | CatalogueTarget


def looks_like_file(name: str) -> bool:
    """Whether a name is meant as a path: it has a folder in it, or ends as GGUF files do."""
    return "/" in name or "\\" in name or name.lower().endswith(".gguf")


def resolve(context: Context, name: str, workload: Workload) -> Target:
    """Find what a name means. Raises NotFound, InvalidModel or Incomplete."""
    if looks_like_file(name):
        path = Path(name).expanduser()
        try:
            return FileTarget(path.resolve(), inspect(path))
        except NotFound:
            if path.suffix.lower() == ".gguf" or path.exists() or name.startswith((".", "/", "~")):
                raise
    installed = _installed_as(context, name)
    if installed is not None:
        return InstalledTarget(installed, catalogued(context, installed))
    return _in_catalogue(context, name, workload)


def catalogued(context: Context, installed: Installed) -> tuple[Model, Artifact] | None:
    """The catalogue's entry of an installed model; None for one that came from a file of the user's own."""
    from deploy.catalog.search import find

    try:
        model, artifact = find(context.catalog(), installed.id)
    except LandfastError:
        return None
    return None if artifact is None else (model, artifact)


def best_installed(context: Context, found: Budget, workload: Workload) -> InstalledTarget:
    """The installed model to use when none is named: the one that ranks best here.

    Raises NotFound when nothing is installed, and PolicyRefused when the policy forbids all that is.
    """
    records = context.store.installed()
    if not records and (closed := closed_to(context.store)):
        raise closed
    if not records:
        raise NotFound("No model is installed.", hint="Run `landfast install` to choose and install the best one here.")
    from deploy.commands.admission import admitted_first

    targets = admitted_first(context, (InstalledTarget(record, catalogued(context, record)) for record in records))
    return max(targets, key=lambda target: _standing(target, found, workload))


def budget_of(context: Context, *, now: bool = False) -> Budget:
    """What a model may take of this machine, with what is known of its speed; `now` for one that is about to run."""
    return timed_budget(context.paths, context.profile(), now=now)


def _standing(target: InstalledTarget, found: Budget, workload: Workload) -> tuple[bool, float]:
    if target.catalogued is None:
        return (False, 0.0)
    placed: Fit = fit(*target.catalogued, found, workload)
    return (placed.verdict == "fits", placed.quality.known or 0.0)


def _installed_as(context: Context, name: str) -> Installed | None:
    """An installed model by its full id, or by its model id when one form of it is installed."""
    wanted = name.lower()
    records = context.store.installed()
    exact = [record for record in records if record.id.lower() == wanted]
    same_model = [record for record in records if record.model_id.lower() == wanted]
    return next(iter(exact or same_model), None)


def _in_catalogue(context: Context, name: str, workload: Workload) -> CatalogueTarget:
    from deploy.catalog.search import find
    from deploy.commands.admission import forbidden

    model, artifact = find(context.catalog(), name)
    if artifact is not None:
        return CatalogueTarget(model, artifact)
    available = availability(context, reach_all(context.sources))
    chosen = best_form(model, budget_of(context), workload, available, forbidden(context.policy))
    if chosen.fit.verdict == "too-large":
        raise NothingFits(
            f"{model.name} does not fit this machine. {chosen.fit.reason}",
            hint="Run `landfast select` to see what fits.",
        )
    return CatalogueTarget(model, next(a for a in model.artifacts if a.quant == chosen.fit.quant))
