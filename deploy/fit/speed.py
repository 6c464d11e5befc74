"""How fast a model will be: from what a token takes of a machine, and what the machine was measured to do.

A machine that was not calibrated gets rates from what is known of it, and figures that are marked estimated.
"""

from typing import Final, Literal, NamedTuple

import msgspec

from deploy.engine.load_plan import LoadPlan
from deploy.fit.calibration import WIDE_KEYS, Attention, Calibration, Rates
from deploy.fit.demand import Demand, Part
from deploy.fit.reference import assumed_rates, like_reference
from profiles.budget import Budget, Pool
from profiles.machine import Fact, Provenance

STATED_PROMPT_TOKENS: Final = 512
"""The prompt for which the time to the first token is given."""
MEASURED_DECODE_RANGE: Final = 1.28
MEASURED_PREFILL_RANGE: Final = 1.5
ESTIMATED_DECODE_RANGE: Final = 2.2
ESTIMATED_PREFILL_RANGE: Final = 3.5
"""The truth lies within the figure over and times this nine times in ten; found by scripts/bench/speed.py."""
Q8_CACHE_RATIO: Final = 1.75
"""Attention with a q8_0 cache beside one with f16, both with flash attention: 1.6 at 2,048, 1.9 at 8,192 tokens on the
machine that the reference rates come from."""
KEYS_Q8_0_WRITE: Final = 0.97
KEYS_Q8_0_READ: Final = 0.87
"""Attention with keys alone as q8_0 beside one with f16, both without flash attention: on three shapes 0.9 to 1.06 when
it writes, 0.8 to 0.91 when it reads (scripts/bench/attention.py)."""
WRITE_ATTENTION: Final = 1.2
"""What attending takes in a whole model beside a small one, whose context lies in caches; found likewise."""
READ_BESIDE: Final = 1.12
"""What reading takes with all that is no product with a matrix: norms, rotations, packing of inputs. Found on the
shapes that scripts/bench/speed.py names and does not report on."""
CROWDED: Final = 0.8
"""What waiting for threads that lost their core leaves, beside the share of the core: 0.82 with one of two cores busy
(scripts/bench/contention.py)."""
OPEN_S: Final = 0.4
"""Starting the engine's process and reading a vocabulary."""
DISK_BYTES_S: Final = 1e9
"""A solid-state disk, assumed."""


class Range(msgspec.Struct, frozen=True):
    """Holds the truth nine times in ten."""

    least: float
    most: float


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """Forecast of one model on one pool."""

    decode_tok_s: Fact[float]
    """With half of the asked context in memory."""
    decode_range: Range
    decode_empty_tok_s: Fact[float]
    """At the begin of a conversation."""
    prefill_tok_s: Fact[float]
    """For a prompt of 512 tokens."""
    prefill_range: Range
    first_token_s: Fact[float]
    """For that prompt."""
    load_s: Fact[float]


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the machine's speed when a forecast is made."""

    machine: str = ""
    """Fingerprint of what decides speed."""
    calibration: Calibration | None = None
    busy_cores: float = 0.0
    """That other programs keep busy now."""
    repeatable: bool = False
    """Whether what is computed must not hang on the number of threads, which follows the load."""
    disk_bytes_s: float | None = None
    """At which files were read from the store's disk; None where nobody measured it."""
    corrections: dict[str, float] = {}
    """By model id: how much faster or slower it wrote than was forecast."""


UNCALIBRATED: Final = Conditions()


class TimedBudget(Budget, frozen=True, kw_only=True):
    """What a model may take of this machine, with what is known of the machine's speed."""

    conditions: Conditions = UNCALIBRATED


def conditions_of(budget: Budget) -> Conditions:
    """What is known; of another machine that is nothing."""
    return budget.conditions if isinstance(budget, TimedBudget) else UNCALIBRATED


