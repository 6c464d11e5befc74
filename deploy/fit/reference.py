"""Rates of one reference machine, and what they let expect of machines and tensor types that were not measured.

Measured with llama-cpp-python 0.3.36 by the probes of calibration.py on one thread of a Zen 5 server core (AVX-512,
VNNI) with nothing else running; on three runs the figures for Q4_K lay within 1 %. Only their ratios serve on other
machines, where one type was measured.
"""

from functools import lru_cache
from typing import Final, Literal

from deploy.fit.calibration import ANCHOR, Attention, Rates, Throughput
from profiles.budget import Pool

_GB, _G = 1e9, 1e9
PLAIN_BYTES_S: Final = {
    "F32": 34.2 * _GB,
    "F16": 38.2 * _GB,
    "BF16": 31.9 * _GB,
    "Q8_0": 33.0 * _GB,
    "Q6_K": 32.7 * _GB,
    "Q5_K": 22.8 * _GB,
    "Q5_1": 19.3 * _GB,
    "Q5_0": 19.3 * _GB,
    "Q4_K": 26.6 * _GB,
    "Q4_1": 18.4 * _GB,
    "Q4_0": 17.7 * _GB,
    "IQ4_NL": 17.0 * _GB,
    "IQ4_XS": 17.3 * _GB,
    "MXFP4": 13.1 * _GB,
    "Q3_K": 14.2 * _GB,
    "IQ3_S": 5.2 * _GB,
    "IQ3_XXS": 5.7 * _GB,
    "Q2_K": 16.3 * _GB,
    "IQ2_XXS": 5.0 * _GB,
    "IQ1_M": 4.9 * _GB,
}
PLAIN_OPERATIONS_S: Final = {
    "F32": 81 * _G,
    "F16": 181 * _G,
    "BF16": 134 * _G,
    "Q8_0": 141 * _G,
    "Q6_K": 324 * _G,
    "Q5_K": 416 * _G,
    "Q5_1": 55 * _G,
    "Q5_0": 107 * _G,
    "Q4_K": 447 * _G,
    "Q4_1": 61 * _G,
    "Q4_0": 120 * _G,
    "IQ4_NL": 113 * _G,
    "IQ4_XS": 409 * _G,
    "MXFP4": 51 * _G,
    "Q3_K": 343 * _G,
    "IQ3_S": 362 * _G,
    "IQ3_XXS": 343 * _G,
    "Q2_K": 356 * _G,
    "IQ2_XXS": 362 * _G,
    "IQ1_M": 309 * _G,
}
EXPERT_BYTES_S: Final = {
    "F16": 39.9 * _GB,
    "Q8_0": 27.9 * _GB,
    "Q6_K": 32.2 * _GB,
    "Q5_K": 21.4 * _GB,
    "Q4_K": 26.1 * _GB,
    "Q4_0": 18.0 * _GB,
    "IQ4_XS": 17.1 * _GB,
    "MXFP4": 12.9 * _GB,
}
EXPERT_OPERATIONS_S: Final = {
    "F16": 62 * _G,
    "Q8_0": 59 * _G,
    "Q6_K": 160 * _G,
    "Q5_K": 176 * _G,
    "Q4_K": 221 * _G,
    "Q4_0": 57 * _G,
    "IQ4_XS": 187 * _G,
    "MXFP4": 48 * _G,
}
_PLAIN: Final = Throughput(bytes_s=PLAIN_BYTES_S, operations_s=PLAIN_OPERATIONS_S)
_EXPERTS: Final = Throughput(bytes_s=EXPERT_BYTES_S, operations_s=EXPERT_OPERATIONS_S)
WITH_FLASH: Final = Attention(
    block_s=0.0,
    write_key_s=5.0e-10,
    write_query_s=1.0e-10,
    write_head_s=7.3e-9,
    read_query_s=4.0e-11,
    read_head_s=1.5e-9,
)
WITHOUT_FLASH: Final = Attention(
    block_s=4e-5,
    write_key_s=1.9e-10,
    write_query_s=3.3e-11,
    write_head_s=3.5e-9,
    read_query_s=1.0e-11,
    read_head_s=3.7e-9,
)
NODE_S: Final = 0.9e-6
ROW_S: Final = 1.0e-8

SHARED_MEMORY: Final = 0.7
"""Power of that proportion with several threads: memory evens out what computing sets apart."""
OTHER_CORE_BYTES: Final = 0.7
"""Of the reference core's rates, what a core of another machine is taken to reach: writing, and ..."""
OTHER_CORE_OPERATIONS: Final = 0.4
"""... reading. A core with AVX2 or NEON alone does about this much."""
UNSTATED_BYTES_S: Final = 45e9
"""What decoding reaches of two channels of memory, with any number of threads; most machines have two."""
HOST_BANDWIDTH_REACHED: Final = 0.7
HOST_COMPUTE_REACHED: Final = 0.7
"""Of the stated peak in single precision: quantised products are in smaller integers, and do not reach their peak."""
BANDWIDTH_REACHED: Final = 0.6
COMPUTE_REACHED: Final = 0.3
"""Of a GPU's stated peaks."""
ACCELERATOR_BYTES_S: Final = 200e9
ACCELERATOR_OPERATIONS_S: Final = 5e12
"""A small dedicated GPU; most are faster."""
ACCELERATOR_NODE_S: Final = 1.5e-6


