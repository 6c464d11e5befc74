"""Memory for what saves time: guesses ahead, and a copy of what cannot go back by itself."""

from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.catalog import loader
from deploy.catalog.model import Model
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import Rehearsed
from deploy.engine.speculate import MOST_GUESSES
from deploy.fit.fit import Workload, fit
from deploy.fit.loading import quickened, quickened_file, sparing
from deploy.fit.memory import plan_memory
from profiles.budget import budget
from tests.support.world import GB, machine

SHIPPED: Final = loader.load()
ANY_SPEED: Final = Workload(min_decode_tok_s=0)
CELL_BYTES: Final = 256 * 2 * 2
"""Gemma 3 270M: keys and values of one head of 256 numbers, two bytes each."""


def shipped(model_id: str) -> Model:
    """A model of the shipped catalogue."""
    return next(known for known in SHIPPED.models if known.id == model_id)


@pytest.mark.parametrize(
    ("model_id", "guesses", "copies"),
    [
        ("smollm2-135m-instruct", MOST_GUESSES, False),
        ("gemma-3-270m", MOST_GUESSES, True),
        ("falcon-h1-0.5b-instruct", 0, True),
    ],
    ids=["goes back", "sliding windows", "recurrent layers"],
)
def test_a_model_gets_what_helps_it(model_id: str, guesses: int, copies: bool) -> None:  # noqa: FBT001 - a parameter
    """Guesses need a memory that goes back token by token; where it does not, a copy spares the next turn."""
    plan = quickened(LoadPlan(context_tokens=8192), shipped(model_id).memory)
    assert plan.speculation_tokens == guesses
    assert bool(plan.checkpoint_bytes) == copies
    assert sparing(plan) == LoadPlan(context_tokens=8192)


def test_a_copy_has_the_size_of_the_windows() -> None:
    """15 of 18 blocks keep a window of 512 tokens and the batch of 512; a little more for what is written beside."""
    windows = 15 * CELL_BYTES * 1024
    catalogued = quickened(LoadPlan(context_tokens=8192), shipped("gemma-3-270m").memory).checkpoint_bytes
    said = Rehearsed(weights_bytes=0, state_bytes=0, compute_bytes=0, output_bytes=0, window_bytes=windows)
    asked = quickened_file(LoadPlan(context_tokens=8192), said).checkpoint_bytes
    assert windows < catalogued < 1.02 * windows
    assert windows < asked < 1.02 * windows


def test_on_a_graphics_processor_nothing_is_guessed() -> None:
    """It was measured on processors only."""
    plan = quickened(LoadPlan(context_tokens=8192, gpu_layers=-1), shipped("smollm2-135m-instruct").memory)
    assert plan.speculation_tokens == 0


@given(st.sampled_from(SHIPPED.models), st.integers(256, 131_072))
def test_all_of_it_is_counted(known: Model, context: int) -> None:
    """The rows of output, for which the compute buffer has room anyway, and the copy."""
    plain = LoadPlan(context_tokens=context)
    plan = quickened(plain, known.memory)
    more, less = (plan_memory(known, known.artifacts[0], tried).peak_bytes for tried in (plan, plain))
    rows = plan.speculation_tokens * known.memory.output_bytes
    assert more - less == rows + plan.checkpoint_bytes


@pytest.mark.parametrize("model_id", ["smollm2-135m-instruct", "gemma-3-1b-it"])
def test_nothing_is_refused_for_it(model_id: str) -> None:
    """A machine that has just enough for the model runs it without."""
    known = shipped(model_id)
    roomy = budget(machine(total_bytes=16 * GB, available_bytes=12 * GB))
    full = fit(known, known.artifacts[0], roomy, ANY_SPEED)
    assert full.plan.speculation_tokens == MOST_GUESSES
    least = plan_memory(known, known.artifacts[0], sparing(full.plan)).peak_bytes
    for bytes_, guesses in ((full.peak_bytes, MOST_GUESSES), (full.peak_bytes - 1, 0), (least, 0)):
        host = msgspec.structs.replace(roomy.host, budget_bytes=bytes_)
        tight = fit(known, known.artifacts[0], msgspec.structs.replace(roomy, pools=(host,)), ANY_SPEED)
        assert (tight.verdict, tight.plan.speculation_tokens, tight.plan.kv_type) == ("fits", guesses, "f16")
