"""Placing a model on several memories: nothing is lost, nothing is overfilled, and the engine gets what was planned."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.catalog import loader
from deploy.catalog.model import Model
from deploy.fit.fit import Fit, Workload, fit
from deploy.fit.placement import ALL_LAYERS, placements, shape_of, share_percent
from profiles.budget import Budget, budget
from profiles.machine import Provenance
from profiles.simulated import list_machines, load_machine

SHIPPED = {known.id: known for known in loader.load().models}
MACHINES = {name: budget(load_machine(name)) for name in list_machines()}
CHATTING = [known for known in SHIPPED.values() if known.capabilities.chat is not False]
ANY_SPEED = Workload(min_decode_tok_s=0)


def best(model_id: str, quant: str, machine: str) -> Fit:
    """One form on one reference machine."""
    known = SHIPPED[model_id]
    return fit(known, next(form for form in known.artifacts if form.quant == quant), MACHINES[machine], ANY_SPEED)


@settings(deadline=None)
@given(st.sampled_from(CHATTING), st.sampled_from(sorted(MACHINES)), st.sampled_from([2048, 8192, 32768]))
def test_no_memory_is_filled_beyond_its_room(known: Model, machine: str, context: int) -> None:
    """Each by itself: never above its budget, nor above its share of the whole."""
    here = MACHINES[machine]
    found = fit(known, known.artifacts[-1], here, Workload(context_tokens=context, min_decode_tok_s=0))
    if found.verdict != "fits":
        return
    for use in found.pools:
        pool = next(pool for pool in here.pools if use.name.startswith(pool.name))
        assert use.hard_bytes <= use.peak_bytes <= use.room_bytes <= pool.budget_bytes
        assert use.peak_bytes <= (pool.total_bytes.known or 0) * share_percent(pool) // 100
    assert sum(use.peak_bytes for use in found.pools) == found.peak_bytes


@settings(deadline=None)
@given(st.sampled_from(CHATTING), st.sampled_from(sorted(MACHINES)))
def test_nothing_of_a_model_is_left_out(known: Model, machine: str) -> None:
    """In every placement the weights, the context and what a token passes add up to the whole, or to more."""
    for series in placements(known, known.artifacts[0], MACHINES[machine]):
        for placement in series:
            assert sum(share.common for share in placement.shares) == pytest.approx(1)
            assert sum(share.experts for share in placement.shares) == pytest.approx(1)
            assert sum(share.weights for share in placement.shares) >= 0.97
            assert sum(share.state for share in placement.shares) >= 0.99


@settings(deadline=None)
@given(st.sampled_from(CHATTING), st.sampled_from(sorted(MACHINES)))
def test_the_engine_is_told_what_was_planned(known: Model, machine: str) -> None:
    """Layers that are split over devices are as many as are offloaded; experts stay behind only where there are any."""
    units = shape_of(known).units
    for series in placements(known, known.artifacts[0], MACHINES[machine]):
        for placement in series:
            offloaded = units if placement.gpu_layers == ALL_LAYERS else placement.gpu_layers
            assert 0 <= offloaded <= units
            if len(placement.shares) > 2:
                assert sum(placement.tensor_split) == offloaded
            assert 0 <= placement.experts_on_host <= known.layers
            assert not placement.experts_on_host or known.expert_parameters


def test_layers_are_split_over_two_devices_where_one_is_too_small() -> None:
    """70B in five bits on two cards of 24 GB."""
    found = best("llama-3.3-70b-instruct", "Q3_K_M", "desktop-2x-rtx-3090")
    assert found.verdict == "fits"
    assert found.pool == "2 x NVIDIA GeForce RTX 3090"
    assert found.plan.gpu_layers == ALL_LAYERS
    assert found.plan.tensor_split == (41.0, 40.0)
    assert [use.name for use in found.pools[:2]] == ["NVIDIA GeForce RTX 3090 (0)", "NVIDIA GeForce RTX 3090 (1)"]


def test_experts_stay_in_host_memory_where_the_device_is_too_small() -> None:
    """Attention on the card, experts in RAM: faster than all in RAM, and the words name both."""
    found = best("gpt-oss-120b", "MXFP4", "desktop-rtx-4090-24gb")
    assert found.verdict == "fits"
    assert found.plan.gpu_layers == ALL_LAYERS
    assert found.plan.experts_on_host > 0
    assert found.pool == "NVIDIA GeForce RTX 4090 and host memory"
    alone = msgspec.structs.replace(MACHINES["desktop-rtx-4090-24gb"], pools=(MACHINES["desktop-rtx-4090-24gb"].host,))
    known = SHIPPED["gpt-oss-120b"]
    in_ram = fit(known, known.artifacts[0], alone, ANY_SPEED)
    assert (found.speed.decode_tok_s.known or 0) > 1.2 * (in_ram.speed.decode_tok_s.known or 0)


def test_a_dense_model_is_offloaded_in_part() -> None:
    """Some layers on the card, the rest in RAM, each with its part of the context."""
    found = best("qwen3-32b", "Q4_K_M", "desktop-rtx-3060-12gb")
    assert found.verdict == "fits"
    assert 1 < found.plan.gpu_layers <= SHIPPED["qwen3-32b"].layers
    contexts = [term for term in found.memory.terms if term.name == "context"]
    assert len({term.pool for term in contexts}) == 2
    assert all(term.provenance is Provenance.ESTIMATED for term in contexts)


def test_what_fits_one_device_stays_there() -> None:
    """A second one would only be passed through; the engine is told to leave it alone."""
    found = best("qwen3-8b", "Q4_K_M", "desktop-2x-rtx-3090")
    assert found.plan.tensor_split == (1.0, 0.0)
    assert [use.name for use in found.pools] == ["NVIDIA GeForce RTX 3090 (0)", "host memory"]


@pytest.mark.parametrize("machine", ["macbook-air-m4-16gb", "strix-halo-128gb"])
def test_shared_memory_is_counted_once(machine: str) -> None:
    """Where the device works in the host's memory everything stands there once."""
    found = best("qwen3-4b", "Q4_K_M", machine)
    here: Budget = MACHINES[machine]
    assert len(found.pools) == 1
    assert found.pool == next(pool.name for pool in here.pools if pool.shared_bytes)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(CHATTING), st.sampled_from(["desktop-rtx-3060-12gb", "desktop-2x-rtx-3090", "server-l4-24gb"]))
def test_a_device_never_makes_it_slower(known: Model, machine: str) -> None:
    """Host memory alone is one of the ways that are tried."""
    here = MACHINES[machine]
    alone = msgspec.structs.replace(here, pools=(here.host,))
    form = known.artifacts[-1]
    with_device, without = fit(known, form, here, ANY_SPEED), fit(known, form, alone, ANY_SPEED)
    assert with_device.verdict == "fits" or without.verdict != "fits"