def like_reference(
    rates: Rates, hold: Literal["plain", "experts"], what: Literal["bytes_s", "operations_s"], type_name: str
) -> float:
    """The rate of a tensor type: measured, or in the proportion to one that was measured that the reference has."""
    of_hold: Throughput = getattr(rates, hold)
    known: dict[str, float] = getattr(of_hold, what)
    if type_name in known:
        return known[type_name]
    reference: Throughput = _EXPERTS if hold == "experts" else _PLAIN
    table: dict[str, float] = getattr(reference, what)
    plain: dict[str, float] = getattr(_PLAIN, what)
    ratio = plain.get(type_name, plain[ANCHOR]) / plain[ANCHOR]
    if type_name in table:
        ratio = table[type_name] / table[ANCHOR]
    if what == "bytes_s" and rates.threads > 1:
        ratio **= SHARED_MEMORY
    anchor = known.get(ANCHOR) or getattr(rates.plain, what)[ANCHOR] * table[ANCHOR] / plain[ANCHOR]
    highest = max(getattr(rates.plain, what).values())
    return float(min(anchor * ratio, highest))


@lru_cache(maxsize=32)
def assumed_rates(pool: Pool, threads: int) -> Rates:
    """What a pool's stated peaks let expect, or else its kind."""
    if pool.kind == "accelerator" and not pool.shared_bytes:
        return _of_gpu(pool)
    bandwidth, flops = pool.bandwidth_bytes_s.known, pool.compute_flops.known
    gpu = pool.kind == "accelerator"
    most = UNSTATED_BYTES_S if bandwidth is None else bandwidth * (BANDWIDTH_REACHED if gpu else HOST_BANDWIDTH_REACHED)
    if gpu:
        operations = UNSTATED_BYTES_S * 20 if flops is None else flops * COMPUTE_REACHED
        return _uniform(most, operations, ACCELERATOR_NODE_S)
    return _of_processor(most, flops, threads)


def _of_processor(most_bytes_s: float, flops: float | None, threads: int) -> Rates:
    share = threads * OTHER_CORE_OPERATIONS
    if flops is not None:
        share = min(threads, flops * HOST_COMPUTE_REACHED / PLAIN_OPERATIONS_S[ANCHOR])

    def held(table: Throughput) -> Throughput:
        return Throughput(
            bytes_s={k: min(v * threads * OTHER_CORE_BYTES, most_bytes_s) for k, v in table.bytes_s.items()},
            operations_s={k: v * share for k, v in table.operations_s.items()},
        )

    return Rates(
        threads=threads,
        node_s=NODE_S,
        row_s=ROW_S / threads,
        plain=held(_PLAIN),
        repacked=Throughput(),
        experts=held(_EXPERTS),
        with_flash=_slower(WITH_FLASH, 1 / (threads * OTHER_CORE_BYTES)),
        without_flash=_slower(WITHOUT_FLASH, 1 / (threads * OTHER_CORE_BYTES)),
    )


def _of_gpu(pool: Pool) -> Rates:
    bandwidth, flops = pool.bandwidth_bytes_s.known, pool.compute_flops.known
    if bandwidth is None:
        return _uniform(ACCELERATOR_BYTES_S, ACCELERATOR_OPERATIONS_S, ACCELERATOR_NODE_S)
    operations = ACCELERATOR_OPERATIONS_S if flops is None else flops * COMPUTE_REACHED
    return _uniform(bandwidth * BANDWIDTH_REACHED, operations, ACCELERATOR_NODE_S)


def _uniform(bytes_s: float, operations_s: float, node_s: float) -> Rates:
    """A device that is bound by its memory when it writes and by its arithmetic when it reads, whatever the type."""
    every = Throughput(
        bytes_s=dict.fromkeys(PLAIN_BYTES_S, bytes_s), operations_s=dict.fromkeys(PLAIN_BYTES_S, operations_s)
    )
    attention = Attention(
        block_s=0.0,
        write_key_s=4 / bytes_s,
        write_query_s=4 / operations_s,
        write_head_s=0.0,
        read_query_s=4 / operations_s,
        read_head_s=0.0,
    )
    return Rates(
        threads=1,
        node_s=node_s,
        row_s=0.0,
        plain=every,
        repacked=Throughput(),
        experts=every,
        with_flash=attention,
        without_flash=attention,
    )


def _slower(it: Attention, factor: float) -> Attention:
    return Attention(**{name: getattr(it, name) * factor for name in it.__struct_fields__})
