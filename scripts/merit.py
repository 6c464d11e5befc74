"""Makes one composite for each use out of scattered benchmark scores, and says how sure it is.

Each score is taken for a noisy reading of a model's strength: its logit (or its rating) is a straight line in strength,
with a slope and a scatter of the benchmark's own. A model's strength is expected from its size, age, kin and whether it
reasons before it answers, and drawn from there to what its scores say. A strength for one use is the common one, and as
much of the difference in that use's scores as they are many. Everything is found by going round until nothing moves.
One point of strength is, all else equal, a doubling of effective parameters.
"""

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Final, NamedTuple, get_args

from deploy.catalog.model import Merit, Use
from scripts.benchmarks import BENCHMARKS
from scripts.gather_scores import ScoreRow

USES: Final[tuple[Use, ...]] = get_args(Use)
EPOCH: Final = dt.date(2023, 1, 1)
KINLESS_POINTS: Final = -0.35
"""What a family of which no model has a score lies behind those that have: nobody tests the unremarkable."""
UNDATED_YEARS: Final = 0.0
"""A model without a date is taken for an old one."""
ROUNDS: Final = 200
LEAST_READINGS: Final = 4
"""A benchmark with fewer models says nothing of itself."""
TYPICAL_SLOPE: Final = 0.25
"""Logits a point, before anything is known of a benchmark; it counts as much as this spread allows."""
SLOPE_SPREAD: Final = 0.15
LEAST_SLOPE: Final = 0.06
TYPICAL_SCATTER: Final = 0.35
SCATTER_WEIGHT: Final = 4.0
"""As many readings as the typical scatter counts for."""
KIN_SPREAD: Final = 0.7
"""How far families lie apart, in points, before anything is known of them."""
USE_SPREAD: Final = 0.8
"""How far a model's strength in one use lies from its common strength."""
COMMON_ERROR: Final = 0.4
"""What all scores of a model may have in common that is not strength: who tested, and on what it was trained."""


class Facts(NamedTuple):
    """What is known of a model without any benchmark."""

    id: str
    family: str
    parameters_total: int
    parameters_active: int
    release_date: str | None
    reasoning: bool
    """Whether it reasons before it answers."""

    @property
    def size_points(self) -> float:
        """Doublings of effective parameters: the geometric mean of all and of the active ones."""
        return math.log2(math.sqrt(self.parameters_total * self.parameters_active) / 1e9)

    @property
    def years(self) -> float:
        """Age, counted from when open models began to be tuned for conversation."""
        if self.release_date is None:
            return UNDATED_YEARS
        return max(0.0, (dt.date.fromisoformat(self.release_date) - EPOCH).days / 365.25)


class Reading(NamedTuple):
    """One benchmark's reading of a model."""

    benchmark: str
    use: Use
    value: float
    """Logit of a share, or a rating in the same unit."""


class Line(NamedTuple):
    """What a benchmark makes of strength."""

    base: float
    slope: float
    scatter: float


class Expectation(NamedTuple):
    """What size, age, kin and reasoning let expect."""

    base: float
    year: float
    reasoning: float
    kin: Mapping[str, float]
    spread: float
    latest: float
    """Age of the newest model with a score: nothing says how it went on, so later ones gain nothing by their date."""

    def of(self, model: Facts) -> float:
        """The strength of a model of which nothing else is known."""
        reasons = self.reasoning if model.reasoning else 0.0
        aged = self.year * min(model.years, self.latest)
        return self.base + model.size_points + aged + reasons + self.kin.get(model.family, KINLESS_POINTS)


class Strength(NamedTuple):
    """The common strength of a model."""

    points: float
    variance: float


def readings(rows: Iterable[ScoreRow]) -> dict[str, list[Reading]]:
    """The readings of each model. Where several sources scored one benchmark, the middle of them."""
    uses = {benchmark.name: benchmark.use for benchmark in BENCHMARKS}
    values: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        values[row.model, row.benchmark].append(_logit(row.value))
    count: defaultdict[str, int] = defaultdict(int)
    for _, benchmark in values:
        count[benchmark] += 1
    found: defaultdict[str, list[Reading]] = defaultdict(list)
    for (model, benchmark), several in sorted(values.items()):
        if count[benchmark] >= LEAST_READINGS:
            found[model].append(Reading(benchmark, uses[benchmark], median(several)))
    return dict(found)


def _logit(value: float) -> float:
    """Of a share; a rating is one already, with 400 of it for ten to one."""
    if value > 1:
        return value * math.log(10) / 400
    share = min(max(value, 0.005), 0.995)
    return math.log(share / (1 - share))


