"""What a model takes: terms that add up, and KV caches of the size that arithmetic gives."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.catalog import loader
from deploy.catalog.model import Cache, Model, StateCurve
from deploy.engine.load_plan import KvType, LoadPlan
from deploy.engine.protocol import Rehearsed
from deploy.fit.memory import plan_memory, plan_memory_rehearsed, state_bytes
from profiles.machine import Provenance
from tests.support.world import artifact, model, sized

SHIPPED = loader.load()
CONTEXTS = st.integers(256, 200_000)
MODELS = st.sampled_from(SHIPPED.models)


def shipped(model_id: str) -> Model:
    """A model of the shipped catalogue."""
    return next(known for known in SHIPPED.models if known.id == model_id)


def compute_term(known: Model, context: int) -> int:
    """The compute buffer in the plan of a model."""
    memory = plan_memory(known, known.artifacts[0], LoadPlan(context_tokens=context))
    return next(term.bytes for term in memory.terms if term.name == "compute buffer")


@pytest.mark.parametrize(
    ("context", "f16", "q8_0"),
    [
        # 30 blocks, 3 KV heads of 64, keys and values: f16 takes 2 bytes an element, q8_0 34 bytes for 32 of them
        (8192, 30 * 3 * 64 * 2 * 2 * 8192, 30 * 3 * 64 * 2 * 34 // 32 * 8192),
        (4096, 30 * 3 * 64 * 2 * 2 * 4096, 30 * 3 * 64 * 2 * 34 // 32 * 4096),
        (1000, 30 * 3 * 64 * 2 * 2 * 1024, 30 * 3 * 64 * 2 * 34 // 32 * 1024),
    ],
)
def test_the_cache_of_smollm2_is_what_its_shape_gives(context: int, f16: int, q8_0: int) -> None:
    """Computed by hand from blocks, heads and widths, with cells in steps of 256."""
    curve = shipped("smollm2-135m-instruct").memory
    assert state_bytes(curve.f16, context) == f16
    assert state_bytes(curve.q8_0, context) == q8_0


def test_sliding_windows_stop_growing() -> None:
    """Gemma 3 270M: 3 of 18 blocks see everything, 15 a window of 512 and the batch of 512; one KV head of 256."""
    curve = shipped("gemma-3-270m").memory.f16
    cell = 256 * 2 * 2
    assert state_bytes(curve, 8192) == 3 * cell * 8192 + 15 * cell * 1024
    assert state_bytes(curve, 32768) - state_bytes(curve, 8192) == 3 * cell * (32768 - 8192)


def test_compressed_and_recurrent_state_is_counted() -> None:
    """A cache with a ratio has that many fewer cells; recurrent state is the same at every length."""
    curve = StateCurve(caches=(Cache(10, ratio=4), Cache(1, max_cells=512)), recurrent_bytes=7)
    assert state_bytes(curve, 4096) == 10 * 1024 + 512 + 7
    assert state_bytes(curve, 8192) == 10 * 2048 + 512 + 7


@given(MODELS, CONTEXTS, st.sampled_from(["f16", "q8_0/f16", "q8_0"]))
def test_the_terms_add_up(known: Model, context: int, kv_type: KvType) -> None:
    """The peak is their sum, and what cannot be given back is the peak without the mapped weights."""
    plan = LoadPlan(context_tokens=context, kv_type=kv_type, flash_attention=kv_type != "q8_0/f16")
    memory = plan_memory(known, known.artifacts[0], plan)
    terms = {term.name: term.bytes for term in memory.terms}
    assert len(terms) == len(memory.terms)
    assert all(count >= 0 for count in terms.values())
    assert memory.peak_bytes == sum(terms.values())
    assert memory.hard_bytes == memory.peak_bytes - terms["weights"]
    assert terms["weights"] == known.artifacts[0].size_bytes


@given(MODELS, CONTEXTS, CONTEXTS)
def test_more_context_never_takes_less(known: Model, one: int, other: int) -> None:
    """For every model of the catalogue, beyond the measured lengths too."""
    shorter, longer = sorted((one, other))
    assert state_bytes(known.memory.f16, shorter) <= state_bytes(known.memory.f16, longer)
    assert state_bytes(known.memory.q8_0, shorter) <= state_bytes(known.memory.q8_0, longer)
    assert compute_term(known, shorter) <= compute_term(known, longer)


@given(MODELS, CONTEXTS)
def test_a_q8_0_cache_never_takes_more(known: Model, context: int) -> None:
    """Or falling back to it would be no help."""
    assert state_bytes(known.memory.q8_0, context) <= state_bytes(known.memory.f16, context)


def test_read_weights_cannot_be_given_back() -> None:
    """Only mapped weights are page cache."""
    known = model("m", sized("Q4_0", 1000))
    memory = plan_memory(known, known.artifacts[0], LoadPlan(context_tokens=256, load_mode="read"))
    assert memory.hard_bytes == memory.peak_bytes


def test_a_rounded_size_is_marked_estimated() -> None:
    """The whole plan is only as good as the weakest of its large terms."""
    form = sized("Q4_0", 10**9)
    rounded = msgspec.structs.replace(form, files=(msgspec.structs.replace(form.files[0], size_exact=False),))
    plan = LoadPlan(context_tokens=256)
    for tried, origin in ((form, Provenance.CATALOGUE), (rounded, Provenance.ESTIMATED)):
        weights = plan_memory(model("m", tried), tried, plan).terms[0]
        assert weights.provenance is origin
    assert plan_memory(model("m", rounded), rounded, plan).provenance.mark == "~"


def test_a_rehearsed_plan_has_the_engines_figures() -> None:
    """Every term but the process and its products is what the engine said."""
    said = Rehearsed(weights_bytes=1000, state_bytes=200, compute_bytes=30, output_bytes=4)
    memory = plan_memory_rehearsed(said, LoadPlan(context_tokens=256))
    terms = {term.name: (term.bytes, term.provenance) for term in memory.terms}
    assert {terms.pop(name)[1] for name in ("process", "work buffer")} == {Provenance.ESTIMATED}
    assert [count for count, _ in terms.values()] == [1000, 200, 30, 4]
    assert {origin for _, origin in terms.values()} == {Provenance.ENGINE}


def test_every_term_says_where_it_comes_from() -> None:
    """A figure without an origin is no figure."""
    known = model("m", artifact("Q4_0"))
    assert all(term.how for term in plan_memory(known, known.artifacts[0], LoadPlan(context_tokens=256)).terms)
