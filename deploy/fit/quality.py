"""How good a model is expected to be, as one number that orders them. Estimated, and shown as such.

One point is a doubling of effective parameters. Benchmarks are not part of it yet: no source whose terms allow
shipping covers all models.
"""

import datetime as dt
import math
from typing import Final

from deploy.catalog.model import Artifact, Model
from deploy.fit.suit import Suit, suit
from profiles.machine import Fact, Provenance

EPOCH: Final = dt.date(2023, 1, 1)
POINTS_PER_YEAR: Final = 1.0
"""Capability per parameter has doubled faster than yearly ("Densing Law of LLMs", arXiv 2412.04315, finds every
3.3 months for the best models); one point a year is a cautious reading."""
QUANT_LOSS: Final = {
    "F32": 0.0,
    "BF16": 0.0,
    "F16": 0.0,
    "Q8_0": 0.01,
    "MXFP4": 0.05,
    "Q6_K": 0.04,
    "UD-Q6_K": 0.04,
    "UD-Q5_K_M": 0.08,
    "Q5_K_M": 0.1,
    "UD-Q4_K_XL": 0.2,
    "UD-Q4_K_M": 0.22,
    "Q4_K_M": 0.25,
    "Q4_K_S": 0.3,
    "UD-IQ4_XS": 0.3,
    "IQ4_XS": 0.32,
    "IQ4_NL": 0.32,
    "Q4_1": 0.35,
    "Q4_0": 0.4,
    "UD-Q3_K_M": 0.6,
    "UD-Q3_K_XL": 0.6,
    "Q3_K_M": 0.7,
    "UD-Q2_K_XL": 1.1,
    "Q2_K": 1.5,
    "UD-IQ2_XXS": 1.8,
    "UD-IQ1_M": 2.6,
}
"""Points lost by quantisation, assumed; their order is that of the perplexity tables in llama.cpp's quantize tool.
MXFP4 loses next to nothing because the models that come in it were trained for it."""
UNKNOWN_QUANT_LOSS: Final = 1.0


def quality(model: Model, artifact: Artifact, suited: Suit | None = None) -> Fact[float]:
    """Points of a model in one quantised form, for a purpose; conversation unless said otherwise."""
    fitting = suited or suit(model, "chat", None)
    effective = math.sqrt(model.parameters_total * model.parameters_active)
    size_points = math.log2(effective / 1e9)
    age_points = _age_points(model.release_date)
    loss = QUANT_LOSS.get(artifact.quant, UNKNOWN_QUANT_LOSS)
    purpose = f", purpose {fitting.points:+.2f}" if fitting.points else ""
    how = (
        f"log2 of {effective / 1e9:.2f} G effective parameters {size_points:+.2f}, "
        f"release {model.release_date or 'unknown'} {age_points:+.2f}, {artifact.quant} {-loss:+.2f}{purpose}"
    )
    return Fact(round(size_points + age_points - loss + fitting.points, 2), how, Provenance.ESTIMATED)


def _age_points(release_date: str | None) -> float:
    """Points for newness. A model without a date is taken for an old one."""
    if release_date is None:
        return 0.0
    return max(0.0, (dt.date.fromisoformat(release_date) - EPOCH).days / 365.25 * POINTS_PER_YEAR)
