"""A machine whose constants are known, and what it would take for every step of a calibration."""

import datetime as dt
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

from deploy.catalog import loader
from deploy.catalog.model import Model
from deploy.engine.load_plan import LoadPlan
from deploy.engine.measure_protocol import Measured, Step, Timing
from deploy.fit.calibration import SHORT_BLOCK_ROW, Attention, Calibration, Probe, Rates, Throughput
from deploy.fit.demand import Demand, demand_of
from profiles.budget import Pool, budget
from tests.support.world import GB, machine

MODELS: Final = {model.id: model for model in loader.load().models}
HOST: Final[Pool] = budget(machine(total_bytes=24 * GB, cores=2)).host
PLAN: Final = LoadPlan(context_tokens=8192, threads=2)
TYPES: Final = ("Q4_K", "Q6_K", "Q8_0", "F16", "Q4_0", "MXFP4")


def demand(model_id: str, quant: str = "Q4_K_M") -> Demand:
    """Of a model of the catalogue."""
    model: Model = MODELS[model_id]
    return demand_of(model, next(form for form in model.artifacts if form.quant == quant))


def rates(threads: int = 2, *, factor: float = 1.0) -> Rates:
    """Constants of a small machine; `factor` makes it faster."""
    return Rates(
        threads=threads,
        node_s=1e-6 / factor,
        row_s=10e-9 / factor,
        plain=_throughput(20e9 * threads * factor),
        repacked=_throughput(26e9 * threads * factor, ("Q4_K", "Q4_0")),
        experts=_throughput(15e9 * threads * factor, ("Q4_K", "Q8_0", "MXFP4")),
        with_flash=_attention(4 / threads / factor),
        without_flash=_attention(1 / threads / factor),
    )


def calibration(machine: str = "this", *, repack_gain: float = 1.0) -> Calibration:
    """As it would be kept for one and two threads."""
    known = []
    for threads in (1, 2):
        found = rates(threads)
        held = {kind: rate * repack_gain for kind, rate in found.plain.bytes_s.items()}
        reading = {kind: rate * repack_gain for kind, rate in found.plain.operations_s.items()}
        fields = {name: getattr(found, name) for name in found.__struct_fields__}
        known.append(Rates(**fields | {"repacked": Throughput(bytes_s=held, operations_s=reading)}))
    return Calibration(
        machine=machine,
        engine=f"llama-cpp-python {version('llama-cpp-python')} (test)",
        measured_at=dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        seconds=9.0,
        busy_cores=0.0,
        rates=tuple(known),
        repack_bytes_s=1e9,
    )


def would_take(probe: Probe, known: Sequence[Rates]) -> Measured:
    """Every step of a probe on a machine with these constants."""
    nodes = 31 * probe.model.blocks
    by_threads = {found.threads: found for found in known}
    timings = tuple(
        Timing(step=step, seconds=(_seconds(probe, step, by_threads[step.threads], nodes),) * step.least)
        for step in probe.steps
    )
    return Measured(load_s=0.1, graph_nodes=nodes, timings=timings)


def _seconds(probe: Probe, step: Step, known: Rates, nodes: int) -> float:
    model = probe.model
    attention = known.with_flash if probe.plan.flash_attention else known.without_flash
    total = nodes * known.node_s
    if probe.name == "nodes":
        return total
    if not probe.name.startswith("attention"):
        for matrix in model.matrices():
            weight = known.row_s * (1.0 if "K" in matrix.type_name else SHORT_BLOCK_ROW)
            total += matrix.shape[1] * weight * (model.experts_used if "_exps" in matrix.name else 1)
        for matrix in model.matrices():
            if matrix.type_name == "F32":
                continue
            mine = "_exps" in matrix.name or not model.experts
            held = known.plain if not mine or probe.hold is None else getattr(known, probe.hold)
            share = model.experts_used / model.experts if "_exps" in matrix.name else 1.0
            last = matrix.name.startswith(f"blk.{model.blocks - 1}.ffn") and step.tokens > 1
            if step.tokens == 1:
                total += matrix.size_bytes * share / held.bytes_s[matrix.type_name]
            elif not last:
                total += 2 * step.tokens * matrix.parameters * share / held.operations_s[matrix.type_name]
    queries, keys = model.heads * model.head_size, model.kv_heads * model.head_size
    if step.tokens == 1:
        each = keys * attention.write_key_s + queries * attention.write_query_s + model.heads * attention.write_head_s
        if model.kv_heads < model.heads:  # few keys lie in caches and cost nothing more
            each -= keys * attention.write_key_s
        return total + model.blocks * step.depth_tokens * each
    reading = queries * attention.read_query_s + model.heads * attention.read_head_s
    own = step.tokens if not probe.name.startswith("attention") else 0
    return total + model.blocks * step.tokens * (step.depth_tokens + own) * reading


def _throughput(bytes_s: float, types: Sequence[str] = TYPES) -> Throughput:
    return Throughput(
        bytes_s={kind: bytes_s * (1 + index / 10) for index, kind in enumerate(types)},
        operations_s={kind: 20 * bytes_s / (1 + index / 10) for index, kind in enumerate(types)},
    )


def _attention(factor: float) -> Attention:
    return Attention(
        block_s=0.0,
        write_key_s=1e-10 * factor,
        write_query_s=3e-11 * factor,
        write_head_s=2e-9 * factor,
        read_query_s=1e-11 * factor,
        read_head_s=1e-9 * factor,
    )
