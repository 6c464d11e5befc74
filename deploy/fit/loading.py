"""How a model is best loaded: threads, flash attention, repacked weights, memory for what saves time."""

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from deploy.catalog.model import MemoryCurve
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import Rehearsed
from deploy.engine.speculate import MOST_GUESSES
from deploy.fit.demand import Demand
from deploy.fit.memory import checkpoint_bytes, checkpoint_bytes_rehearsed, recurrent_bytes
from deploy.fit.speed import Conditions, best_threads, timing
from profiles.budget import Pool

PROMPT_TOKENS: Final = 512
ANSWER_TOKENS: Final = 256
"""A usual turn, by which ways to place and to load a model are compared."""
FLASH_GAIN: Final = 0.95
"""What doing without flash attention must bring: its buffers are larger."""
REPACK_GAIN: Final = 0.85
"""What repacking weights must bring: they are no page cache then, and loading takes longer."""


def ways(plan: LoadPlan, demand: Demand, pool: Pool, cores: int, conditions: Conditions) -> Iterator[LoadPlan]:
    """The plan with the best number of threads, and others that write or read so much faster that they may be worth it.

    Only a calibration tells what flash attention and repacked weights do on a processor. One without flash attention is
    there too where answers must be repeatable: see `divided`. Without it keys can be kept as q8_0, which changes the
    chances of the next token as little as flash attention does (scripts/bench/cache.py).
    """
    plain = msgspec.structs.replace(plan, threads=best_threads(demand, pool, cores, plan, conditions))
    yield plain
    if pool.kind != "host" or plan.kv_type != "f16":
        return
    without = msgspec.structs.replace(plain, flash_attention=False)
    if conditions.calibration is None:
        yield from (without,) if conditions.repeatable else ()
        return

    def seconds(tried: LoadPlan) -> float:
        return turn_s(tried, demand, pool, cores, conditions)

    keys = msgspec.structs.replace(without, kv_type="q8_0/f16")
    flashless = (without, keys) if demand.keys_apart else (without,)
    for way in flashless:
        if conditions.repeatable or seconds(way) < FLASH_GAIN * seconds(plain):
            yield way
    for before in (plain, *flashless):
        repacked = _repacked(before)
        if seconds(repacked) < REPACK_GAIN * seconds(before):
            yield repacked


def divided(plan: LoadPlan) -> bool:
    """Whether the processor adds up attention in as many parts as there are threads, and rounds it so.

    Flash attention does, from 512 cells of a cache on (ggml-cpu/ops.cpp); without it every sum has one thread.
    """
    return plan.flash_attention and plan.gpu_layers == 0


def quickened(plan: LoadPlan, curve: MemoryCurve) -> LoadPlan:
    """The plan with memory for what saves time: guesses ahead, and a copy of what cannot go back."""
    return _quickened(plan, recurrent_bytes(curve, plan), checkpoint_bytes(curve, plan))


def guessing(plan: LoadPlan) -> LoadPlan:
    """The plan with memory for guesses, to ask the engine what they take."""
    return msgspec.structs.replace(plan, speculation_tokens=MOST_GUESSES)


def sparing(plan: LoadPlan) -> LoadPlan:
    """The plan without it, where memory is short."""
    return msgspec.structs.replace(plan, speculation_tokens=0, checkpoint_bytes=0)


def quickened_file(plan: LoadPlan, said: Rehearsed) -> LoadPlan:
    """The same for a file that the engine was asked about."""
    return _quickened(plan, said.recurrent_bytes, checkpoint_bytes_rehearsed(said, plan))


def _quickened(plan: LoadPlan, recurrent: int, copy: int) -> LoadPlan:
    """Guesses need a memory that can go back, and were measured to pay on processors only."""
    guesses = 0 if recurrent or plan.gpu_layers else MOST_GUESSES
    return msgspec.structs.replace(plan, speculation_tokens=guesses, checkpoint_bytes=copy)


def turn_s(plan: LoadPlan, demand: Demand, pool: Pool, cores: int, conditions: Conditions) -> float:
    """A usual turn with half of the context in memory."""
    it = timing(demand, pool, cores, plan, conditions)
    half = plan.context_tokens / 2
    return it.read_s(PROMPT_TOKENS, half) + ANSWER_TOKENS * it.write_s(half)


def _repacked(plan: LoadPlan) -> LoadPlan:
    """Read, since mapped weights would stand in memory beside the repacked ones."""
    mode: Literal["read"] = "read"
    return msgspec.structs.replace(plan, repack=True, load_mode=mode)
