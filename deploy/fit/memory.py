"""What a model takes while it runs, term by term, each with its origin."""

import math
from typing import Final

import msgspec

from deploy.catalog.model import Artifact, Cache, MemoryCurve, Model, Points, StateCurve
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import Rehearsed
from deploy.gguf.shape import Shape
from profiles.budget import HOST
from profiles.machine import Provenance

CELL_STEP: Final = 256
"""llama.cpp rounds the cells of a cache, and the whole context, up to this."""
PROCESS_BYTES: Final = 58 << 20
"""Python, the engine's code and its graphs, without a vocabulary: measured by scripts/bench/memory.py, rounded up."""
TOKEN_BYTES: Final = 160
MERGED_TOKEN_BYTES: Final = 300
"""What the engine keeps for one token of a vocabulary; with merges it keeps a second table."""
WEIGHTS_SHARE: Final = 512
"""One part in so many of the weights: what many tensors cost beside their bytes; 9 MB of 6 GB measured."""
STAGED_SHARE: Final = 64
"""One part in so many of the weights: a matrix that is read, and not yet repacked; 17 MB of 2.7 GB measured."""
COPIED_CELL_BYTES: Final = 16
COPIED_BYTES: Final = 64 << 10
"""What a copy holds beside the state: a position and a sequence for each cell, a few numbers for each layer."""
SHORT_INPUTS_BYTES: Final = 3_000_000
"""Of the compute buffer at a context of 512 tokens, at most: two masks of 512 x 512 numbers, and the rows' inputs."""
UNQUANTISED: Final = frozenset({"F32", "F16", "BF16"})


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a plan's memory."""

    name: str
    bytes: int
    provenance: Provenance
    how: str
    """Where the figure comes from."""
    reclaimable: bool = False
    """True for mapped weights: page cache that the kernel can take back, at the price of speed."""
    pool: str = HOST
    """Which memory it stands in."""


class MemoryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All parts of a plan's memory."""

    terms: tuple[Term, ...]

    @property
    def peak_bytes(self) -> int:
        """Everything at once: what must be free for the promised speed."""
        return sum(term.bytes for term in self.terms)

    @property
    def hard_bytes(self) -> int:
        """What cannot be taken back: below this the model does not run at all."""
        return sum(term.bytes for term in self.terms if not term.reclaimable)

    @property
    def pools(self) -> tuple[str, ...]:
        """The memories that the terms stand in, in the order of their first term."""
        return tuple(dict.fromkeys(term.pool for term in self.terms))

    def within(self, pool: str) -> "MemoryPlan":
        """What stands in one memory."""
        return MemoryPlan(terms=tuple(term for term in self.terms if term.pool == pool))

    @property
    def provenance(self) -> Provenance:
        """The weakest origin among the terms that matter (a hundredth of the whole or more)."""
        order = list(Provenance)
        telling = [term.provenance for term in self.terms if term.bytes * 100 >= self.peak_bytes]
        return max(telling, key=order.index)


def plan_memory(model: Model, artifact: Artifact, plan: LoadPlan) -> MemoryPlan:
    """The memory of a catalogued model, from the engine's figures that the catalogue keeps."""
    curve = model.memory
    of = f"dry run of {curve.engine}"
    weights = Term(
        name="weights",
        bytes=artifact.size_bytes,
        provenance=Provenance.CATALOGUE if artifact.size_exact else Provenance.ESTIMATED,
        how="size of the files" if artifact.size_exact else "size of the files as printed, rounded, by their list",
        reclaimable=plan.load_mode == "mmap",
    )
    state = Term(
        name="context",
        bytes=state_bytes(_state(curve, plan), plan.context_tokens),
        provenance=Provenance.ENGINE,
        how=f"{plan.context_tokens:,} tokens, {plan.kv_type} cache: {of}",
    )
    compute = Term(
        name="compute buffer",
        bytes=compute_bytes(curve, plan),
        provenance=Provenance.ENGINE,
        how=f"upper bound at this context: {of}",
    )
    shape = _shape_in_catalogue(curve, artifact)
    asked = (weights, state, compute, *_recurrent(_state(curve, plan).recurrent_bytes))
    return _plan_of(plan, shape, asked, artifact.quant, curve.output_bytes * plan.output_rows)


