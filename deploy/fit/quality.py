"""How good a model is expected to be for a use, as one number that orders them: what it reaches all but surely.

One point is a doubling of effective parameters, all else equal. The composite of public benchmarks stands in the
catalogue (scripts/merit.py); here its error and the published loss of the quantised form are taken off.
"""

from typing import Final, NamedTuple

from deploy.catalog.model import Artifact, Merit, Model, Use
from deploy.fit.suit import Purpose, Suit, suit
from profiles.machine import Fact, Provenance, Unknown

USE_OF: Final[dict[Purpose, Use]] = {
    "chat": "chat",
    "code": "code",
    "reasoning": "reasoning",
    "vision": "vision",
    "tools": "tools",
}
LONG_CONTEXT_TOKENS: Final = 65_536
"""From here on what a model makes of long texts counts as much as the purpose."""
NATS_PER_POINT: Final = 0.2
"""What perplexity gains by doubling the parameters: its logarithm falls by 0.16 a doubling from Llama 2 7B to 70B and
by 0.25 from Llama 3 8B to 70B."""
PUBLISHED: Final = "llama.cpp's perplexity tables for Llama 3 8B"
SPECIALIST_POINTS: Final = 1.0
"""What a model made for code gains there and loses elsewhere where no benchmark of the use tells; assumed."""


class Loss(NamedTuple):
    """What a quantisation takes off."""

    points: float
    source: str


def _published(nats: float) -> Loss:
    """A rise of the logarithm of perplexity over that of the unquantised model."""
    return Loss(round(nats / NATS_PER_POINT, 2), PUBLISHED)


MIXTURE_SHARE: Final = 0.5
DENSE_SHARE: Final = 0.8
"""Of a plain form's loss, what its dynamic sister keeps, which leaves sensitive layers finer; assumed."""


def _dynamic(plain: Loss, share: float) -> Loss:
    return Loss(round(plain.points * share, 2), f"assumed: {share:.0%} of the plain form's, for finer sensitive layers")


_NONE: Final = Loss(0.0, "not quantised")
_Q6_K, _Q5_K_M, _Q4_K_M = _published(0.0032), _published(0.0089), _published(0.0237)
_IQ4_XS, _Q3_K_M, _Q2_K = _published(0.0357), _published(0.0773), _published(0.3275)
_IQ2_XXS, _IQ1_M = _published(0.8157), _published(1.4087)
QUANT_LOSS: Final[dict[str, Loss]] = {
    "F32": _NONE,
    "BF16": _NONE,
    "F16": _NONE,
    "MXFP4": Loss(0.0, "trained in this form"),
    "Q8_0": _published(0.0002),
    "Q6_K": _Q6_K,
    "UD-Q6_K": _Q6_K,
    "Q5_K_M": _Q5_K_M,
    "UD-Q5_K_M": _Q5_K_M,
    "Q4_K_M": _Q4_K_M,
    "UD-Q4_K_M": _Q4_K_M,
    "UD-Q4_K_XL": _Q4_K_M,
    "Q4_K_S": _published(0.0279),
    "IQ4_NL": _published(0.0351),
    "IQ4_XS": _IQ4_XS,
    "UD-IQ4_XS": _IQ4_XS,
    "Q4_1": _published(0.0697),
    "Q4_0": _published(0.0723),
    "Q3_K_M": _Q3_K_M,
    "UD-Q3_K_M": _Q3_K_M,
    "UD-Q3_K_XL": _Q3_K_M,
    "Q2_K": _Q2_K,
    "UD-Q2_K_XL": _dynamic(_Q2_K, MIXTURE_SHARE),
    "UD-IQ2_XXS": _dynamic(_IQ2_XXS, MIXTURE_SHARE),
    "UD-IQ1_M": _dynamic(_IQ1_M, MIXTURE_SHARE),
}
"""Llama 3 8B is a model of much training, which loses by quantisation more than its elders do."""
_DENSE: Final = {"UD-Q2_K_XL": _Q2_K, "UD-IQ2_XXS": _IQ2_XXS, "UD-IQ1_M": _IQ1_M}
UNKNOWN_LOSS: Final = Loss(1.0, "assumed for a form of which nothing is published")


def quality(
    model: Model, artifact: Artifact, suited: Suit | None = None, purpose: Purpose = "chat", context_tokens: int = 0
) -> Fact[float]:
    """Points of a model in one quantised form, for a purpose. Unknown for a catalogue without composites."""
    fitting = suited or suit(model, purpose, None)
    merit = merit_for(model, purpose, context_tokens)
    if merit is None:
        return Fact(Unknown("the catalogue gives no composite of benchmarks for it"), "catalogue", Provenance.CATALOGUE)
    loss = loss_of(model, artifact.quant)
    special = _special(model, purpose, merit)
    points = merit.points - merit.error - loss.points + special + fitting.points
    added = "".join(
        f", {what} {value:+.2f}" for what, value in (("made for code", special), ("doubts", fitting.points)) if value
    )
    how = f"{_behind(merit, purpose)}: {merit.points:.2f} less its error {merit.error:.2f}{added}, "
    how += f"{artifact.quant} {-loss.points:+.2f} ({loss.source})"
    return Fact(round(points, 2), how, Provenance.CATALOGUE if merit.scores else Provenance.ESTIMATED)


def loss_of(model: Model, quant: str) -> Loss:
    """What a form takes off. The coarse dynamic forms were made for mixtures of experts, which bear them better."""
    loss = QUANT_LOSS.get(quant, UNKNOWN_LOSS)
    plain = _DENSE.get(quant)
    return _dynamic(plain, DENSE_SHARE) if plain and not model.expert_parameters else loss


def merit_for(model: Model, purpose: Purpose, context_tokens: int) -> Merit | None:
    """The composite for a purpose; for long texts the middle of it and that of long contexts."""
    by_use = {merit.use: merit for merit in model.merits}
    merit, long = by_use.get(USE_OF[purpose]), by_use.get("long-context")
    if merit is None or long is None or context_tokens < LONG_CONTEXT_TOKENS or not long.scores:
        return merit
    points, error = (merit.points + long.points) / 2, max(merit.error, long.error)
    return Merit(merit.use, points, error, merit.scores + long.scores, merit.others - long.scores)


def _special(model: Model, purpose: Purpose, merit: Merit) -> float:
    if not model.capabilities.code or merit.scores:
        return 0.0
    return SPECIALIST_POINTS if purpose == "code" else -SPECIALIST_POINTS


def _behind(merit: Merit, purpose: Purpose) -> str:
    """What the composite rests on."""
    if merit.scores + merit.others == 0:
        return "no benchmark with open terms; from size, age and kin"
    if not merit.scores:
        return f"no benchmark for {purpose} with open terms; from {merit.others} of other uses, size and kin"
    more = f" and {merit.others} of other uses" if merit.others else ""
    return f"{merit.scores} benchmark score{'s' if merit.scores > 1 else ''} for {purpose}{more}"
