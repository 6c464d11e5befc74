"""Puts one model on one machine: the plan, what it takes, how fast it will be, and whether that will do."""

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, Literal, NamedTuple

import msgspec

from deploy.catalog.model import Artifact, Model
from deploy.engine.load_plan import KvType, LoadPlan
from deploy.fit.demand import Demand, demand_of
from deploy.fit.loading import ANSWER_TOKENS, PROMPT_TOKENS, divided, quickened, sparing, ways
from deploy.fit.memory import MemoryPlan, for_users, plan_memory
from deploy.fit.placement import (
    ALL_LAYERS,
    Placement,
    placed_memory,
    placed_plan,
    placements,
    room_bytes,
    shape_of,
)
from deploy.fit.quality import quality
from deploy.fit.sight import default_projector, sight_terms
from deploy.fit.speed import Speed, conditions_of
from deploy.fit.spread import Asked, spread_forecast
from deploy.fit.suit import Purpose, Suit, suit
from deploy.quantities import gigabytes
from profiles.budget import Budget, Pool
from profiles.machine import Fact

DEFAULT_CONTEXT_TOKENS: Final = 8192
DEFAULT_MIN_DECODE_TOK_S: Final = 6.0
"""A little faster than people read aloud."""
Q8_HANDICAP: Final = 0.95
"""What a q8_0 cache must gain in speed to be taken where a full-precision one fits too."""

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

    def shortfall(self, context_tokens: int) -> tuple[str, ...]:
        """That a model gets less context than was asked for, since it was trained for no more."""
        if not DEFAULT_CONTEXT_TOKENS < self.context_tokens > context_tokens:
            return ()
        trained = f"The model was trained for {context_tokens:,} tokens of context, and gets these"
        return (f"{trained}; {self.context_tokens:,} are asked for.",)


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
    """All files, the projector's too where it is to look at images."""
    pool: str
    """The memory it goes into, or those, in words."""
    room_bytes: int
    """What it may take of that memory, or of those together."""
    pools: tuple["PoolUse", ...] = ()
    """Memory by memory."""
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
    """Try every placement; of those that fit the fastest is taken, of none that fits the host's is reported."""
    return judged(model, artifact, place(model, artifact, budget, workload), workload)


def place(model: Model, artifact: Artifact, budget: Budget, workload: Workload) -> "Placed":
    """The best placement. Of the workload only context, users, and whether it is to look at images matter."""
    demand = demand_of(model, artifact)
    conditions = conditions_of(budget)
    timed = (
        Placed(trial, spread_forecast(Asked(demand, budget.threads, trial.plan, conditions), trial.placement))
        for trial in _trials(model, artifact, budget, workload, demand)
    )
    return max(timed, key=lambda placed: _preference(*placed, repeatable=conditions.repeatable))


def load_plan(context_tokens: int, pool: Pool, budget: Budget, *, kv_type: KvType = "f16") -> LoadPlan:
    """How a model is loaded into a pool. Weights are mapped and not repacked, so that they stand in memory once."""
    return LoadPlan(
        context_tokens=context_tokens,
        kv_type=kv_type,
        threads=budget.threads,
        gpu_layers=ALL_LAYERS if pool.kind == "accelerator" else 0,
    )


class PoolUse(msgspec.Struct, frozen=True, kw_only=True):
    """What one memory has for the model, and what the model takes of it."""

    name: str
    room_bytes: int
    hard_bytes: int
    peak_bytes: int


class _Trial(NamedTuple):
    """One way to load a model, with what it takes."""

    placement: Placement
    plan: LoadPlan
    memory: MemoryPlan
    uses: tuple[PoolUse, ...]

    @property
    def fits(self) -> bool:
        """Whether no memory is asked for more than it has."""
        return all(use.peak_bytes <= use.room_bytes for use in self.uses)


class Placed(NamedTuple):
    """A way to load a model, and how fast it will be."""

    trial: _Trial
    speed: Speed


class _Tries:
    """What ways to load one form of a model would take; the memory of one plan is worked out once."""

    def __init__(self, model: Model, artifact: Artifact, budget: Budget, workload: Workload) -> None:
        self._model, self._artifact, self._budget, self._users = model, artifact, budget, workload.users
        self._context_tokens = min(workload.context_tokens, model.context_tokens)
        self._tables = shape_of(model).tables
        self._projector = default_projector(model, workload.purpose)
        self._wholes: dict[LoadPlan, MemoryPlan] = {}

    def first_that_fits(self, series: Sequence[Placement]) -> _Trial | None:
        """With a q8_0 cache only where nothing fits with a full one."""
        kv_types: tuple[KvType, ...] = ("f16", "q8_0")
        tries = (self.plain(placement, kv_type) for kv_type in kv_types for placement in series)
        return next((found for found in tries if found.fits), None)

    def plain(self, placement: Placement, kv_type: KvType = "f16") -> _Trial:
        """The plan that asks for least beside the weights."""
        return self.loaded(
            placement, load_plan(self._context_tokens, placement.shares[0].pool, self._budget, kv_type=kv_type)
        )

    def loaded(self, placement: Placement, plan: LoadPlan) -> _Trial:
        """A plan with what makes it quicker, where there is room for that."""
        quick = self._exactly(placement, quickened(plan, self._model.memory))
        return quick if quick.fits else self._exactly(placement, sparing(plan))

    def _exactly(self, placement: Placement, plan: LoadPlan) -> _Trial:
        host_plan = msgspec.structs.replace(plan, gpu_layers=0)
        if host_plan not in self._wholes:
            self._wholes[host_plan] = for_users(plan_memory(self._model, self._artifact, host_plan), self._users)
        memory = placed_memory(self._wholes[host_plan], self._tables, placement)
        if self._projector is not None:
            eyes = sight_terms(self._model, self._projector, placement.shares[0].label)
            memory = MemoryPlan(terms=(*memory.terms, *eyes))
        return _Trial(placement, placed_plan(plan, placement), memory, _uses(memory, placement))