class Timing(NamedTuple):
    """Seconds of one model with one plan on one machine."""

    demand: Demand
    rates: Rates
    plan: LoadPlan
    slowdown: float = 1.0

    def write_s(self, depth_tokens: float) -> float:
        """One token, with so many in memory."""
        weights = sum(part.bytes / self._throughput(part, "bytes_s") for part in self.demand.parts)
        keys, queries, heads = self.demand.attended(depth_tokens)
        it = self._attention
        apart = min(1.0, self.demand.key_width / WIDE_KEYS)
        attention = apart * keys * it.write_key_s + queries * it.write_query_s + heads * it.write_head_s
        fixed = self._fixed_s + self.demand.attending_blocks * it.block_s
        attention *= self._cache_ratio(KEYS_Q8_0_WRITE)
        return (fixed + weights + WRITE_ATTENTION * attention) * self.slowdown

    def read_s(self, tokens: int, depth_tokens: float = 0.0) -> float:
        """A prompt, in steps of the batch."""
        batch = max(1, min(self.plan.batch_tokens, tokens))
        weights = sum(2 * tokens * part.passed / self._throughput(part, "operations_s") for part in self.demand.parts)
        _, queries, heads = self.demand.attended(depth_tokens + (tokens + batch) / 2)
        attention = tokens * (queries * self._attention.read_query_s + heads * self._attention.read_head_s)
        steps = -(-tokens // batch)
        attention *= self._cache_ratio(KEYS_Q8_0_READ)
        return (steps * self._fixed_s + READ_BESIDE * (weights + attention)) * self.slowdown

    @property
    def _fixed_s(self) -> float:
        return self.demand.graph_nodes * self.rates.node_s + self.demand.rows * self.rates.row_s

    @property
    def _attention(self) -> Attention:
        flash = self.plan.flash_attention or self.plan.kv_type == "q8_0"
        return self.rates.with_flash if flash else self.rates.without_flash

    def _cache_ratio(self, of_keys: float) -> float:
        return {"f16": 1.0, "q8_0/f16": of_keys, "q8_0": Q8_CACHE_RATIO}[self.plan.kv_type]

    def _throughput(self, part: Part, what: Literal["bytes_s", "operations_s"]) -> float:
        rates = self.rates
        if part.experts:
            return like_reference(rates, "experts", what, part.type_name)
        if self.plan.repack and part.type_name in rates.repacked.bytes_s:
            return float(getattr(rates.repacked, what)[part.type_name])
        return like_reference(rates, "plain", what, part.type_name)


def slowdown(threads: int, cores: int, busy_cores: float) -> float:
    """How much longer a step takes beside other programs: it waits for the thread that has to share its core."""
    if threads + busy_cores <= cores + 0.5:
        return 1.0
    return -(-(threads + round(busy_cores)) // max(cores, 1)) / CROWDED


def timing(demand: Demand, pool: Pool, cores: int, plan: LoadPlan, conditions: Conditions) -> Timing:
    """The rates that hold for a plan, measured where they were."""
    rates = _rates(pool, plan.threads, conditions)
    crowded = 1.0 if pool.kind == "accelerator" else slowdown(plan.threads, cores, conditions.busy_cores)
    return Timing(demand, rates, plan, crowded)


def best_threads(demand: Demand, pool: Pool, cores: int, plan: LoadPlan, conditions: Conditions) -> int:
    """The number of threads that writes fastest beside what else runs now."""
    if pool.kind == "accelerator":
        return cores
    counts = {rates.threads for rates in _measured(pool, conditions)} | {
        cores,
        max(1, cores - round(conditions.busy_cores)),
    }

    def seconds(count: int) -> float:
        tried = msgspec.structs.replace(plan, threads=count)
        return timing(demand, pool, cores, tried, conditions).write_s(plan.context_tokens / 2)

    return min(sorted((count for count in counts if count <= cores), reverse=True), key=seconds)


def forecast(demand: Demand, pool: Pool, cores: int, plan: LoadPlan, conditions: Conditions = UNCALIBRATED) -> Speed:
    """What a person will see of a plan."""
    it = timing(demand, pool, cores, plan, conditions)
    measured = bool(_measured(pool, conditions))
    mark = Provenance.MEASURED if measured else Provenance.ESTIMATED
    correction = conditions.corrections.get(demand.model_id, 1.0)
    half = plan.context_tokens // 2
    decode, empty = correction / it.write_s(half), correction / it.write_s(0)
    prompt = min(STATED_PROMPT_TOKENS, plan.context_tokens)
    prefill = prompt / it.read_s(prompt)
    how = _how(demand, pool, plan, measured=measured)
    corrected = f", times {correction:.2f} as it ran here" if correction != 1.0 else ""
    return Speed(
        decode_tok_s=Fact(round(decode, 1), f"{how[0]}, with {half:,} tokens in memory{corrected}", mark),
        decode_range=_range(decode, MEASURED_DECODE_RANGE if measured else ESTIMATED_DECODE_RANGE),
        decode_empty_tok_s=Fact(round(empty, 1), f"{how[0]}, with nothing in memory{corrected}", mark),
        prefill_tok_s=Fact(round(prefill, 1), f"{how[1]}, for a prompt of {prompt} tokens", mark),
        prefill_range=_range(prefill, MEASURED_PREFILL_RANGE if measured else ESTIMATED_PREFILL_RANGE),
        first_token_s=Fact(round(prompt / prefill, 2), f"for a prompt of {prompt} tokens", mark),
        load_s=_load_s(demand, plan, conditions),
    )


def _range(value: float, factor: float) -> Range:
    return Range(round(value / factor, 1), round(value * factor, 1))


def _load_s(demand: Demand, plan: LoadPlan, conditions: Conditions) -> Fact[float]:
    """From a disk: weights that are mapped are read while the first token is computed, and count all the same."""
    repacking = (
        demand.size_bytes / conditions.calibration.repack_bytes_s if plan.repack and conditions.calibration else 0.0
    )
    measured = conditions.disk_bytes_s
    disk_bytes_s = DISK_BYTES_S if measured is None else measured
    seconds = OPEN_S + demand.size_bytes / disk_bytes_s + repacking
    known, mark = ("assumed", Provenance.ASSUMED) if measured is None else ("measured", Provenance.MEASURED)
    how = f"from a disk at {disk_bytes_s / 1e9:.2g} GB/s, {known}; far quicker when read recently"
    return Fact(round(seconds, 1), how, mark)


def _how(demand: Demand, pool: Pool, plan: LoadPlan, *, measured: bool) -> tuple[str, str]:
    threads = "1 thread" if plan.threads == 1 else f"{plan.threads} threads"
    origin = f"at the rates calibrated for {threads}" if measured else f"at rates {_assumption(pool, threads)}"
    return (
        f"{demand.bytes / 1e9:.2f} GB of weights a token {origin}",
        f"2 x {demand.passed / 1e9:.2f} G operations a token {origin}",
    )


def _assumption(pool: Pool, threads: str) -> str:
    if pool.bandwidth_bytes_s.known is not None:
        return f"expected from the {pool.bandwidth_bytes_s.known / 1e9:.0f} GB/s of {pool.name}"
    return "assumed for a small GPU" if pool.kind == "accelerator" else f"assumed for {threads}"


def _measured(pool: Pool, conditions: Conditions) -> tuple[Rates, ...]:
    """Calibration is of the processor."""
    return conditions.calibration.rates if conditions.calibration and pool.kind == "host" else ()


def _rates(pool: Pool, threads: int, conditions: Conditions) -> Rates:
    """Those measured for as many threads, else for the nearest number."""
    measured = _measured(pool, conditions)
    if not measured:
        return assumed_rates(pool, threads)
    return min(measured, key=lambda rates: (abs(rates.threads - threads), rates.threads))
