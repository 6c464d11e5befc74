"""What the engine was measured to do on one machine, and which small models it is measured on.

Decoding a token takes time for each operation of the graph, for each product with a matrix, for each byte of weights
by its type, and for each token in memory that it attends to. Reading a prompt takes time for each multiplication.
The constants come out of models that differ in one of these and hardly in anything else.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from deploy.engine.load_plan import LoadPlan
from deploy.engine.measure_protocol import Measured, Step
from deploy.gguf.ggml_types import TENSOR_TYPES
from deploy.gguf.hollow import HollowModel, Matrix

SCHEMA: Final = "landfast.calibration/1"
DEPTH_TOKENS: Final = 1024
PROMPT_TOKENS: Final = 128
CELL_ELEMENT_BYTES: Final = 4
"""Of an f16 cache, for one number of a key and the one of its value."""
K_BLOCK: Final = 256
SHORT_BLOCK_ROW: Final = 0.5
"""A row of a type with short blocks beside one of a K type, found on the shapes that scripts/bench/speed.py names."""
WRITE_LIMIT_S: Final = 0.08
WEIGHTS_BYTES: Final = 260e6
"""Of a probe of one type: of much less, caches of the processor would hold a part."""
LEAST_BLOCKS: Final = 3
LEAST: Final = 1e-12
"""Keeps a constant that noise made negative from being one."""

Hold = Literal["plain", "repacked", "experts"]


class Attention(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds for each token that one token attends to."""

    block_s: float
    """For each block, whatever is in memory: without flash attention there are more steps to wait for."""
    write_key_s: float
    """For each number of its keys where they are as wide as WIDE_KEYS; narrower ones lie closer to each other."""
    write_query_s: float
    """For each number of the queries that it meets."""
    write_head_s: float
    """For each query head."""
    read_query_s: float
    """Reading a prompt, for each token of it and each number of the queries."""
    read_head_s: float


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of weights reaches, by tensor type."""

    bytes_s: dict[str, float] = {}
    """Writing."""
    operations_s: dict[str, float] = {}
    """Reading a prompt; two for each weight and token."""


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """All constants for one number of threads."""

    threads: int
    node_s: float
    """For each operation of the graph."""
    row_s: float
    """More for each row of a matrix of a K type: starting it, and adding up what its lanes hold."""
    plain: Throughput
    repacked: Throughput
    experts: Throughput
    with_flash: Attention
    without_flash: Attention


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement of one machine."""

    schema: Literal["landfast.calibration/1"] = SCHEMA
    machine: str
    """Fingerprint of what decides speed."""
    engine: str
    """Name, version and processor features of the engine's build."""
    measured_at: dt.datetime
    """UTC."""
    seconds: float
    """How long it took."""
    busy_cores: float
    """How many cores other programs kept busy meanwhile."""
    rates: tuple[Rates, ...]
    """By number of threads, fewest first."""
    repack_bytes_s: float
    """How fast weights are read and repacked."""


class Probe(NamedTuple):
    """One small model, how it is loaded, and what it is for."""

    name: str
    model: HollowModel
    plan: LoadPlan
    steps: tuple[Step, ...]
    hold: Hold | None = None
    """Which throughput its weights tell of."""


_SMALL: Final = {"embedding": 1024, "feed_forward": 3072, "heads": 16, "kv_heads": 8, "head_size": 64, "blocks": 32}
_MIDDLE: Final = {"embedding": 2048, "feed_forward": 6144, "heads": 16, "kv_heads": 8, "head_size": 128}
_LARGE: Final = {"embedding": 4096, "feed_forward": 12288, "heads": 32, "kv_heads": 8, "head_size": 128, "blocks": 3}
_EXPERTS: Final = {
    "embedding": 2048,
    "feed_forward": 1024,
    "heads": 16,
    "kv_heads": 4,
    "head_size": 128,
    "blocks": 2,
    "experts": 32,
    "experts_used": 8,
}
_NODES: Final = {"embedding": 256, "feed_forward": 512, "heads": 4, "kv_heads": 2, "head_size": 64, "blocks": 24}
_HEADS: Final = {"embedding": 256, "feed_forward": 256}
FEW_KEYS, SMALL_HEADS, MANY_KEYS = (16, 4, 128), (32, 8, 64), (16, 16, 128)
"""Query heads, key heads and their width: each pair differs in one of the three figures that attention costs."""
WIDE_KEYS: Final = MANY_KEYS[1] * MANY_KEYS[2]
ATTENTION_BLOCKS: Final = {FEW_KEYS: 1, SMALL_HEADS: 1, MANY_KEYS: 5}
"""The many keys are more than caches of a processor hold, as those of a real model are."""
ANCHOR: Final = "Q4_K"
"""The type that all machines are measured on, in small and in large matrices."""
TYPES: Final[tuple[tuple[Hold, str], ...]] = (
    ("plain", "Q6_K"),
    ("plain", "Q8_0"),
    ("repacked", "Q4_K"),
    ("experts", "Q4_K"),
    ("plain", "Q4_0"),
    ("repacked", "Q4_0"),
    ("experts", "MXFP4"),
    ("plain", "F16"),
    ("experts", "Q8_0"),
)
"""The others are taken in proportion (reference.py)."""