def _trials(model: Model, artifact: Artifact, budget: Budget, workload: Workload, demand: Demand) -> Iterator[_Trial]:
    """The first of each series that fits, with a q8_0 cache where only that does; the host's is last, fit or not."""
    tries = _Tries(model, artifact, budget, workload)
    for series in placements(model, artifact, budget):
        found = tries.first_that_fits(series)
        host = series[-1].shares[0].pool
        if host.kind != "host":
            yield from () if found is None else (found,)
            continue
        last = found or tries.plain(series[-1])
        every = ways(last.plan, demand, host, budget.threads, conditions_of(budget))
        for plan in every if found else islice(every, 1):  # what does not fit the plain way fits none
            yield tries.loaded(last.placement, plan)


def _uses(memory: MemoryPlan, placement: Placement) -> tuple[PoolUse, ...]:
    """The account of every memory."""
    rooms = {share.label: room_bytes(share.pool) for share in placement.shares}
    parts = {name: memory.within(name) for name in memory.pools}
    return tuple(
        PoolUse(name=name, room_bytes=rooms[name], hard_bytes=part.hard_bytes, peak_bytes=part.peak_bytes)
        for name, part in parts.items()
    )


def _preference(trial: _Trial, speed: Speed, *, repeatable: bool) -> tuple[bool, bool, float, int]:
    """What fits, and of that the way to the quickest answer; a q8_0 cache only where it gains more than it blurs."""
    read, write = speed.prefill_tok_s.known, speed.decode_tok_s.known
    seconds = PROMPT_TOKENS / read + ANSWER_TOKENS / write if read and write else math.inf
    handicap = Q8_HANDICAP if trial.plan.kv_type == "q8_0" else 1.0
    return trial.fits, not (repeatable and divided(trial.plan)), -seconds / handicap, -len(trial.uses)


def judged(model: Model, artifact: Artifact, placed: Placed, workload: Workload) -> Fit:
    """What a placed model is for a workload."""
    trial, speed = placed
    projector = default_projector(model, workload.purpose)
    suited = suit(model, workload.purpose, workload.language)
    verdict, reason = _judge(model, trial, speed, workload, suited)
    return Fit(
        id=f"{model.id}:{artifact.quant}",
        model_id=model.id,
        name=model.name,
        quant=artifact.quant,
        family=model.family,
        publisher=model.publisher,
        licence=model.licence.id,
        restrictions=model.licence.restrictions,
        size_bytes=artifact.size_bytes + (0 if projector is None else projector.size_bytes),
        pool=trial.placement.name,
        room_bytes=sum(use.room_bytes for use in trial.uses),
        pools=trial.uses,
        plan=trial.plan,
        memory=trial.memory,
        peak_bytes=trial.memory.peak_bytes,
        hard_bytes=trial.memory.hard_bytes,
        speed=speed,
        quality=quality(model, artifact, suited, workload.purpose, trial.plan.context_tokens),
        verdict=verdict,
        reason=reason,
        doubts=suited.doubts,
    )


def _judge(model: Model, trial: _Trial, speed: Speed, workload: Workload, suited: Suit) -> tuple[Verdict, str]:
    if not trial.fits:
        short = next(use for use in trial.uses if use.peak_bytes > use.room_bytes)
        need, have = gigabytes(short.peak_bytes), gigabytes(short.room_bytes)
        return "too-large", f"It needs {need}; {short.name} has {have} for it."
    decode = (speed.decode_tok_s.known or 0.0) / workload.users
    each = " for each user" if workload.users > 1 else ""
    if decode < workload.min_decode_tok_s:
        return (
            "too-slow",
            f"It writes about {decode:.1f} tok/s{each}; {workload.min_decode_tok_s:g} tok/s are asked for.",
        )
    if suited.refusal is not None:
        return ("not-for-chat" if model.capabilities.chat is False else "unsuited"), suited.refusal
    context = f"{trial.plan.context_tokens:,} tokens of context"
    cache = ", with a q8_0 cache" if trial.plan.kv_type == "q8_0" else ""
    room = " and ".join(
        f"{gigabytes(use.peak_bytes)} of {gigabytes(use.room_bytes)} in {use.name}" for use in trial.uses
    )
    sight = " and its projector for images" if default_projector(model, workload.purpose) else ""
    return "fits", f"It takes {room} with {context}{cache}{sight}, and writes about {decode:.0f} tok/s{each}."
