"""Orders the models that fit, and says of each one why it stands where it stands."""

from collections.abc import Callable, Iterable

import msgspec

from deploy.catalog.model import Artifact, Catalog, Model
from deploy.fit.fit import Fit, Workload, fit, gigabytes
from profiles.budget import Budget


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
    suited = sorted((c for c in best if _suits(c)), key=_points, reverse=True)
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
    return max(_forms(model, budget, workload, available, forbidden), key=_form_order)


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


def _form_order(candidate: Ranked) -> tuple[bool, bool, bool, bool, float]:
    """Of forms that fit the best one, of those that are too slow the fastest, of those too large the smallest."""
    found = candidate.fit
    scores = {
        "too-large": -float(found.peak_bytes),
        "too-slow": found.speed.decode_tok_s.known or 0.0,
    }
    score = scores.get(found.verdict, found.quality.known or 0.0)
    fits, allowed = found.verdict == "fits", found.verdict != "policy"
    return (_suits(candidate), fits, allowed, found.verdict != "too-large", score)


def _suits(candidate: Ranked) -> bool:
    return candidate.fit.verdict == "fits" and candidate.obtainable


def _points(candidate: Ranked) -> tuple[float, int]:
    """Quality first; of equals the smaller one."""
    return (candidate.fit.quality.known or 0.0, -candidate.fit.peak_bytes)


def _with_why(candidate: Ranked, why: str) -> Ranked:
    return msgspec.structs.replace(candidate, why=why)


def _why_chosen(suited: list[Ranked]) -> str:
    first = suited[0]
    among = "the only one" if len(suited) == 1 else f"the highest expected quality of {len(suited)}"
    doubts = "".join(f" {doubt}" for doubt in first.fit.doubts)
    return f"It is {among} that fits and can be had from here. {first.fit.reason}{doubts}"


def _why_not(candidate: Ranked, first: Ranked) -> str:
    less = (first.fit.quality.known or 0.0) - (candidate.fit.quality.known or 0.0)
    faster = (candidate.fit.speed.decode_tok_s.known or 0.0) / max(first.fit.speed.decode_tok_s.known or 0.0, 0.1)
    trade = f", though about {faster:.1f} times as fast" if faster > 1.2 else ""  # noqa: PLR2004 - a fifth is felt
    takes = gigabytes(candidate.fit.peak_bytes)
    doubts = "".join(f" {doubt}" for doubt in candidate.fit.doubts)
    return f"{less:.1f} points less expected quality than {first.fit.name}{trade}; it takes {takes}.{doubts}"
