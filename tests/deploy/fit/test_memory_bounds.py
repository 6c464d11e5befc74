"""What the catalogue keeps of the engine's dry runs, and what the engine takes without announcing it."""

from typing import Final

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from deploy.catalog import loader
from deploy.catalog.model import Model
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import Rehearsed
from deploy.fit.memory import (
    SHORT_INPUTS_BYTES,
    bound,
    compute_bytes,
    plan_memory,
    plan_memory_rehearsed,
    work_bytes,
)
from deploy.gguf.shape import Shape

SHIPPED: Final = loader.load()
CONTEXTS: Final = st.integers(256, 200_000)
MODELS: Final = st.sampled_from(SHIPPED.models)


def test_beyond_the_measured_lengths_the_bound_grows_in_proportion() -> None:
    """No dry run went there, so the last bound is taken as often as it goes into the context."""
    points = ((512, 1 << 20), (8192, 2 << 20))
    assert bound(points, 8192) == 2 << 20
    assert bound(points, 8193) == 4 << 20
    assert bound(points, 16384) == 4 << 20


def test_between_two_lengths_the_bound_is_on_the_line() -> None:
    """Contexts count in steps of 256, as the engine rounds them; shorter ones than the first take what it takes."""
    points = ((512, 1000), (1024, 3000))
    assert [bound(points, context) for context in (256, 512, 513, 768, 1024)] == [1000, 1000, 2000, 2000, 3000]


@given(MODELS, CONTEXTS)
def test_each_way_to_keep_the_context_has_its_own_bound(known: Model, context: int) -> None:
    """Without flash attention the buffer holds the attention of a batch to the whole context."""
    curve = known.memory
    plain = LoadPlan(context_tokens=context)
    for plan, points in (
        (plain, curve.compute.f16),
        (msgspec.structs.replace(plain, flash_attention=False), curve.compute.f16_without_flash),
        (msgspec.structs.replace(plain, kv_type="q8_0"), curve.compute.q8_0),
    ):
        rows_bytes = plan.reserved_rows * curve.output_bytes + SHORT_INPUTS_BYTES
        assert compute_bytes(curve, plan) == bound(points, context) + max(0, rows_bytes - points[0][1])


def test_keys_alone_as_q8_0_take_a_quarter_less() -> None:
    """32 numbers of a key are 34 bytes then instead of 64, and values stay; MLA keeps both as one, and cannot."""
    known = next(model for model in SHIPPED.models if model.id == "qwen3-0.6b")
    full = LoadPlan(context_tokens=4096, flash_attention=False)
    smaller = msgspec.structs.replace(full, kv_type="q8_0/f16")
    of_full, of_smaller = (plan_memory(known, known.artifacts[0], plan).terms[1].bytes for plan in (full, smaller))
    assert of_smaller == of_full * (34 + 64) // 128
    assert compute_bytes(known.memory, smaller) < 1.05 * compute_bytes(known.memory, full)
    one = next(model for model in SHIPPED.models if model.id == "deepseek-coder-v2-lite-instruct")
    assert one.memory.keys_q8_0 is None


def test_the_state_without_flash_attention_is_the_padded_one() -> None:
    """Gemma 4 has values of two widths: without flash attention the engine pads the window's to the wider one."""
    known = next(model for model in SHIPPED.models if model.id == "gemma-4-e2b-it")
    plans = (LoadPlan(context_tokens=4096), LoadPlan(context_tokens=4096, flash_attention=False))
    states = [plan_memory(known, known.artifacts[0], plan).terms[1].bytes for plan in plans]
    assert states == [37_748_736, 44_040_192]


def test_products_take_memory_beside_the_compute_buffer() -> None:
    """The engine does not announce it: packed inputs, and the attention of all heads without flash attention."""
    shape = Shape(tokens=1, merges=True, heads=16, widest=3072)
    flash, plain = LoadPlan(context_tokens=2000), LoadPlan(context_tokens=2000, flash_attention=False)
    assert work_bytes(shape, flash, unquantised=True) == 512 * 3072 * 2
    assert work_bytes(shape, flash, unquantised=False) < 512 * 3072 * 2
    assert work_bytes(shape, plain, unquantised=True) == 512 * 16 * 2048 * 2


def test_repacked_weights_are_counted_once_or_twice() -> None:
    """Mapped weights stay beside their repacked copy; read ones do not, but for a matrix with two uses."""
    shape = Shape(tokens=1, merges=True, heads=1, widest=1, repacked_bytes=700, repacked_twice_bytes=100)
    said = Rehearsed(weights_bytes=1000, state_bytes=0, compute_bytes=0, output_bytes=0)
    plan = LoadPlan(context_tokens=256, repack=True)
    mapped = plan_memory_rehearsed(said, plan, shape)
    read = plan_memory_rehearsed(said, msgspec.structs.replace(plan, load_mode="read"), shape)
    counts = [{term.name: term.bytes for term in memory.terms}["repacked weights"] for memory in (mapped, read)]
    assert counts == [700, 100]


def test_a_vocabulary_with_merges_takes_more() -> None:
    """The engine keeps the table of merges beside the tokens."""
    said = Rehearsed(weights_bytes=0, state_bytes=0, compute_bytes=0, output_bytes=0)
    plan = LoadPlan(context_tokens=256)
    shapes = [Shape(tokens=100_000, merges=merges, heads=1, widest=1) for merges in (False, True)]
    without, with_merges = (plan_memory_rehearsed(said, plan, shape).peak_bytes for shape in shapes)
    assert with_merges - without > 10_000_000


def test_rows_that_are_larger_than_the_blocks_are_counted() -> None:
    """A small model with a huge vocabulary needs the compute buffer for its rows of output."""
    curve = SHIPPED.models[0].memory
    plan = LoadPlan(context_tokens=512)
    small = compute_bytes(curve, plan)
    huge = msgspec.structs.replace(curve, output_bytes=small)
    assert compute_bytes(huge, plan) >= plan.reserved_rows * small
