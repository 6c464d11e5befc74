"""How fast a model will be, from what it must move and compute for each token.

Nothing here was measured on the machine at hand: every figure is marked estimated. A calibration of the engine
replaces the assumed rates.
"""

from typing import Final

import msgspec

from profiles.budget import Pool
from profiles.machine import Fact, Provenance

HOST_BYTES_S_PER_THREAD: Final = 10e9
HOST_BYTES_S_MOST: Final = 40e9
"""Dual-channel memory of a desktop: more cores do not add bandwidth beyond it."""
HOST_OPERATIONS_S_PER_THREAD: Final = 60e9
"""Quantised matrix products on one core with AVX2 or NEON; several times more with AVX-512."""
ACCELERATOR_BYTES_S: Final = 200e9
ACCELERATOR_OPERATIONS_S: Final = 5e12
"""A small dedicated GPU; most are faster."""
BANDWIDTH_REACHED: Final = 0.6
"""Share of a memory's stated peak that decoding reaches, assumed."""
COMPUTE_REACHED: Final = 0.3
"""Share of the stated peak rate that reading a prompt reaches, assumed."""
FIXED_S_PER_TOKEN: Final = 0.5e-3
"""Launching the graph and drawing the token."""


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """Forecast of one model on one pool."""

    decode_tok_s: Fact[float]
    prefill_tok_s: Fact[float]


def forecast(pool: Pool, threads: int, active_weight_bytes: int, parameters_active: int) -> Speed:
    """Decode is bound by the active weights that pass memory for each token, prefill by two operations a weight."""
    bytes_s, operations_s, assumed = _rates(pool, threads)
    decode = 1 / (active_weight_bytes / bytes_s + FIXED_S_PER_TOKEN)
    prefill = operations_s / (2 * parameters_active)
    return Speed(
        decode_tok_s=Fact(
            round(decode, 1),
            f"{active_weight_bytes / 1e9:.2f} GB of weights a token at {bytes_s / 1e9:.0f} GB/s, {assumed}",
            Provenance.ESTIMATED,
        ),
        prefill_tok_s=Fact(
            round(prefill, 1),
            f"2 x {parameters_active / 1e9:.2f} G operations a token at {operations_s / 1e9:.0f} G/s, {assumed}",
            Provenance.ESTIMATED,
        ),
    )


def _rates(pool: Pool, threads: int) -> tuple[float, float, str]:
    """Bytes and operations a second, and where they come from. A stated peak outranks what is assumed of the kind."""
    bandwidth, operations, origin = _assumed(pool, threads)
    stated_bandwidth, stated_operations = pool.bandwidth_bytes_s.known, pool.compute_flops.known
    if stated_bandwidth is None:
        return bandwidth, operations, origin
    reached = f"{BANDWIDTH_REACHED:.0%} of the {stated_bandwidth / 1e9:.0f} GB/s stated for {pool.name}"
    if stated_operations is not None:
        operations = stated_operations * COMPUTE_REACHED
    return stated_bandwidth * BANDWIDTH_REACHED, operations, reached


def _assumed(pool: Pool, threads: int) -> tuple[float, float, str]:
    if pool.kind == "accelerator" and not pool.shared_bytes:
        return ACCELERATOR_BYTES_S, ACCELERATOR_OPERATIONS_S, "assumed for a small GPU"
    bandwidth = min(HOST_BYTES_S_PER_THREAD * threads, HOST_BYTES_S_MOST)
    plural = "thread" if threads == 1 else "threads"
    return bandwidth, HOST_OPERATIONS_S_PER_THREAD * threads, f"assumed for {threads} {plural}"