def plan_memory_rehearsed(rehearsed: Rehearsed, plan: LoadPlan, shape: Shape | None = None) -> MemoryPlan:
    """The memory of a file that the engine has just been asked about; `shape` is the one in its header."""
    how = "asked of the engine for this file and this plan"
    weights = Term(
        name="weights",
        bytes=rehearsed.weights_bytes,
        provenance=Provenance.ENGINE,
        how=how,
        reclaimable=plan.load_mode == "mmap",
    )
    state = Term(name="context", bytes=rehearsed.state_bytes, provenance=Provenance.ENGINE, how=how)
    compute = Term(name="compute buffer", bytes=rehearsed.compute_bytes, provenance=Provenance.ENGINE, how=how)
    known = shape or Shape(tokens=rehearsed.output_bytes // 4, merges=True, heads=0, widest=0)
    asked = (weights, state, compute, *_recurrent(rehearsed.recurrent_bytes))
    return _plan_of(plan, known, asked, "", rehearsed.output_bytes)


def _recurrent(recurrent_bytes: int) -> tuple[Term, ...]:
    """What models with recurrent layers take beside their state while they compute."""
    if not recurrent_bytes:
        return ()
    how = "as much as the recurrent state once more, at most: measured on other models"
    return (Term(name="recurrent work", bytes=recurrent_bytes, provenance=Provenance.ESTIMATED, how=how),)


def for_users(memory: MemoryPlan, users: int) -> MemoryPlan:
    """The same plan with a context for each of several users, whose conversations stay in memory."""
    if users == 1:
        return memory
    others = tuple(
        Term(
            name=f"other users' {own.name}s",
            bytes=own.bytes * (users - 1),
            provenance=own.provenance,
            how=f"{users - 1} more of the same",
            pool=own.pool,
        )
        for own in memory.terms
        if own.name in {"context", "checkpoint"}
    )
    return MemoryPlan(terms=(*memory.terms, *others))


def state_bytes(curve: StateCurve, context_tokens: int) -> int:
    """KV cache and recurrent state of one sequence, to the byte (2,060 of 2,060 contexts of the dry runs)."""
    return curve.recurrent_bytes + sum(_cache_bytes(cache, context_tokens) for cache in curve.caches)


def compute_bytes(curve: MemoryCurve, plan: LoadPlan) -> int:
    """Upper bound of the compute buffer for a batch of 512 tokens.

    The dry runs had one row of output. The rows of a plan take the place of what the blocks needed before, and more of
    it only where they are larger than that: than all of the buffer at the shortest context, but for the inputs.
    """
    points = _compute(curve, plan)
    rows_bytes = plan.reserved_rows * curve.output_bytes + SHORT_INPUTS_BYTES
    return bound(points, plan.context_tokens) + max(0, rows_bytes - points[0][1])


def recurrent_bytes(curve: MemoryCurve, plan: LoadPlan) -> int:
    """The state of layers that remember without a cache; 0 where there are none."""
    return _state(curve, plan).recurrent_bytes


def checkpoint_bytes(curve: MemoryCurve, plan: LoadPlan) -> int:
    """A copy of what cannot go back by itself, at most: windows and recurrent state. 0 where everything can."""
    state = _state(curve, plan)
    windows = [cache for cache in state.caches if cache.max_cells is not None]
    copied = state.recurrent_bytes + sum(
        _cache_bytes(cache, plan.context_tokens) + _cells(cache, plan.context_tokens) * COPIED_CELL_BYTES
        for cache in windows
    )
    return copied + COPIED_BYTES if copied else 0


def checkpoint_bytes_rehearsed(said: Rehearsed, plan: LoadPlan) -> int:
    """The same for a file that the engine was asked about: no window has more cells than the context."""
    copied = said.recurrent_bytes + said.window_bytes
    cells = _rounded(plan.context_tokens) if said.window_bytes else 0
    return copied + cells * COPIED_CELL_BYTES + COPIED_BYTES if copied else 0


def bound(points: Points, context_tokens: int) -> int:
    """The bound at a context. Beyond the longest one of the dry runs it grows in proportion."""
    context = _rounded(context_tokens)
    before = points[0]
    for after in points:
        if context <= after[0]:
            share = (context - before[0]) / max(after[0] - before[0], 1)
            return max(math.ceil(before[1] + share * (after[1] - before[1])), min(before[1], after[1]))
        before = after
    return before[1] * -(-context // before[0])


def work_bytes(shape: Shape, plan: LoadPlan, *, unquantised: bool) -> int:
    """What the processor's products take beside the compute buffer: their input, packed as the weights want it.

    Without flash attention the largest input is the attention of all heads to the whole context.
    """
    of_input = shape.widest * (2 if unquantised else 1.15)
    of_attention = 0 if plan.flash_attention else 2 * shape.heads * _rounded(plan.context_tokens)
    return math.ceil(plan.batch_tokens * max(of_input, of_attention))


def _cache_bytes(cache: Cache, context_tokens: int) -> int:
    return _cells(cache, context_tokens) * cache.bytes_per_cell


def _cells(cache: Cache, context_tokens: int) -> int:
    cells = _rounded(-(-context_tokens // cache.ratio) if cache.ratio else context_tokens)
    return cells if cache.max_cells is None else min(cells, cache.max_cells)


def _rounded(cells: int) -> int:
    return -(-cells // CELL_STEP) * CELL_STEP


def _state(curve: MemoryCurve, plan: LoadPlan) -> StateCurve:
    if plan.kv_type == "q8_0":
        return curve.q8_0
    if plan.kv_type == "q8_0/f16" and curve.keys_q8_0 is not None:
        return curve.keys_q8_0.state
    return curve.f16 if plan.flash_attention else curve.f16_without_flash or curve.f16


def _compute(curve: MemoryCurve, plan: LoadPlan) -> Points:
    if plan.kv_type == "q8_0":
        return curve.compute.q8_0
    if plan.kv_type == "q8_0/f16" and curve.keys_q8_0 is not None:
        return curve.keys_q8_0.compute
    return curve.compute.f16 if plan.flash_attention else curve.compute.f16_without_flash


def _shape_in_catalogue(curve: MemoryCurve, artifact: Artifact) -> Shape:
    """The shape of a model whose file is not here. Of what may be repacked the most is assumed."""
    return Shape(
        tokens=curve.output_bytes // 4,
        merges=curve.merges,
        heads=curve.heads,
        widest=curve.widest,
        repacked_bytes=0 if artifact.quant in UNQUANTISED else artifact.size_bytes,
    )


def _plan_of(plan: LoadPlan, shape: Shape, asked: tuple[Term, ...], quant: str, output_bytes: int) -> MemoryPlan:
    output = Term(
        name="output buffer",
        bytes=output_bytes,
        provenance=Provenance.ENGINE,
        how="one row of the vocabulary" if not plan.speculation_tokens else "rows of the vocabulary, guessed ones too",
    )
    work = Term(
        name="work buffer",
        bytes=work_bytes(shape, plan, unquantised=quant in UNQUANTISED),
        provenance=Provenance.ESTIMATED,
        how=f"{plan.batch_tokens} tokens x the widest input of a matrix"
        + ("" if plan.flash_attention else ", or the attention of all heads"),
    )
    token_bytes = MERGED_TOKEN_BYTES if shape.merges else TOKEN_BYTES
    process = Term(
        name="process",
        bytes=PROCESS_BYTES + shape.tokens * token_bytes + asked[0].bytes // WEIGHTS_SHARE,
        provenance=Provenance.ESTIMATED,
        how=f"Python and engine {PROCESS_BYTES / 1e6:.0f} MB, and {shape.tokens:,} tokens x {token_bytes} bytes, "
        f"1/{WEIGHTS_SHARE} of the weights: measured on other models",
    )
    return MemoryPlan(
        terms=(*asked, *_repacked(plan, shape), *_staged(plan, asked[0]), output, work, *_checkpoint(plan), process)
    )


def _checkpoint(plan: LoadPlan) -> tuple[Term, ...]:
    """The copy of the state that a plan allows."""
    if not plan.checkpoint_bytes:
        return ()
    how = "at most: a copy of the state after the prompt"
    return (Term(name="checkpoint", bytes=plan.checkpoint_bytes, provenance=Provenance.ENGINE, how=how),)


def _staged(plan: LoadPlan, weights: Term) -> tuple[Term, ...]:
    """What is held while weights are repacked one after the other."""
    if not plan.repack:
        return ()
    how = f"1/{STAGED_SHARE} of the weights at most, while they are repacked: measured on other models"
    count = weights.bytes // STAGED_SHARE
    return (Term(name="repacking", bytes=count, provenance=Provenance.ESTIMATED, how=how),)


def _repacked(plan: LoadPlan, shape: Shape) -> tuple[Term, ...]:
    """The second copy of weights. Weights that are read stand once, but for an embedding that is the output too."""
    if not plan.repack:
        return ()
    mapped = plan.load_mode == "mmap"
    count = shape.repacked_bytes if mapped else shape.repacked_twice_bytes
    term = Term(
        name="repacked weights",
        bytes=count,
        provenance=Provenance.ESTIMATED,
        how="at most: matrices of the types that the engine repacks for some processor",
    )
    return (term,) if count else ()
