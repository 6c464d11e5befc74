"""What is chosen on every reference machine: a change shows as a difference that people can read.

The promises that hold for every ranking are checked on the same rankings, for they take seconds to make.
"""

import difflib
from collections.abc import Iterator, Mapping

import pytest

from deploy.fit.fit import DEFAULT_MIN_DECODE_TOK_S
from deploy.fit.placement import share_percent
from deploy.fit.rank import CHOICE_POINTS, Ranked, Ranking
from deploy.fit.suit import Purpose
from profiles.budget import Budget, Pool, budget
from profiles.simulated import list_machines, load_machine
from scripts.build_goldens import OUT, SHOWN, rankings, text_of

RENEW = "Read the difference; if it is meant, run `python -m scripts.build_goldens` and keep it."
MOST_PERCENT = 85


@pytest.mark.no_cover
@pytest.mark.parametrize("name", list_machines())
def test_the_choices_are_those_that_were_reviewed_and_keep_every_promise(name: str) -> None:
    """For each use the first five, with figures and reasons; and of all that is ranked or refused what must hold."""
    here = budget(load_machine(name))
    by_use = rankings(here)
    kept = (OUT / f"{name}.txt").read_text("utf-8").splitlines()
    found = text_of(name, here, by_use).splitlines()
    difference = "\n".join(difflib.unified_diff(kept, found, "reviewed", "now", lineterm="", n=1))
    assert not difference, f"{name}\n{difference}\n{RENEW}"
    assert not list(broken_promises(here, by_use))


def broken_promises(here: Budget, by_use: Mapping[Purpose, Ranking]) -> Iterator[str]:
    """Each as a sentence."""
    for purpose, ranking in by_use.items():
        for one in ranking.ranked:
            yield from (f"{purpose}, {one.fit.id}: {what}" for what in _of_ranked(one, here))
        for one in ranking.refused:
            yield from (f"{purpose}, {one.fit.id}: {what}" for what in _of_refused(one))
        yield from _of_order(purpose, ranking)


def _of_ranked(one: Ranked, here: Budget) -> Iterator[str]:
    fit = one.fit
    if fit.verdict != "fits" or not one.obtainable:
        yield "ranked, and will not do or cannot be had"
    if not one.why:
        yield "no why"
    if (fit.speed.decode_tok_s.known or 0.0) < DEFAULT_MIN_DECODE_TOK_S:
        yield "slower than asked"
    for use in fit.pools:
        pool = next(pool for pool in here.pools if use.name.startswith(pool.name))
        if use.peak_bytes > pool.budget_bytes or use.peak_bytes * 100 > _total(pool) * MOST_PERCENT:
            yield f"more of {use.name} than may be taken"


def _total(pool: Pool) -> int:
    assert share_percent(pool) <= MOST_PERCENT
    return pool.total_bytes.known or 0


def _of_refused(one: Ranked) -> Iterator[str]:
    fit = one.fit
    if not one.why:
        yield "no why not"
    if fit.verdict == "fits":
        yield "refused, and fits and can be had"
    if (fit.verdict == "too-large") != any(use.peak_bytes > use.room_bytes for use in fit.pools):
        yield "its figures do not bear out whether it is too large"
    if fit.verdict == "too-slow" and (fit.speed.decode_tok_s.known or 0.0) >= DEFAULT_MIN_DECODE_TOK_S:
        yield "said to be slow, and is not"


def _of_order(purpose: Purpose, ranking: Ranking) -> Iterator[str]:
    """No choice is dominated, whatever is said to be beaten is so, and no choice stands behind what is beaten."""
    by_id = {one.fit.id: one for one in ranking.ranked}
    for place, one in enumerate(ranking.ranked[:SHOWN]):
        better = [other.fit.id for other in ranking.ranked if _dominates(other, one)]
        if one.beaten_by is None and better:
            yield f"{purpose}, {one.fit.id}: dominated by {better}"
        if one.beaten_by is None and any(earlier.beaten_by for earlier in ranking.ranked[:place]):
            points = [other.fit.quality.known or 0.0 for other in ranking.ranked]
            if (one.fit.quality.known or 0.0) > max(points) - CHOICE_POINTS:
                yield f"{purpose}, {one.fit.id}: a choice behind what is beaten"
    for one in ranking.ranked:
        if one.beaten_by is not None and (one.fit.quality.known or 0.0) > (
            by_id[one.beaten_by].fit.quality.known or 0.0
        ):
            yield f"{purpose}, {one.fit.id}: better than what beats it"


def _dominates(one: Ranked, other: Ranked) -> bool:
    """At least as good in quality, speed and memory, and better in one of them."""
    mine, its = _figures(one), _figures(other)
    return mine != its and all(a >= b for a, b in zip(mine, its, strict=True))


def _figures(one: Ranked) -> tuple[float, float, int]:
    fit = one.fit
    return fit.quality.known or 0.0, fit.speed.decode_tok_s.known or 0.0, -fit.peak_bytes


def test_every_golden_is_of_a_machine_of_the_library() -> None:
    """None is left over from a machine that is gone."""
    assert sorted(path.stem for path in OUT.glob("*.txt")) == list(list_machines())
    assert all(load_machine(name).simulated for name in list_machines())
