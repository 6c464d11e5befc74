"""Orders the models that fit, and says of each one why it stands where it stands."""

import math
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from deploy.catalog.model import Artifact, Catalog, Model
from deploy.fit.fit import Fit, Workload, fit
from deploy.quantities import gigabytes
from profiles.budget import Budget

COMFORT_POINTS: Final = 0.5
COMFORT_TIMES: Final = 4.0
"""A doubling of speed is worth so many points of quality, up to so many times the speed that is asked for; assumed."""


NOTED_RATIO: Final = 1.2
"""A fifth of speed is felt."""
UNFELT_RATIO: Final = 1.05
"""A twentieth of speed or memory is not."""
CHOICE_POINTS: Final = 3.25
"""What is behind the best by more is no choice, however fast or small it is: a tenth of its parameters."""


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """A fit with its place in the order."""

    fit: Fit
    obtainable: bool
    """Whether it is installed or a source in reach has it."""
    obtain: str
    """From where, or why not."""
    why: str
    """For the chosen one why it was chosen; for another why not."""
    beaten_by: str | None = None
    """Which one is as good, as fast and as small or more so; None for a choice."""


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """All models on one machine, best first. `chosen` is the first of `ranked`, or None when nothing will do."""

    chosen: Ranked | None
    ranked: tuple[Ranked, ...]
    """What fits and can be had: first the choices, best first, then what one of them beats or what is far worse."""
    refused: tuple[Ranked, ...]
    """What does not, best quality first."""


Availability = Callable[[Model, Artifact], tuple[bool, str]]
"""Says of an artifact whether it can be had now, and from where or why not."""
Fitting = Callable[[Model, Artifact], Fit]
"""Fits one form to the machine."""
Admission = Callable[[Model, Artifact], str | None]
"""Says why the policy forbids an artifact; None where it does not."""


def everything(_model: Model, _artifact: Artifact) -> None:
    """The admission where there is no policy."""


def rank(
    catalog: Catalog, budget: Budget, workload: Workload, available: Availability, forbidden: Admission = everything
) -> Ranking:
    """Take the best form of each model and order the models by their worth, last those that another beats."""

    def fitted(model: Model, artifact: Artifact) -> Fit:
        return fit(model, artifact, budget, workload)

    return rank_fitted(catalog, fitted, workload, available, forbidden)


def rank_fitted(
    catalog: Catalog, fitted: Fitting, workload: Workload, available: Availability, forbidden: Admission = everything
) -> Ranking:
    """The same, where the caller fits forms to the machine and may remember how."""
    forms = (_forms(model, fitted, available, forbidden) for model in catalog.models)
    best = [_best(of_model, workload) for of_model in forms]
    ranked = _ordered([c for c in best if _suits(c)], workload)
    refused = sorted((c for c in best if not _suits(c)), key=_points, reverse=True)
    return Ranking(
        chosen=ranked[0] if ranked else None,
        ranked=tuple(ranked),
        refused=tuple(_with_why(c, c.fit.reason if c.fit.verdict != "fits" else c.obtain) for c in refused),
    )


def _ordered(suited: list[Ranked], workload: Workload) -> list[Ranked]:
    """The choices, and behind them what one of them beats or what is far worse, each by its worth and with its why."""
    if not suited:
        return []
    fair, beaten = _sorted_out(suited)
    least = max(_points(candidate)[0] for candidate in fair) - CHOICE_POINTS
    behind = {id(c) for c in fair if _points(c)[0] < least} | set(map(id, beaten))
    first, *others = sorted((*fair, *beaten), key=lambda c: (id(c) not in behind, *_order(c, workload)), reverse=True)
    told = (_with_why(c, c.why or _why_not(c, first)) for c in others)
    return [_with_why(first, _why_chosen(first, suited)), *told]


def best_form(
    model: Model, budget: Budget, workload: Workload, available: Availability, forbidden: Admission = everything
) -> Ranked:
    """The form of a model to show: one that suits, else one that fits, else the smallest; then the best of them."""
    forms = _forms(model, lambda one, artifact: fit(one, artifact, budget, workload), available, forbidden)
    return _best(forms, workload)


def _best(forms: Iterable[Ranked], workload: Workload) -> Ranked:
    return max(forms, key=lambda form: _form_order(form, workload))


def _forms(model: Model, fitted: Fitting, available: Availability, forbidden: Admission) -> Iterable[Ranked]:
    for artifact in model.artifacts:
        obtainable, obtain = available(model, artifact)
        found = fitted(model, artifact)
        why = forbidden(model, artifact)
        if why is not None:
            found = msgspec.structs.replace(found, verdict="policy", reason=why)
        yield Ranked(fit=found, obtainable=obtainable, obtain=obtain, why="")


def _sorted_out(suited: Iterable[Ranked]) -> tuple[list[Ranked], list[Ranked]]:
    """Those that no other beats in every way, and those that one of them beats, with its name."""
    fair: list[Ranked] = []
    beaten = []
    for candidate in sorted(suited, key=_figures, reverse=True):
        better = next((choice for choice in fair if _beats(choice, candidate)), None)
        if better is None:
            fair.append(candidate)
        else:
            beaten.append(
                msgspec.structs.replace(candidate, beaten_by=better.fit.id, why=_why_beaten(candidate, better))
            )
    return fair, beaten


def _figures(candidate: Ranked) -> tuple[float, float, int]:
    """Quality, speed, and memory, of which less is better."""
    found = candidate.fit
    return found.quality.known or 0.0, found.speed.decode_tok_s.known or 0.0, -found.peak_bytes


def _beats(one: Ranked, other: Ranked) -> bool:
    """Whether one is as good, and as fast and as small but for a difference that nobody feels."""
    (points, speed, size), (other_points, other_speed, other_size) = _figures(one), _figures(other)
    return points >= other_points and speed * UNFELT_RATIO >= other_speed and -size <= -other_size * UNFELT_RATIO


def _form_order(candidate: Ranked, workload: Workload) -> tuple[bool, bool, bool, bool, float, int]:
    """Of forms that fit the best one, of those that are too slow the fastest, of those too large the smallest.

    Of equals the smaller one.
    """
    found = candidate.fit
    scores = {
        "too-large": -float(found.peak_bytes),
        "too-slow": found.speed.decode_tok_s.known or 0.0,
    }
    score = scores.get(found.verdict, _worth(candidate, workload))
    fits, allowed = found.verdict == "fits", found.verdict != "policy"
    return (_suits(candidate), fits, allowed, found.verdict != "too-large", score, -found.peak_bytes)


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


def _why_chosen(first: Ranked, suited: list[Ranked]) -> str:
    points = [candidate.fit.quality.known or 0.0 for candidate in suited]
    what = (
        "the highest expected quality"
        if (first.fit.quality.known or 0.0) >= max(points)
        else "the best balance of quality and speed"
    )
    among = "is the only model" if len(points) == 1 else f"has {what} of {len(points)} models"
    doubts = "".join(f" {doubt}" for doubt in first.fit.doubts)
    verb = "fits" if len(points) == 1 else "fit"
    return f"It {among} that {verb} and can be installed from here. {first.fit.reason}{doubts}"


def _why_beaten(candidate: Ranked, better: Ranked) -> str:
    """What it has nothing to set against."""
    more = (better.fit.quality.known or 0.0) - (candidate.fit.quality.known or 0.0)
    quality = f"{more:.1f} points more expected quality" if round(more, 1) else "the same expected quality"
    doubts = "".join(f" {doubt}" for doubt in candidate.fit.doubts)
    return f"{better.fit.name} is better: {quality}, and at least as fast and as small.{doubts}"


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