def thread_counts(most: int) -> tuple[int, ...]:
    """The numbers of threads that are measured: one, half of all, all."""
    return tuple(sorted({1, max(1, most // 2), most}))


def probes(most_threads: int) -> Iterator[Probe]:
    """All of them, the most telling first: what does not fit into the time is left out."""
    counts = thread_counts(most_threads)
    yield _probe("nodes", "Q8_0", _NODES, _writes(counts))
    for flash in (False, True):
        for heads in (FEW_KEYS, SMALL_HEADS, MANY_KEYS):
            yield _attention_probe(heads, counts, flash=flash)
    yield _probe("small", ANCHOR, _SMALL, _writes(counts))
    yield _probe("large", ANCHOR, _LARGE, _all_steps(counts), hold="plain")
    for hold, kind in TYPES:
        shape = _EXPERTS if hold == "experts" else _filling(_MIDDLE, kind)
        yield _probe(f"{hold} {kind}", kind, shape, _all_steps(counts), hold=hold)


def _probe(name: str, kind: str, shape: Mapping[str, int], steps: tuple[Step, ...], hold: Hold | None = None) -> Probe:
    plan = LoadPlan(
        context_tokens=512,
        threads=steps[-1].threads,
        flash_attention=False,
        repack=hold == "repacked",
        load_mode="read" if hold == "repacked" else "mmap",
    )
    return Probe(name, HollowModel(weight_type=kind, **shape), plan, steps, hold)


def _filling(shape: Mapping[str, int], kind: str) -> dict[str, int]:
    """With as many blocks as the weights of a probe need."""
    block = sum(m.size_bytes for m in HollowModel(weight_type=kind, blocks=1, **shape).matrices())
    return {**shape, "blocks": max(LEAST_BLOCKS, round(WEIGHTS_BYTES / block))}


def _attention_probe(heads: tuple[int, int, int], counts: tuple[int, ...], *, flash: bool) -> Probe:
    blocks = ATTENTION_BLOCKS[heads]
    model = HollowModel(
        weight_type="Q8_0", heads=heads[0], kv_heads=heads[1], head_size=heads[2], blocks=blocks, **_HEADS
    )
    plan = LoadPlan(context_tokens=DEPTH_TOKENS + 512, threads=counts[-1], flash_attention=flash)
    reads = () if heads == MANY_KEYS else (_read(counts[-1]),)
    steps = (
        *_writes(counts),
        *reads,
        *(msgspec.structs.replace(s, depth_tokens=DEPTH_TOKENS) for s in (*reversed(_writes(counts)), *reads)),
    )
    return Probe(_attention_name(heads, flash=flash), model, plan, steps)


def _attention_name(heads: tuple[int, int, int], *, flash: bool) -> str:
    return f"attention {'with' if flash else 'without'} flash {'-'.join(map(str, heads))}"


def _all_steps(counts: tuple[int, ...]) -> tuple[Step, ...]:
    return (*_writes(counts), _read(counts[-1]))


def _writes(counts: tuple[int, ...]) -> tuple[Step, ...]:
    return tuple(Step(threads=count, tokens=1, least=4, limit_s=WRITE_LIMIT_S) for count in counts)


def _read(threads: int) -> Step:
    return Step(threads=threads, tokens=PROMPT_TOKENS, least=1, repeats=4, limit_s=0.12)


class _Seen:
    """Measurements by probe and step."""

    def __init__(self, measured: Mapping[str, Measured]) -> None:
        self.measured = measured

    def writing(self, name: str, threads: int, depth: int = 0) -> float:
        """Seconds for a token."""
        return self._step(name, threads, depth, many=False)

    def reading(self, name: str, threads: int, depth: int = 0) -> float:
        """Seconds for all tokens of a prompt."""
        return self._step(name, threads, depth, many=True)

    def _step(self, name: str, threads: int, depth: int, *, many: bool) -> float:
        """Of the quickest tenth, since other programs only ever slow it down."""
        for timing in self.measured[name].timings:
            step = timing.step
            if (step.threads, step.depth_tokens, step.tokens > 1) == (threads, depth, many):
                return sorted(timing.seconds)[len(timing.seconds) // 10]
        raise KeyError(name)


def solve(ran: Sequence[Probe], measured: Sequence[Measured], counts: Sequence[int]) -> tuple[Rates, ...]:
    """The constants for each number of threads. Reading is measured with all threads, and taken in proportion."""
    seen = _Seen({probe.name: result for probe, result in zip(ran, measured, strict=False)})
    done = ran[: len(measured)]
    most = _solve_for(seen, done, counts[-1], None)
    return tuple(most if count == counts[-1] else _solve_for(seen, done, count, most) for count in counts)


def _solve_for(seen: _Seen, done: Sequence[Probe], threads: int, most: Rates | None) -> Rates:
    """`most` are the constants with all threads; None when these are they."""
    node_s = seen.writing("nodes", threads) / seen.measured["nodes"].graph_nodes
    row_s = _row_s(seen, done, threads, node_s)
    found: dict[Hold, Throughput] = {}
    attention = {flash: _attention(seen, threads, most, flash=flash) for flash in (True, False)}
    for hold in ("plain", "repacked", "experts"):
        known = Throughput(bytes_s={}, operations_s={})
        for probe in done:
            if probe.hold == hold:
                _add(known, probe, seen, _Fixed(threads, node_s, row_s, attention[False], found.get("plain")), most)
        found[hold] = known
    return Rates(
        threads=threads,
        node_s=node_s,
        row_s=row_s,
        with_flash=attention[True],
        without_flash=attention[False],
        **found,
    )


def _row_s(seen: _Seen, done: Sequence[Probe], threads: int, node_s: float) -> float:
    """Small and large matrices of one type take their bytes' time and this for each row: two equations."""
    small, large = (next(probe for probe in done if probe.name == name) for name in ("small", "large"))
    times = [
        seen.writing(probe.name, threads) - seen.measured[probe.name].graph_nodes * node_s for probe in (small, large)
    ]
    share = _bytes(small) / _bytes(large)
    count = _rows(small.model) - share * _rows(large.model)
    return max(0.0, (times[0] - share * times[1]) / count)


class _Fixed(NamedTuple):
    """What is known of a number of threads before its throughputs are."""

    threads: int
    node_s: float
    row_s: float
    attention: Attention
    plain: Throughput | None


def _add(known: Throughput, probe: Probe, seen: _Seen, fixed: _Fixed, most: Rates | None) -> None:
    """Take off what is not the weights of the probe's type; the rest is their bytes and their operations."""
    kind, model = probe.model.weight_type, probe.model
    mine = {matrix.name for matrix in _own(model)}
    others = [m for m in model.matrices() if m.name not in mine and m.type_name == model.other_type]
    base = seen.measured[probe.name].graph_nodes * fixed.node_s + _rows(model) * fixed.row_s
    taken = seen.writing(probe.name, fixed.threads) - base
    if others and fixed.plain:
        taken -= sum(matrix.size_bytes for matrix in others) / fixed.plain.bytes_s[model.other_type]
    known.bytes_s[kind] = _bytes(probe) / max(taken, LEAST)
    if most is not None:
        hold = {"plain": most.plain, "repacked": most.repacked, "experts": most.experts}[probe.hold or "plain"]
        known.operations_s[kind] = hold.operations_s[kind] * fixed.threads / most.threads
        return
    reading = seen.reading(probe.name, fixed.threads) - base - _attended_s(model, fixed.attention)
    if others and fixed.plain:
        reading -= 2 * PROMPT_TOKENS * sum(m.parameters for m in others) / fixed.plain.operations_s[model.other_type]
    known.operations_s[kind] = 2 * PROMPT_TOKENS * _passed(model) / max(reading, LEAST)


def row_weight(type_name: str) -> float:
    """What starting a row costs beside one of the K types."""
    block = next(kind.block_elements for kind in TENSOR_TYPES.values() if kind.name == type_name)
    return 1.0 if block == K_BLOCK else SHORT_BLOCK_ROW


def _rows(model: HollowModel) -> float:
    return sum(
        m.shape[1] * row_weight(m.type_name) * (model.experts_used if "_exps" in m.name else 1)
        for m in model.matrices()
    )


def _attended_s(model: HollowModel, attention: Attention) -> float:
    each = model.heads * (attention.read_head_s + model.head_size * attention.read_query_s)
    return model.blocks * PROMPT_TOKENS**2 * each


def _share(model: HollowModel) -> float:
    return model.experts_used / model.experts if model.experts else 1.0


def _own(model: HollowModel) -> list[Matrix]:
    """Matrices of the type that is measured; of a mixture of experts that is the experts alone."""
    ending = "_exps" if model.experts else ""
    return [m for m in model.matrices() if m.type_name == model.weight_type and ending in m.name]


def _bytes(probe: Probe) -> float:
    return sum(matrix.size_bytes for matrix in _own(probe.model)) * _share(probe.model)


def _passed(model: HollowModel) -> float:
    """Weights that each token of a prompt passes; the last block's feed-forward part is for the last token only."""
    last = f"blk.{model.blocks - 1}.ffn"
    return sum(m.parameters for m in _own(model) if not m.name.startswith(last)) * _share(model)


def _attention(seen: _Seen, threads: int, most: Rates | None, *, flash: bool) -> Attention:
    """Few keys lie in caches, so that two shapes give what computing takes; with many, memory adds to that."""
    few, small, many = (
        _deeper(seen, _attention_name(heads, flash=flash), threads) / ATTENTION_BLOCKS[heads]
        for heads in (FEW_KEYS, SMALL_HEADS, MANY_KEYS)
    )
    queries = FEW_KEYS[0] * FEW_KEYS[2]
    head_s = max(0.0, (small - few) / (SMALL_HEADS[0] - FEW_KEYS[0]))
    query_s = max(0.0, few - FEW_KEYS[0] * head_s) / queries
    key_s = max(0.0, (many - few) / (MANY_KEYS[1] * MANY_KEYS[2]))
    read_head_s, read_query_s = _reading_attention(seen, threads, most, flash=flash)
    return Attention(
        block_s=max(0.0, _block_s(seen, threads)) if not flash else 0.0,
        write_key_s=key_s,
        write_query_s=query_s,
        write_head_s=head_s,
        read_query_s=read_query_s,
        read_head_s=read_head_s,
    )


def _block_s(seen: _Seen, threads: int) -> float:
    """What a block without flash attention takes more than one with it, with nothing in memory."""
    each = [
        (
            seen.writing(_attention_name(heads, flash=False), threads)
            - seen.writing(_attention_name(heads, flash=True), threads)
        )
        / ATTENTION_BLOCKS[heads]
        for heads in (FEW_KEYS, SMALL_HEADS, MANY_KEYS)
    ]
    return sum(each) / len(each)


def _deeper(seen: _Seen, name: str, threads: int) -> float:
    """Seconds for each token in memory."""
    return max(LEAST, seen.writing(name, threads, DEPTH_TOKENS) - seen.writing(name, threads)) / DEPTH_TOKENS


def _reading_attention(seen: _Seen, threads: int, most: Rates | None, *, flash: bool) -> tuple[float, float]:
    if most is not None:
        of_most = most.with_flash if flash else most.without_flash
        return tuple(s * most.threads / threads for s in (of_most.read_head_s, of_most.read_query_s))  # type: ignore[return-value]
    each = [
        (seen.reading(name, threads, DEPTH_TOKENS) - seen.reading(name, threads))
        / (ATTENTION_BLOCKS[heads] * heads[0] * PROMPT_TOKENS * DEPTH_TOKENS)
        for heads in (FEW_KEYS, SMALL_HEADS)
        for name in (_attention_name(heads, flash=flash),)
    ]
    of_wide, of_narrow = (max(LEAST, value) for value in each)
    query_s = max(0.0, (of_wide - of_narrow) / (FEW_KEYS[2] - SMALL_HEADS[2]))
    return max(0.0, of_narrow - SMALL_HEADS[2] * query_s), query_s
