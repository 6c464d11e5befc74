"""What would have to change for a model that was refused: worked out by the same functions that refused it."""

import math
from typing import Final, Literal

import msgspec

from deploy.catalog.model import Artifact, Model
from deploy.fit.fit import Fit, Workload, fit
from deploy.fit.placement import HOST_SHARE_PERCENT
from deploy.quantities import gigabytes
from profiles.budget import Budget
from profiles.machine import Fact

SHORTEST_CONTEXT: Final = 2048
GIB: Final = 1 << 30


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that would be enough by itself."""

    kind: Literal["context", "memory", "speed"]
    value: float
    """Tokens, bytes more, or tokens a second."""
    sentence: str


def advise(model: Model, artifact: Artifact, budget: Budget, workload: Workload) -> tuple[Change, ...]:
    """Each change that makes this model fit, the cheapest first; nothing where none would."""
    refused = fit(model, artifact, budget, workload)
    if refused.verdict == "too-large":
        found = (_less_context(model, artifact, budget, workload), _more_memory(model, artifact, budget, workload))
    elif refused.verdict == "too-slow":
        found = (_slower(refused, workload.users), None)
    else:
        return ()
    return tuple(change for change in found if change is not None)


def _less_context(model: Model, artifact: Artifact, budget: Budget, workload: Workload) -> Change | None:
    tokens = workload.context_tokens // 2
    while tokens >= SHORTEST_CONTEXT:
        tried = fit(model, artifact, budget, msgspec.structs.replace(workload, context_tokens=tokens))
        if tried.verdict == "fits":
            cache = ", with a q8_0 cache" if tried.plan.kv_type == "q8_0" else ""
            sentence = f"It fits with --context {tokens}{cache}."
            return Change(kind="context", value=tokens, sentence=sentence)
        tokens //= 2
    return None


def _more_memory(model: Model, artifact: Artifact, budget: Budget, workload: Workload) -> Change | None:
    """The memory that is short, in whole GiB as it is bought, found by fitting again with so much more."""
    refused = fit(model, artifact, budget, workload)
    pool = budget.host
    total = pool.total_bytes.known
    if total is None or refused.pool != pool.name:
        return None
    short = max(refused.peak_bytes - pool.budget_bytes, refused.peak_bytes * 100 // HOST_SHARE_PERCENT - total)
    more = math.ceil(short / GIB) * GIB
    larger = msgspec.structs.replace(
        pool,
        total_bytes=Fact(total + more, "assumed", pool.total_bytes.provenance),
        budget_bytes=pool.budget_bytes + more,
    )
    enlarged = msgspec.structs.replace(budget, pools=(larger, *(p for p in budget.pools if p is not pool)))
    tried = fit(model, artifact, enlarged, workload)
    if tried.verdict != "fits":
        return None
    decode = tried.speed.decode_tok_s.known or 0.0
    return Change(
        kind="memory",
        value=more,
        sentence=f"It fits with {gigabytes(more)} more memory for it ({gigabytes(refused.peak_bytes)} in all), "
        f"at about {decode:.1f} tok/s.",
    )


def _slower(refused: Fit, users: int) -> Change | None:
    decode = refused.speed.decode_tok_s.known
    if not decode:
        return None
    speed = math.floor(decode / users * 10) / 10
    return Change(kind="speed", value=speed, sentence=f"It is fast enough for --min-speed {speed:g}.")
