"""What a model takes while it runs, term by term, each with its origin."""

from typing import Final

import msgspec

from deploy.catalog.model import Artifact, Cache, MemoryCurve, Model, StateCurve
from deploy.engine.protocol import LoadPlan, Rehearsed
from profiles.machine import Provenance

CELL_STEP: Final = 256
"""llama.cpp rounds the cells of a cache up to this."""
PROCESS_BYTES: Final = 96 << 20
"""Python, the engine's code and the vocabulary: 42 MB (49k tokens) and 57 MB (262k tokens) measured, rounded up."""


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a plan's memory."""

    name: str
    bytes: int
    provenance: Provenance
    how: str
    """Where the figure comes from."""
    reclaimable: bool = False
    """True for mapped weights: page cache that the kernel can take back, at the price of speed."""


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
    def provenance(self) -> Provenance:
        """The weakest origin among the terms that matter (a hundredth of the whole or more)."""
        order = list(Provenance)
        telling = [term.provenance for term in self.terms if term.bytes * 100 >= self.peak_bytes]
        return max(telling, key=order.index)


def plan_memory(model: Model, artifact: Artifact, plan: LoadPlan) -> MemoryPlan:
    """The memory of a catalogued model, from the engine's figures that the catalogue keeps."""
    curve = model.memory
    state = curve.q8_0 if plan.kv_type == "q8_0" else curve.f16
    of = f"dry run of {curve.engine}"
    return _plan_of(
        weights=Term(
            name="weights",
            bytes=artifact.size_bytes,
            provenance=Provenance.CATALOGUE if artifact.size_exact else Provenance.ESTIMATED,
            how="size of the files" if artifact.size_exact else "size of the files as printed, rounded, by their list",
            reclaimable=plan.load_mode == "mmap",
        ),
        state=Term(
            name="context",
            bytes=state_bytes(state, plan.context_tokens),
            provenance=Provenance.ENGINE,
            how=f"{plan.context_tokens:,} tokens, {plan.kv_type} cache: {of}",
        ),
        compute=Term(
            name="compute buffer",
            bytes=compute_bytes(curve, plan.context_tokens),
            provenance=Provenance.ENGINE,
            how=f"upper bound up to this context: {of}",
        ),
        output_bytes=curve.output_bytes,
    )


def plan_memory_rehearsed(rehearsed: Rehearsed, plan: LoadPlan) -> MemoryPlan:
    """The memory of a file that the engine has just been asked about."""
    how = "asked of the engine for this file and this plan"
    return _plan_of(
        weights=Term(
            name="weights",
            bytes=rehearsed.weights_bytes,
            provenance=Provenance.ENGINE,
            how=how,
            reclaimable=plan.load_mode == "mmap",
        ),
        state=Term(name="context", bytes=rehearsed.state_bytes, provenance=Provenance.ENGINE, how=how),
        compute=Term(name="compute buffer", bytes=rehearsed.compute_bytes, provenance=Provenance.ENGINE, how=how),
        output_bytes=rehearsed.output_bytes,
    )


def state_bytes(curve: StateCurve, context_tokens: int) -> int:
    """KV cache and recurrent state of one sequence, to the byte (2,060 of 2,060 contexts of the dry runs)."""
    return curve.recurrent_bytes + sum(_cache_bytes(cache, context_tokens) for cache in curve.caches)


def compute_bytes(curve: MemoryCurve, context_tokens: int) -> int:
    """Upper bound of the compute buffer. Beyond the longest context of the dry runs it grows in proportion."""
    for upto_tokens, bound in curve.compute_upper:
        if context_tokens <= upto_tokens:
            return bound
    last_tokens, last_bound = curve.compute_upper[-1]
    return last_bound * -(-context_tokens // last_tokens)


def _cache_bytes(cache: Cache, context_tokens: int) -> int:
    cells = _rounded(-(-context_tokens // cache.ratio) if cache.ratio else context_tokens)
    if cache.max_cells is not None:
        cells = min(cells, cache.max_cells)
    return cells * cache.bytes_per_cell


def _rounded(cells: int) -> int:
    return -(-cells // CELL_STEP) * CELL_STEP


def _plan_of(*, weights: Term, state: Term, compute: Term, output_bytes: int) -> MemoryPlan:
    output = Term(
        name="output buffer", bytes=output_bytes, provenance=Provenance.ENGINE, how="one row of the vocabulary"
    )
    process = Term(
        name="process",
        bytes=PROCESS_BYTES,
        provenance=Provenance.ASSUMED,
        how="Python, engine and vocabulary: 42 to 57 MB measured on two models, rounded up",
    )
    return MemoryPlan(terms=(weights, state, compute, output, process))
