"""What the forecast promises: honest marks, ranges, and the right reaction to depth, load and settings."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.catalog.model import Artifact, CataloguedFile
from deploy.fit.demand import demand_of
from deploy.fit.loading import turn_s, ways
from deploy.fit.speed import Conditions, best_threads, forecast
from profiles.machine import Provenance
from tests.support.pace import HOST, MODELS, PLAN, calibration, demand
from tests.support.world import GB

CALIBRATED = Conditions(calibration=calibration())


@given(st.sampled_from(sorted(MODELS)))
def test_a_token_reads_no_more_than_the_file(model_id: str) -> None:
    """Of experts only those that are used, of an embedding that is no output matrix nothing."""
    model = MODELS[model_id]
    for form in model.artifacts:
        found = demand_of(model, form)
        assert 0 < found.bytes <= 1.15 * form.size_bytes
        if model.parameters_active < model.parameters_total / 3:
            assert found.bytes < 0.6 * form.size_bytes


def test_a_mixture_of_experts_is_as_fast_as_what_it_uses() -> None:
    """30 billion parameters of which 3 are used are faster than 8 that all are."""
    mixture, dense = (
        forecast(demand(name), HOST, 2, PLAN, CALIBRATED).decode_tok_s.known or 0
        for name in ("qwen3-30b-a3b", "qwen3-8b")
    )
    assert mixture > 1.2 * dense


def test_only_a_calibrated_machine_gives_measured_figures() -> None:
    """The marks tell, and the range of an estimate is the wider one."""
    known, guessed = (forecast(demand("qwen3-8b"), HOST, 2, PLAN, it) for it in (CALIBRATED, Conditions()))
    assert known.decode_tok_s.provenance is known.prefill_tok_s.provenance is Provenance.MEASURED
    assert guessed.decode_tok_s.provenance is guessed.prefill_tok_s.provenance is Provenance.ESTIMATED
    for speed in (known, guessed):
        assert speed.decode_range.least < (speed.decode_tok_s.known or 0) < speed.decode_range.most
        assert speed.prefill_range.least < (speed.prefill_tok_s.known or 0) < speed.prefill_range.most
    assert guessed.decode_range.most / guessed.decode_range.least > known.decode_range.most / known.decode_range.least


@given(st.sampled_from(sorted(MODELS)), st.integers(512, 65536), st.integers(512, 65536))
def test_more_context_is_never_faster(model_id: str, one: int, other: int) -> None:
    """What is in memory has to be attended to."""
    known = demand_of(MODELS[model_id], MODELS[model_id].artifacts[0])
    short, long_ = (
        forecast(known, HOST, 2, msgspec.structs.replace(PLAN, context_tokens=tokens), CALIBRATED)
        for tokens in sorted((one, other))
    )
    assert (short.decode_tok_s.known or 0) >= (long_.decode_tok_s.known or 0)
    assert (long_.decode_empty_tok_s.known or 0) >= (long_.decode_tok_s.known or 0)


def test_a_sliding_window_costs_less_than_a_full_context() -> None:
    """Gemma 3 attends to a window in most layers: writing hardly slows down."""
    far = msgspec.structs.replace(PLAN, context_tokens=32768)
    lost = {}
    for name in ("gemma-3-1b-it", "llama-3.2-1b-instruct"):
        speed = forecast(demand(name), HOST, 2, far, CALIBRATED)
        lost[name] = (speed.decode_empty_tok_s.known or 0) / (speed.decode_tok_s.known or 1)
    assert lost["gemma-3-1b-it"] < 0.8 * lost["llama-3.2-1b-instruct"]


def test_beside_another_program_one_thread_is_chosen() -> None:
    """Two threads on one free core wait for each other; on a quiet machine both are used."""
    quiet, busy = (
        best_threads(demand("qwen3-1.7b"), HOST, 2, PLAN, msgspec.structs.replace(CALIBRATED, busy_cores=cores))
        for cores in (0.1, 1.0)
    )
    assert (quiet, busy) == (2, 1)


@pytest.mark.parametrize(
    "conditions", [Conditions(busy_cores=1.0), Conditions(calibration=calibration(), busy_cores=2)]
)
def test_a_busy_machine_is_never_promised_more(conditions: Conditions) -> None:
    """What others take is not there."""
    known = demand("qwen3-1.7b")
    quiet = forecast(known, HOST, 2, PLAN, msgspec.structs.replace(conditions, busy_cores=0.0))
    busy = forecast(known, HOST, 2, PLAN, conditions)
    assert (busy.decode_tok_s.known or 0) < (quiet.decode_tok_s.known or 0)


def test_flash_attention_is_left_out_where_it_was_measured_to_be_slower() -> None:
    """The calibration has it four times as slow; without one nothing is known, and it stays on.

    Where answers must be repeatable there is a way without it all the same.
    """
    known = demand("qwen3-1.7b")
    plain, without, *_ = ways(PLAN, known, HOST, 2, CALIBRATED)
    assert (plain.flash_attention, without.flash_attention) == (True, False)
    assert [way.flash_attention for way in ways(PLAN, known, HOST, 2, Conditions())] == [True]
    repeatable = Conditions(repeatable=True)
    assert [way.flash_attention for way in ways(PLAN, known, HOST, 2, repeatable)] == [True, False]
    smaller = msgspec.structs.replace(PLAN, kv_type="q8_0")
    assert [way.flash_attention for way in ways(smaller, known, HOST, 2, CALIBRATED)] == [True]


@pytest.mark.parametrize(("model_id", "apart"), [("qwen3-0.6b", True), ("deepseek-coder-v2-lite-instruct", False)])
@pytest.mark.parametrize(("conditions", "known"), [(CALIBRATED, True), (Conditions(), False)])
def test_without_flash_attention_keys_are_kept_as_q8_0_where_the_engine_can(
    model_id: str, *, apart: bool, conditions: Conditions, known: bool
) -> None:
    """That way is quicker than the one with f16 keys; the engine refuses it where keys and values are one."""
    found = list(ways(PLAN, demand(model_id), HOST, 2, conditions))
    smaller = [way for way in found if way.kv_type == "q8_0/f16"]
    assert bool(smaller) is (apart and known)
    for way in smaller:
        full = msgspec.structs.replace(way, kv_type="f16")
        assert not way.flash_attention
        assert full in found
        assert turn_s(way, demand(model_id), HOST, 2, conditions) < turn_s(full, demand(model_id), HOST, 2, conditions)


@pytest.mark.parametrize(("gain", "repacked"), [(1.0, False), (1.5, True)])
def test_weights_are_repacked_only_where_that_is_worth_it(gain: float, *, repacked: bool) -> None:
    """They are read then, so that they stand in memory once."""
    conditions = Conditions(calibration=calibration(repack_gain=gain))
    found = list(ways(PLAN, demand("qwen3-1.7b"), HOST, 2, conditions))
    assert any(way.repack for way in found) is repacked
    assert all(way.load_mode == "read" for way in found if way.repack)


def test_how_a_model_ran_corrects_its_next_forecast_alone() -> None:
    """The others stay as they were forecast."""
    corrected = msgspec.structs.replace(CALIBRATED, corrections={"qwen3-8b": 0.8})
    for name, factor in (("qwen3-8b", 0.8), ("qwen3-1.7b", 1.0)):
        before, after = (forecast(demand(name), HOST, 2, PLAN, it).decode_tok_s for it in (CALIBRATED, corrected))
        assert after.known == pytest.approx((before.known or 0) * factor, abs=0.06)
        assert ("as it ran here" in after.source) is (factor != 1.0)


def test_a_model_whose_matrices_are_not_listed_still_has_a_forecast() -> None:
    """An older catalogue says only how many parameters are active."""
    model = msgspec.structs.replace(MODELS["qwen3-30b-a3b"], work=None)
    file = CataloguedFile(name="m.gguf", size_bytes=18 * GB, size_exact=True)
    found = demand_of(model, Artifact(quant="Q4_K_M", publisher="p", files=(file,)))
    assert 1 * GB < found.bytes < 3 * GB
    assert forecast(found, HOST, 2, PLAN, CALIBRATED).decode_tok_s.known
