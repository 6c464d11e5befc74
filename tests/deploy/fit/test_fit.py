"""One model on one machine: what is admitted, and with which words."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.catalog import loader
from deploy.catalog.model import Model
from deploy.fit.fit import Workload, fit, load_plan
from deploy.fit.loading import sparing
from deploy.fit.memory import plan_memory
from deploy.fit.placement import HOST_SHARE_PERCENT, room_bytes
from deploy.quantities import gigabytes
from profiles.budget import Budget, Pool, budget
from profiles.machine import Fact, Provenance
from tests.support.world import GB, blind_machine, machine, model, sized

MODELS = st.sampled_from(loader.load().models)
MEMORY = st.integers(10**8, 200 * GB)
ANY_SPEED = Workload(min_decode_tok_s=0)


def on(available_bytes: int, cores: int = 4) -> Budget:
    """The budget of a machine with so much memory free."""
    return budget(machine(total_bytes=max(available_bytes, 16 * GB), available_bytes=available_bytes, cores=cores))


@given(MODELS, MEMORY)
def test_what_fits_takes_no_more_than_its_room(known: Model, available_bytes: int) -> None:
    """The verdict and the figures agree, both ways."""
    found = fit(known, known.artifacts[0], on(available_bytes), ANY_SPEED)
    assert (found.verdict == "too-large") == (found.peak_bytes > found.room_bytes)
    assert found.peak_bytes == found.memory.peak_bytes
    assert found.hard_bytes <= found.peak_bytes


@given(MODELS, MEMORY, MEMORY)
def test_less_memory_never_admits_more(known: Model, one: int, other: int) -> None:
    """What is too large for the larger budget is too large for the smaller one."""
    less, more = sorted((one, other))
    verdicts = {fit(known, known.artifacts[0], on(size), ANY_SPEED).verdict for size in (less,)}
    if fit(known, known.artifacts[0], on(more), ANY_SPEED).verdict == "too-large":
        assert verdicts == {"too-large"}


@given(MODELS, st.integers(256, 65536), st.integers(256, 65536))
def test_a_shorter_context_never_takes_more(known: Model, one: int, other: int) -> None:
    """On the same machine and with the same cache, the plan for less context is not the larger one."""
    shorter, longer = (
        fit(known, known.artifacts[0], on(200 * GB), Workload(context_tokens=tokens, min_decode_tok_s=0))
        for tokens in sorted((one, other))
    )
    assert shorter.plan.kv_type == longer.plan.kv_type == "f16" or longer.verdict == "too-large"
    assert shorter.peak_bytes <= longer.peak_bytes


def test_a_q8_0_cache_is_taken_where_only_that_fits() -> None:
    """Full precision where there is room, half of it where that makes the difference, and the words say so."""
    known = model("m", sized("Q4_0", GB))
    full = fit(known, known.artifacts[0], on(16 * GB), Workload())
    roomy = on(16 * GB)
    least = plan_memory(known, known.artifacts[0], sparing(full.plan)).peak_bytes
    host = msgspec.structs.replace(roomy.host, budget_bytes=least - 1)
    tight = fit(known, known.artifacts[0], msgspec.structs.replace(roomy, pools=(host,)), Workload())
    assert (full.verdict, full.plan.kv_type) == ("fits", "f16")
    assert (tight.verdict, tight.plan.kv_type) == ("fits", "q8_0")
    assert "q8_0 cache" in tight.reason
    assert "q8_0" not in full.reason


def test_what_does_not_fit_either_way_is_reported_with_the_full_cache() -> None:
    """The refusal shows the plan that was wanted."""
    known = model("m", sized("Q4_0", 30 * GB))
    found = fit(known, known.artifacts[0], on(8 * GB), Workload())
    assert (found.verdict, found.plan.kv_type) == ("too-large", "f16")
    assert gigabytes(found.peak_bytes) in found.reason
    assert gigabytes(found.room_bytes) in found.reason


def test_slow_is_refused_with_both_speeds() -> None:
    """What it would do and what was asked for."""
    known = model("m", sized("Q8_0", 9 * GB), parameters=9 * GB)
    found = fit(known, known.artifacts[0], on(64 * GB, cores=1), Workload(min_decode_tok_s=6))
    assert found.verdict == "too-slow"
    assert f"{found.speed.decode_tok_s.known:.1f}" in found.reason
    assert "6 tok/s are asked for" in found.reason
    assert fit(known, known.artifacts[0], on(64 * GB, cores=1), Workload(min_decode_tok_s=0.1)).verdict == "fits"


@pytest.mark.parametrize(("chat", "verdict"), [(True, "fits"), (None, "fits"), (False, "not-for-chat")])
def test_only_a_model_known_not_to_chat_is_refused_for_it(chat: bool | None, verdict: str) -> None:  # noqa: FBT001
    """Not knowing is no refusal."""
    known = model("m", sized("Q4_0", GB), chat=chat)
    assert fit(known, known.artifacts[0], on(16 * GB), Workload()).verdict == verdict


def test_the_context_is_never_longer_than_the_model_was_trained_for() -> None:
    """Asking for more does not make it so."""
    known = model("m", sized("Q4_0", GB), context_tokens=2048)
    assert fit(known, known.artifacts[0], on(16 * GB), Workload(context_tokens=8192)).plan.context_tokens == 2048


def test_nothing_fits_where_nothing_is_known() -> None:
    """Unknown memory is not taken for enough."""
    known = model("m", sized("Q4_0", 10**6))
    assert fit(known, known.artifacts[0], budget(blind_machine()), ANY_SPEED).verdict == "too-large"


def test_an_empty_machine_is_not_filled() -> None:
    """Other programs come and go: a share stays free however much is available."""
    pool = on(16 * GB).host
    assert room_bytes(msgspec.structs.replace(pool, budget_bytes=16 * GB)) == 16 * GB * HOST_SHARE_PERCENT // 100


def accelerator(free_bytes: int) -> Pool:
    """A device's memory beside the host's."""
    return Pool(
        name="Test GPU",
        kind="accelerator",
        device=0,
        total_bytes=Fact(24 * GB, "the test"),
        free_bytes=Fact(free_bytes, "the test"),
        free_reason="It is free.",
        subtractions=(),
        budget_bytes=free_bytes,
    )


@pytest.mark.parametrize(("free_gb", "pool", "layers"), [(20, "Test GPU", -1), (1, "host memory", 0)])
def test_the_fast_memory_is_taken_where_it_holds_the_model(free_gb: int, pool: str, layers: int) -> None:
    """All layers there, or none: and the host where the device is too small."""
    host = on(16 * GB)
    both = msgspec.structs.replace(host, pools=(host.host, accelerator(free_gb * GB)))
    known = model("m", sized("Q4_0", 4 * GB))
    found = fit(known, known.artifacts[0], both, ANY_SPEED)
    assert (found.verdict, found.pool, found.plan.gpu_layers) == ("fits", pool, layers)


def test_a_plan_uses_the_threads_of_the_budget() -> None:
    """One for each core that may be used; weights mapped and not copied."""
    found = on(16 * GB, cores=3)
    plan = load_plan(1024, found.host, found)
    assert (plan.threads, plan.load_mode, plan.repack) == (3, "mmap", False)


@given(st.integers(10**7, 10**10), st.integers(10**7, 10**10))
def test_more_weights_are_never_faster(one: int, other: int) -> None:
    """Every token reads them all."""
    light, heavy = (model("m", sized("Q8_0", size), parameters=size) for size in sorted((one, other)))
    speeds = [fit(known, known.artifacts[0], on(200 * GB), ANY_SPEED).speed for known in (light, heavy)]
    fast, slow = (speed.decode_tok_s.known or 0 for speed in speeds)
    assert fast >= slow


def test_speeds_are_marked_as_estimates_where_nothing_was_measured() -> None:
    """Nobody is told that they were."""
    known = model("m", sized("Q4_0", GB))
    speed = fit(known, known.artifacts[0], on(16 * GB), ANY_SPEED).speed
    for fact in (speed.decode_tok_s, speed.prefill_tok_s):
        assert fact.provenance is Provenance.ESTIMATED
        assert "4 threads" in fact.source
