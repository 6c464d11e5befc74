"""Which model a user means, and which one is meant where none is named."""

from difflib import get_close_matches
from pathlib import Path

from deploy.catalog.model import Artifact, Model
from deploy.commands.admission import admitted_first, forbidden
from deploy.commands.availability import availability, reach_all
from deploy.commands.context import Context
from deploy.commands.pace import budget_of
from deploy.commands.targets import CatalogueTarget, FileTarget, InstalledTarget, Target
from deploy.errors import LandfastError, NotFound, NothingFits, UsageError
from deploy.fit.fit import Fit, Workload, fit
from deploy.fit.rank import best_form
from deploy.gguf.check import inspect
from deploy.store.records import Installed
from deploy.store.stores import closed_to
from profiles.budget import Budget


def looks_like_file(name: str) -> bool:
    """Whether a name is meant as a path: it has a folder in it, or ends as GGUF files do."""
    return "/" in name or "\\" in name or name.lower().endswith(".gguf")


def resolve(context: Context, name: str, workload: Workload) -> Target:
    """Find what a name means. Raises NotFound, InvalidModel or Incomplete."""
    if looks_like_file(name):
        path = Path(name).expanduser()
        if path.is_dir():
            hint = f"Choose a .gguf file in it, or a model that it holds: `landfast install MODEL --from {name}`."
            raise UsageError(f"{name} is a folder.", hint=hint)
        try:
            return FileTarget(path.resolve(), inspect(path))
        except NotFound:
            if path.suffix.lower() == ".gguf" or path.exists() or name.startswith((".", "/", "~")):
                raise
    installed = installed_as(context, name)
    if installed is not None:
        return InstalledTarget(installed, catalogued(context, installed))
    try:
        return _in_catalogue(context, name, workload)
    except NotFound as error:
        raise _or_installed(context, name, error) from error


def _or_installed(context: Context, name: str, error: NotFound) -> NotFound:
    """The same error; where an installed model is called almost so, that one is named before those of the catalogue."""
    wanted = name.lower()
    ids = {record.model_id.lower(): record.id for record in context.store.installed()}
    near = [ids[one] for one in ids if wanted in one] or [ids[one] for one in get_close_matches(wanted, ids)]
    return NotFound(error.message, hint=f"Installed: {', '.join(near)}. {error.hint}") if near else error


def catalogued(context: Context, installed: Installed) -> tuple[Model, Artifact] | None:
    """The catalogue's entry of an installed model; None for one that came from a file of the user's own."""
    from deploy.catalog.search import find

    try:
        model, artifact = find(context.catalog(), installed.id)
    except LandfastError:
        return None
    return None if artifact is None else (model, artifact)


def best_installed(context: Context, found: Budget, workload: Workload, *, seeing: bool = False) -> InstalledTarget:
    """The installed model to use when none is named: the one that ranks best here; `seeing`, of those with a projector.

    Raises NotFound when nothing is installed, and PolicyRefused when the policy forbids all that is.
    """
    records = context.store.installed()
    if not records and (closed := closed_to(context.store)):
        raise closed
    if not records:
        raise NotFound("No model is installed.", hint="Run `landfast install` to choose and install the best one here.")
    if seeing and not (records := tuple(record for record in records if record.projector is not None)):
        raise NotFound(
            "No installed model can look at images.",
            hint="Run `landfast install --for vision` to choose and install the best one that can.",
        )
    targets = admitted_first(context, (InstalledTarget(record, catalogued(context, record)) for record in records))
    return max(targets, key=lambda target: _standing(target, found, workload))


def _standing(target: InstalledTarget, found: Budget, workload: Workload) -> tuple[bool, float]:
    if target.catalogued is None:
        return (False, 0.0)
    placed: Fit = fit(*target.catalogued, found, workload)
    return (placed.verdict == "fits", placed.quality.known or 0.0)


def installed_as(context: Context, name: str) -> Installed | None:
    """An installed model by its full id, or by its model id when one form of it is installed."""
    wanted = name.lower()
    records = context.store.installed()
    exact = [record for record in records if record.id.lower() == wanted]
    same_model = [record for record in records if record.model_id.lower() == wanted]
    return next(iter(exact or same_model), None)


def _in_catalogue(context: Context, name: str, workload: Workload) -> CatalogueTarget:
    from deploy.catalog.search import find

    model, artifact = find(context.catalog(), name)
    if artifact is not None:
        return CatalogueTarget(model, artifact)
    available = availability(context, reach_all(context.sources), workload.purpose)
    chosen = best_form(model, budget_of(context), workload, available, forbidden(context.policy))
    if chosen.fit.verdict == "too-large":
        raise NothingFits(
            f"{model.name} does not fit this machine. {chosen.fit.reason}",
            hint="Run `landfast select` to see what fits.",
        )
    return CatalogueTarget(model, next(a for a in model.artifacts if a.quant == chosen.fit.quant))
