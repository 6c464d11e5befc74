"""`landfast compare A B`: two models on this machine, side by side."""

import msgspec

from deploy.catalog.model import Model
from deploy.commands.context import Context
from deploy.commands.pace import budget_of
from deploy.commands.plan import PlanData, plan_target
from deploy.commands.resolve import resolve
from deploy.commands.targets import CatalogueTarget, InstalledTarget
from deploy.fit.fit import Workload
from deploy.fit.quality import quality
from deploy.fit.suit import suit
from deploy.results import Result, warning
from profiles.machine import Fact, Provenance, Unknown


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two."""

    plan: PlanData
    model: Model | None
    """The catalogue's entry, with the one form that is compared; None for a file of the user's own."""
    quality: Fact[float]


class CompareData(msgspec.Struct, frozen=True, kw_only=True):
    """Two models and what is better about each."""

    workload: Workload
    sides: tuple[Side, Side]
    differences: tuple[str, ...]


def compare(context: Context, names: tuple[str, str], workload: Workload) -> Result[CompareData]:
    """Plan both. Raises NotFound, InvalidModel, Incomplete or NothingFits."""
    warnings: list[str] = []
    sides = (_side(context, names[0], workload, warnings), _side(context, names[1], workload, warnings))
    data = CompareData(workload=workload, sides=sides, differences=_differences(*sides))
    return Result(command="compare", data=data, messages=tuple(warning(sentence) for sentence in warnings))


def _side(context: Context, name: str, workload: Workload, warnings: list[str]) -> Side:
    target = resolve(context, name, workload)
    plan, said = plan_target(context, target, budget_of(context), workload)
    warnings += said
    match target:
        case CatalogueTarget(model, artifact) | InstalledTarget(_, (model, artifact)):
            points = quality(
                model,
                artifact,
                suit(model, workload.purpose, workload.language),
                workload.purpose,
                plan.plan.context_tokens,
            )
            return Side(plan=plan, model=msgspec.structs.replace(model, artifacts=(artifact,)), quality=points)
    unknown: Fact[float] = Fact(Unknown("the catalogue does not know this file"), "nothing", Provenance.ASSUMED)
    return Side(plan=plan, model=None, quality=unknown)


def _differences(first: Side, second: Side) -> tuple[str, ...]:
    """Sentences about what differs enough to be felt."""
    found = (
        _of_quality(first, second),
        _of_memory(first, second),
        _of_speed(first, second),
        _of_verdict(first, second),
    )
    return tuple(sentence for sentence in found if sentence)


def _of_quality(first: Side, second: Side) -> str:
    one, other = first.quality.known, second.quality.known
    if one is None or other is None:
        return "Which one is better is not known: the catalogue does not know both."
    better = first if one >= other else second
    return f"{better.plan.name} has the higher expected quality, by {abs(one - other):.1f} points."


def _of_memory(first: Side, second: Side) -> str:
    small, large = sorted((first.plan, second.plan), key=lambda plan: plan.peak_bytes)
    return f"{large.name} takes {large.peak_bytes / small.peak_bytes:.1f} times as much memory."


def _of_speed(first: Side, second: Side) -> str:
    slow, fast = sorted((first.plan, second.plan), key=lambda plan: plan.speed.decode_tok_s.known or 0.0)
    ratio = (fast.speed.decode_tok_s.known or 0.0) / max(slow.speed.decode_tok_s.known or 0.0, 0.1)
    return f"{fast.name} writes about {ratio:.1f} times as fast."


def _of_verdict(first: Side, second: Side) -> str:
    bad = [side.plan for side in (first, second) if side.plan.verdict != "fits"]
    return " ".join(f"{plan.name} does not suit: {plan.reason}" for plan in bad)
