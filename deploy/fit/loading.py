"""How a model is best loaded into host memory: threads, flash attention, rearranged weights."""

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from deploy.engine.protocol import LoadPlan
from deploy.fit.demand import Demand
from deploy.fit.speed import Conditions, best_threads, timing
from profiles.budget import Pool

PROMPT_TOKENS: Final = 512
ANSWER_TOKENS: Final = 256
"""A usual turn, by which ways to load are compared."""
FLASH_GAIN: Final = 0.95
"""What doing without flash attention must bring: its buffers are larger."""
REPACK_GAIN: Final = 0.85
"""What rearranging weights must bring: they are no page cache then, and loading takes longer."""


def ways(plan: LoadPlan, demand: Demand, pool: Pool, cores: int, conditions: Conditions) -> Iterator[LoadPlan]:
    """The plan with the best number of threads, and others that write or read so much faster that they may be worth it.

    Only a calibration tells what flash attention and rearranged weights do on a processor.
    """
    plain = msgspec.structs.replace(plan, threads=best_threads(demand, pool, cores, plan, conditions))
    yield plain
    if conditions.calibration is None or pool.kind != "host" or plan.kv_type != "f16":
        return

    def seconds(tried: LoadPlan) -> float:
        return turn_s(tried, demand, pool, cores, conditions)

    without = msgspec.structs.replace(plain, flash_attention=False)
    if seconds(without) < FLASH_GAIN * seconds(plain):
        yield without
    for before in (plain, without):
        rearranged = _rearranged(before)
        if seconds(rearranged) < REPACK_GAIN * seconds(before):
            yield rearranged


def turn_s(plan: LoadPlan, demand: Demand, pool: Pool, cores: int, conditions: Conditions) -> float:
    """A usual turn with half of the context in memory."""
    it = timing(demand, pool, cores, plan, conditions)
    half = plan.context_tokens / 2
    return it.read_s(PROMPT_TOKENS, half) + ANSWER_TOKENS * it.write_s(half)


def _rearranged(plan: LoadPlan) -> LoadPlan:
    """Read, since mapped weights would stand in memory beside the rearranged ones."""
    mode: Literal["read"] = "read"
    return msgspec.structs.replace(plan, repack=True, load_mode=mode)
