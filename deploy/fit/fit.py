"""Puts one model on one machine: the plan, what it takes, how fast it will be, and whether that will do."""

from typing import Final, Literal, NamedTuple

import msgspec

from deploy.catalog.model import Artifact, Model
from deploy.engine.protocol import LoadPlan
from deploy.fit.memory import MemoryPlan, for_users, plan_memory
from deploy.fit.quality import quality
from deploy.fit.speed import Speed, forecast
from deploy.fit.suit import Purpose, Suit, suit
from profiles.budget import Budget, Pool
from profiles.machine import Fact

DEFAULT_CONTEXT_TOKENS: Final = 8192
DEFAULT_MIN_DECODE_TOK_S: Final = 6.0
"""A little faster than people read aloud."""
ALL_LAYERS: Final = -1
POOL_SHARE_PERCENT: Final = 85
"""A model never takes more of a memory than this, however empty it is: other programs come and go."""

Verdict = Literal["fits", "too-large", "too-slow", "not-for-chat", "unsuited", "policy"]


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """What the model is wanted for."""

    context_tokens: int = DEFAULT_CONTEXT_TOKENS
    min_decode_tok_s: float = DEFAULT_MIN_DECODE_TOK_S
    """For each user."""
    purpose: Purpose = "chat"
    language: str | None = None
    """ISO 639 code; None for any."""
    users: int = 1
    """How many have a conversation in memory at once; they take turns."""


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """One model in one quantised form on one machine."""

    id: str
    """model-id:QUANT."""
    model_id: str
    name: str
    quant: str
    family: str
    publisher: str
    licence: str
    restrictions: str | None
    size_bytes: int
    pool: str
    """Name of the memory it goes into."""
    room_bytes: int
    """What it may take of that memory."""
    plan: LoadPlan
    memory: MemoryPlan
    peak_bytes: int
    hard_bytes: int
    speed: Speed
    quality: Fact[float]
    verdict: Verdict
    reason: str
    """Why it fits or not, as a sentence with the figures."""
    doubts: tuple[str, ...] = ()
    """What was asked for and is not known of this model."""


def fit(model: Model, artifact: Artifact, budget: Budget, workload: Workload) -> Fit:
    """Try the pools from fast to slow; the first that holds the model is taken, else the host's is reported."""
    pools = [pool for pool in budget.pools if pool.kind == "accelerator"] + [budget.host]
    tries = [_fit_in(model, artifact, pool, budget, workload) for pool in pools]
    return next((found for found in tries if found.verdict != "too-large"), tries[-1])


def room_bytes(pool: Pool) -> int:
    """What a model may take of a pool: its budget, and never more than its share of the whole."""
    total = pool.total_bytes.known
    return pool.budget_bytes if total is None else min(pool.budget_bytes, total * POOL_SHARE_PERCENT // 100)


def load_plan(context_tokens: int, pool: Pool, budget: Budget, *, kv_type: Literal["f16", "q8_0"] = "f16") -> LoadPlan:
    """How a model is loaded into a pool. Weights are mapped and not repacked, so that they stand in memory once."""
    return LoadPlan(
        context_tokens=context_tokens,
        kv_type=kv_type,
        threads=budget.threads,
        gpu_layers=ALL_LAYERS if pool.kind == "accelerator" else 0,
    )


class _Trial(NamedTuple):
    """One way to load a model, with what it takes and gives."""

    pool: Pool
    room_bytes: int
    plan: LoadPlan
    memory: MemoryPlan
    speed: Speed


def _fit_in(model: Model, artifact: Artifact, pool: Pool, budget: Budget, workload: Workload) -> Fit:
    trial = _try_in(model, artifact, pool, budget, workload)
    suited = suit(model, workload.purpose, workload.language)
    verdict, reason = _judge(model, trial, workload, suited)
    return Fit(
        id=f"{model.id}:{artifact.quant}",
        model_id=model.id,
        name=model.name,
        quant=artifact.quant,
        family=model.family,
        publisher=model.publisher,
        licence=model.licence.id,
        restrictions=model.licence.restrictions,
        size_bytes=artifact.size_bytes,
        pool=pool.name,
        room_bytes=trial.room_bytes,
        plan=trial.plan,
        memory=trial.memory,
        peak_bytes=trial.memory.peak_bytes,
        hard_bytes=trial.memory.hard_bytes,
        speed=trial.speed,
        quality=quality(model, artifact, suited),
        verdict=verdict,
        reason=reason,
        doubts=suited.doubts,
    )


def _try_in(model: Model, artifact: Artifact, pool: Pool, budget: Budget, workload: Workload) -> _Trial:
    """Plan with a full-precision cache, or with a q8_0 cache where only that fits."""
    context = min(workload.context_tokens, model.context_tokens)
    room = room_bytes(pool)
    plan = load_plan(context, pool, budget)
    memory = for_users(plan_memory(model, artifact, plan), workload.users)
    if memory.peak_bytes > room:
        smaller = load_plan(context, pool, budget, kv_type="q8_0")
        smaller_memory = for_users(plan_memory(model, artifact, smaller), workload.users)
        if smaller_memory.peak_bytes <= room:
            plan, memory = smaller, smaller_memory
    active = artifact.size_bytes * model.parameters_active // model.parameters_total
    return _Trial(pool, room, plan, memory, forecast(pool, budget.threads, active, model.parameters_active))


def _judge(model: Model, trial: _Trial, workload: Workload, suited: Suit) -> tuple[Verdict, str]:
    need, have, pool = trial.memory.peak_bytes, trial.room_bytes, trial.pool.name
    if need > have:
        return "too-large", f"It needs {gigabytes(need)}; {pool} has {gigabytes(have)} for it."
    decode = (trial.speed.decode_tok_s.known or 0.0) / workload.users
    each = " for each user" if workload.users > 1 else ""
    if decode < workload.min_decode_tok_s:
        return "too-slow", f"About {decode:.1f} tokens a second{each}; {workload.min_decode_tok_s:g} are asked for."
    if suited.refusal is not None:
        return ("not-for-chat" if model.capabilities.chat is False else "unsuited"), suited.refusal
    context = f"{trial.plan.context_tokens:,} tokens of context"
    cache = ", with a q8_0 cache" if trial.plan.kv_type == "q8_0" else ""
    room = f"{gigabytes(need)} of {gigabytes(have)} in {pool}"
    return "fits", f"It takes {room} with {context}{cache}, and writes about {decode:.0f} tokens a second{each}."


def gigabytes(count: int) -> str:
    """Bytes as people read them: decimal, two or three figures."""
    if count >= 10**10:
        return f"{count / 1e9:.0f} GB"
    if count >= 10**9:
        return f"{count / 1e9:.1f} GB"
    return f"{max(1, round(count / 1e6)) if count else 0} MB"
