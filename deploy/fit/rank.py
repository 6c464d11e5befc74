"""Orders the models that fit, and says of each one why it stands where it stands."""

import math
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from deploy.catalog.model import Artifact, Catalog, Model
from deploy.fit.fit import Fit, Workload, fit, gigabytes
from profiles.budget import Budget

COMFORT_POINTS: Final = 0.5
COMFORT_TIMES: Final = 4.0
"""A doubling of speed is worth so many points of quality, up to so many times the speed that is asked for; assumed."""


NOTED_RATIO: Final = 1.2
"""A fifth of speed is felt."""


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """A fit with its place in the order."""

    fit: Fit
    obtainable: bool
    """Whether it is installed or a source in reach has it."""
    obtain: str
    """From where, or why not."""
    why: str
    """For the chosen one why it was chosen; for another why not."""


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """All models on one machine, best first. `chosen` is the first of `ranked`, or None when nothing will do."""

    chosen: Ranked | None
    ranked: tuple[Ranked, ...]
    """What fits and can be had, best first."""
    refused: tuple[Ranked, ...]
    """What does not, best quality first."""


Availability = Callable[[Model, Artifact], tuple[bool, str]]
"""Says of an artifact whether it can be had now, and from where or why not."""
Admission = Callable[[Model, Artifact], str | None]
"""Says why the policy forbids an artifact; None where it does not."""


def everything(_model: Model, _artifact: Artifact) -> None:
    """The admission where there is no policy."""


def rank(
    catalog: Catalog, budget: Budget, workload: Workload, available: Availability, forbidden: Admission = everything
) -> Ranking:
    """Take the best form of each model and order the models by quality."""
    best = [best_form(model, budget, workload, available, forbidden) for model in catalog.models]
    suited = sorted((c for c in best if _suits(c)), key=lambda c: _order(c, workload), reverse=True)
    refused = sorted((c for c in best if not _suits(c)), key=_points, reverse=True)
    chosen = _with_why(suited[0], _why_chosen(suited)) if suited else None
    others = tuple(_with_why(c, _why_not(c, suited[0])) for c in suited[1:])
    return Ranking(
        chosen=chosen,
        ranked=((chosen, *others) if chosen else ()),
        refused=tuple(_with_why(c, c.fit.reason if c.fit.verdict != "fits" else c.obtain) for c in refused),
    )


def best_form(
    model: Model, budget: Budget, workload: Workload, available: Availability, forbidden: Admission = everything
) -> Ranked:
    """The form of a model to show: one that suits, else one that fits, else the smallest; then the best of them."""
    return max(_forms(model, budget, workload, available, forbidden), key=lambda form: _form_order(form, workload))


def _forms(
    model: Model, budget: Budget, workload: Workload, available: Availability, forbidden: Admission
) -> Iterable[Ranked]:
    for artifact in model.artifacts:
        obtainable, obtain = available(model, artifact)
        found = fit(model, artifact, budget, workload)
        why = forbidden(model, artifact)
        if why is not None:
            found = msgspec.structs.replace(found, verdict="policy", reason=why)
        yield Ranked(fit=found, obtainable=obtainable, obtain=obtain, why="")


def _form_order(candidate: Ranked, workload: Workload) -> tuple[bool, bool, bool, bool, float]:
    """Of forms that fit the best one, of those that are too slow the fastest, of those too large the smallest."""
    found = candidate.fit
    scores = {
        "too-large": -float(found.peak_bytes),
        "too-slow": found.speed.decode_tok_s.known or 0.0,
    }
    score = scores.get(found.verdict, _worth(candidate, workload))
    fits, allowed = found.verdict == "fits", found.verdict != "policy"
    return (_suits(candidate), fits, allowed, found.verdict != "too-large", score)


def _suits(candidate: Ranked) -> bool:
    return candidate.fit.verdict == "fits" and candidate.obtainable


def _worth(candidate: Ranked, workload: Workload) -> float:
    """Quality, and what speed beyond the least that is asked for adds to it, until more would not be felt."""
    asked = workload.min_decode_tok_s * workload.users
    speed = candidate.fit.speed.decode_tok_s.known or 0.0
    times = min(max(speed / asked, 1.0), COMFORT_TIMES) if asked > 0 else COMFORT_TIMES
    return (candidate.fit.quality.known or 0.0) + COMFORT_POINTS * math.log2(times)


def _order(candidate: Ranked, workload: Workload) -> tuple[float, int]:
    """The worth first; of equals the smaller one."""
    return (_worth(candidate, workload), -candidate.fit.peak_bytes)


def _points(candidate: Ranked) -> tuple[float, int]:
    """Quality first; of equals the smaller one."""
    return (candidate.fit.quality.known or 0.0, -candidate.fit.peak_bytes)


def _with_why(candidate: Ranked, why: str) -> Ranked:
    return msgspec.structs.replace(candidate, why=why)


def _why_chosen(suited: list[Ranked]) -> str:
    first = suited[0]
    best = max((candidate.fit.quality.known or 0.0) for candidate in suited)
    what = "highest expected quality" if (first.fit.quality.known or 0.0) >= best else "best of quality and speed"
    among = "the only one" if len(suited) == 1 else f"the {what} of {len(suited)}"
    doubts = "".join(f" {doubt}" for doubt in first.fit.doubts)
    return f"It is {among} that fits and can be had from here. {first.fit.reason}{doubts}"


def _why_not(candidate: Ranked, first: Ranked) -> str:
    """What it lacks beside the first, and what speaks for it."""
    more = (candidate.fit.quality.known or 0.0) - (first.fit.quality.known or 0.0)
    faster = (candidate.fit.speed.decode_tok_s.known or 0.0) / max(first.fit.speed.decode_tok_s.known or 0.0, 0.1)
    compared = f"{abs(more):.1f} points {'more' if more > 0 else 'less'} expected quality than {first.fit.name}"
    trade = f", though about {faster:.1f} times as fast" if faster > NOTED_RATIO else ""
    if more > 0 or faster * NOTED_RATIO < 1:
        trade = f", {'but' if more > 0 else 'and'} at {faster:.0%} of its speed"
    doubts = "".join(f" {doubt}" for doubt in candidate.fit.doubts)
    return f"{compared}{trade}; it takes {gigabytes(candidate.fit.peak_bytes)}.{doubts}"
