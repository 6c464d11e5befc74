"""`landfast select`: which model is best here, and why."""

import msgspec

from deploy.catalog.model import Catalog
from deploy.commands.admission import forbidden
from deploy.commands.availability import availability, reach_all, reach_messages
from deploy.commands.context import Context
from deploy.commands.pace import timed_budget
from deploy.errors import ExitCode
from deploy.fit.advice import Change, advise
from deploy.fit.fit import Workload
from deploy.fit.rank import Ranking, rank
from deploy.fit.speed import conditions_of
from deploy.results import Message, Problem, Result, info, warning
from deploy.sources.base import Reach
from profiles.budget import Budget
from profiles.machine import Machine


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """A better model than the chosen one, and each change that would be enough for it."""

    id: str
    name: str
    changes: tuple[Change, ...]


class SelectData(msgspec.Struct, frozen=True, kw_only=True):
    """The order of all models on this machine, and what it rests on."""

    machine: Machine
    budget: Budget
    workload: Workload
    catalogue_dated: str
    reach: tuple[Reach, ...]
    ranking: Ranking
    advice: Advice | None = None
    """What would bring the best model that does not fit now."""


def select(context: Context, workload: Workload) -> Result[SelectData]:
    """Rank the catalogue. What cannot be had from here is refused with that reason."""
    machine = context.profile()
    found = timed_budget(context.paths, machine)
    catalog = context.catalog()
    reach = reach_all(context.sources)
    ranking = rank(catalog, found, workload, availability(context, reach, workload.purpose), forbidden(context.policy))
    data = SelectData(
        machine=machine,
        budget=found,
        workload=workload,
        catalogue_dated=catalog.dated,
        reach=reach,
        ranking=ranking,
        advice=_advice(catalog, ranking, found, workload),
    )
    messages = (*reach_messages(context, reach), *_about(context, workload, ranking), *_short(workload, ranking))
    if ranking.chosen is None:
        return Result(
            command="select",
            status="error",
            data=data,
            messages=messages,
            errors=(_nothing(ranking, workload),),
            exit_code=ExitCode.NOTHING_FITS,
        )
    return Result(command="select", data=data, messages=(*messages, *_about_speed(machine, found)))


def _advice(catalog: Catalog, ranking: Ranking, found: Budget, workload: Workload) -> Advice | None:
    """Of the refused models that are better than the chosen one, the best that a sensible change would bring."""
    least = (ranking.chosen.fit.quality.known or 0.0) if ranking.chosen else float("-inf")
    models = {model.id: model for model in catalog.models}
    for candidate in ranking.refused:
        refused = candidate.fit
        if not candidate.obtainable or (refused.quality.known or 0.0) <= least:
            continue
        model = models[refused.model_id]
        artifact = next(form for form in model.artifacts if form.quant == refused.quant)
        changes = tuple(c for c in advise(model, artifact, found, workload) if _sensible(c, found, workload))
        if changes:
            return Advice(id=refused.id, name=f"{refused.name} {refused.quant}", changes=changes)
    return None


def _about(context: Context, workload: Workload, ranking: Ranking) -> tuple[Message, ...]:
    """How the chosen model gets its eyes, where it has none yet."""
    if workload.purpose != "vision" or ranking.chosen is None:
        return ()
    if any(record.projector and record.id == ranking.chosen.fit.id for record in context.store.installed()):
        return ()
    command = f"`landfast install {ranking.chosen.fit.id} --for vision`"
    return (info(f"The projector that it looks at images with is counted, and comes with {command}."),)


def _short(workload: Workload, ranking: Ranking) -> tuple[Message, ...]:
    """Where the chosen model gets less context than was asked for."""
    if ranking.chosen is None:
        return ()
    return tuple(map(warning, workload.shortfall(ranking.chosen.fit.plan.context_tokens)))


def _about_speed(machine: Machine, found: Budget) -> tuple[Message, ...]:
    """Where a measurement would make a difference."""
    if machine.simulated or conditions_of(found).calibration is not None:
        return ()
    return (info("Speeds are estimated. `landfast calibrate` measures this machine in ten seconds."),)


def _sensible(change: Change, found: Budget, workload: Workload) -> bool:
    """Twice the memory, half the speed: what is beyond that is another machine."""
    if change.kind == "memory":
        return change.value <= (found.host.total_bytes.known or 0)
    return change.kind == "context" or change.value * 2 >= workload.min_decode_tok_s


def _nothing(ranking: Ranking, workload: Workload) -> Problem:
    out_of_reach = sum(1 for candidate in ranking.refused if candidate.fit.verdict == "fits")
    if out_of_reach:
        return Problem(
            "nothing-fits",
            "One model fits this machine, but no source in reach has it."
            if out_of_reach == 1
            else f"{out_of_reach} models fit this machine, but no source in reach has any of them.",
            "Connect to a hub or a mirror, or copy the files here and run `landfast install MODEL --from FOLDER`.",
        )
    return Problem(
        "nothing-fits",
        f"No model fits this machine with {workload.context_tokens:,} tokens of context "
        f"at {workload.min_decode_tok_s:g} tok/s.",
        "Ask for a shorter --context or a lower --min-speed, or free memory.",
    )