class Composite:
    """The strengths of all models, found together."""

    def __init__(self, models: Sequence[Facts], rows: Iterable[ScoreRow]) -> None:
        """Go round until nothing moves."""
        self._models = {model.id: model for model in models}
        known = readings(rows)
        self._readings = {name: known[name] for name in sorted(known) if name in self._models}
        latest = max((self._models[name].years for name in self._readings), default=0.0)
        self.expectation = Expectation(0.0, 1.0, 1.0, {}, 1.0, latest)
        self._strengths = {name: Strength(self.expectation.of(self._models[name]), 1.0) for name in self._readings}
        self.lines: dict[str, Line] = {}
        for _ in range(ROUNDS):
            self.lines = self._fit_lines()
            self._strengths = {name: self._fit_strength(name) for name in self._readings}
            self.expectation = self._fit_expectation()

    def merits(self, model: Facts) -> tuple[Merit, ...]:
        """The composite of one model for every use."""
        kin_variance = KIN_SPREAD**2 / (2 if model.family in self.expectation.kin else 1)
        unscored = Strength(self.expectation.of(model), self.expectation.spread**2 + kin_variance)
        strength = self._strengths.get(model.id, unscored)
        own = self._readings.get(model.id, [])
        return tuple(self._merit(use, strength, own) for use in USES)

    def _merit(self, use: Use, strength: Strength, own: Sequence[Reading]) -> Merit:
        inside = [reading for reading in own if reading.use == use]
        weight, pull = 1 / USE_SPREAD**2, 0.0
        for reading in inside:
            line = self.lines[reading.benchmark]
            precision = (line.slope / line.scatter) ** 2
            weight += precision
            pull += precision * ((reading.value - line.base) / line.slope - strength.points)
        error = math.sqrt(strength.variance + 1 / weight + (COMMON_ERROR**2 if own else 0.0))
        return Merit(
            use, round(strength.points + pull / weight, 2), round(error, 2), len(inside), len(own) - len(inside)
        )

    def _fit_lines(self) -> dict[str, Line]:
        seen: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        for name, several in self._readings.items():
            for reading in several:
                seen[reading.benchmark].append((self._strengths[name].points, reading.value))
        return {benchmark: _line(pairs) for benchmark, pairs in seen.items()}

    def _fit_strength(self, name: str) -> Strength:
        expected, spread = self.expectation.of(self._models[name]), self.expectation.spread
        weight = 1 / spread**2
        total = weight * expected
        for reading in self._readings[name]:
            line = self.lines[reading.benchmark]
            precision = line.slope**2 / (line.scatter**2 + (line.slope * USE_SPREAD) ** 2)
            weight += precision
            total += precision * (reading.value - line.base) / line.slope
        return Strength(total / weight, 1 / weight)

    def _fit_expectation(self) -> Expectation:
        """Straight lines through what size leaves over, one after the other; kin last, and drawn to nothing."""
        models = [self._models[name] for name in self._readings]
        left = {m.id: self._strengths[m.id].points - m.size_points for m in models}
        was = self.expectation
        rest = [left[m.id] - was.kin.get(m.family, 0.0) - was.reasoning * m.reasoning for m in models]
        year = _slope([m.years for m in models], rest)
        base = fmean(rest) - year * fmean(m.years for m in models)
        plain = {m.id: left[m.id] - base - year * m.years for m in models}
        kinless = [(plain[m.id] - was.kin.get(m.family, 0.0), m.reasoning) for m in models]
        reasoning = fmean(v for v, r in kinless if r) - fmean(v for v, r in kinless if not r)
        over: defaultdict[str, list[float]] = defaultdict(list)
        for m in models:
            over[m.family].append(plain[m.id] - reasoning * m.reasoning)
        kin = {family: sum(v) / (len(v) + (was.spread / KIN_SPREAD) ** 2) for family, v in over.items()}
        found = was._replace(base=base, year=year, reasoning=reasoning, kin=kin)
        scatter = [(self._strengths[m.id].points - found.of(m)) ** 2 + self._strengths[m.id].variance for m in models]
        return found._replace(spread=max(0.5, math.sqrt(fmean(scatter))))


def _slope(x: Sequence[float], y: Sequence[float]) -> float:
    middle_x, middle_y = fmean(x), fmean(y)
    return sum((a - middle_x) * (b - middle_y) for a, b in zip(x, y, strict=True)) / sum((a - middle_x) ** 2 for a in x)


def _line(pairs: Sequence[tuple[float, float]]) -> Line:
    """The best line, drawn to the typical one where the readings are few."""
    middle_x, middle_y = fmean(x for x, _ in pairs), fmean(y for _, y in pairs)
    held = (TYPICAL_SCATTER / SLOPE_SPREAD) ** 2
    across = sum((x - middle_x) * (y - middle_y) for x, y in pairs) + held * TYPICAL_SLOPE
    slope = max(LEAST_SLOPE, across / (sum((x - middle_x) ** 2 for x, _ in pairs) + held))
    base = middle_y - slope * middle_x
    squares = sum((y - base - slope * x) ** 2 for x, y in pairs) + SCATTER_WEIGHT * TYPICAL_SCATTER**2
    return Line(base, slope, math.sqrt(squares / (len(pairs) + SCATTER_WEIGHT)))
