"""What native code is given: a switch that it reads by itself, and a log that nobody sees."""

import ctypes
import re

import pytest

from deploy.engine.load_plan import LoadPlan
from deploy.engine.native import Log, StopFlag, _model_params

pytestmark = pytest.mark.engine


def asked(flag: StopFlag) -> bool:
    """What ggml gets when it asks, through the very pointers that it is given."""
    return bool(ctypes.cast(flag.callback, ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p))(flag.data))


def test_native_code_sees_the_flag() -> None:
    """Raised and lowered from Python, read without it."""
    flag = StopFlag()
    assert (asked(flag), flag.raised) == (False, False)
    flag.raise_()
    assert (asked(flag), flag.raised) == (True, True)
    flag.lower()
    assert (asked(flag), flag.raised) == (False, False)


def test_an_interruption_is_no_stop() -> None:
    """What is computed ends as well, and runs again; a stop is not taken back by it, nor does it come from it."""
    flag = StopFlag()
    flag.interrupt()
    assert (asked(flag), flag.raised) == (True, False)
    assert (flag.resume(), asked(flag)) == (True, False)
    assert not flag.resume()
    flag.raise_()
    flag.interrupt()
    assert (flag.resume(), flag.raised, asked(flag)) == (False, True, True)


def test_the_cause_is_the_last_complaint() -> None:
    """Notes of lower levels and empty lines are no cause."""
    log = Log.__new__(Log)
    log.lines = [(3, "first"), (4, "last"), (4, ""), (2, "a note")]
    assert log.cause() == "last"
    log.lines = [(2, "a note")]
    assert log.cause() == "no reason was given"


def test_sizes_of_all_buffers_are_added() -> None:
    """A model in several buffers has one figure."""
    log = Log.__new__(Log)
    log.lines = [(2, "CPU compute buffer size =  1.50 MiB"), (2, "X compute buffer size = 0.25 MiB"), (2, "other 9")]
    assert log.mebibytes(r"compute buffer size = +([\d.]+) MiB") == int(1.75 * (1 << 20))


def test_a_plan_is_obeyed_to_the_letter() -> None:
    """Context parameters are those of the plan, and the batch never exceeds the context."""
    from deploy.engine.native import context_params

    plan = LoadPlan(context_tokens=300, threads=3, kv_type="q8_0", flash_attention=True)
    params = context_params(plan)
    assert (params.n_ctx, params.n_batch, params.n_threads, params.type_k) == (300, 300, 3, 8)
    assert (params.n_ubatch, params.n_threads_batch, params.type_v, params.flash_attn_type) == (300, 3, 8, 1)
    assert (params.swa_full, params.n_outputs_max) == (False, 16)
    keys = context_params(LoadPlan(context_tokens=300, kv_type="q8_0/f16", flash_attention=False))
    assert (keys.type_k, keys.type_v, keys.flash_attn_type) == (8, 1, 0)
    other = context_params(LoadPlan(context_tokens=4096, batch_tokens=256, flash_attention=False, speculation_tokens=7))
    assert (other.n_batch, other.flash_attn_type, other.type_k, other.n_outputs_max) == (256, 0, 1, 16)


def test_weights_are_loaded_as_planned() -> None:
    """Layers, mapping and repacking; a rehearsal allocates nothing."""
    from deploy.engine.native import _model_params

    mapped = _model_params(LoadPlan(context_tokens=1, gpu_layers=3), rehearsal=False)
    read = _model_params(LoadPlan(context_tokens=1, load_mode="read", repack=True), rehearsal=False)
    assert (mapped.n_gpu_layers, mapped.use_extra_bufts, mapped.no_alloc) == (3, False, False)
    assert (read.n_gpu_layers, read.use_extra_bufts) == (0, True)
    assert mapped.load_mode != read.load_mode
    assert _model_params(LoadPlan(context_tokens=1), rehearsal=True).no_alloc


def test_a_placement_reaches_the_engine() -> None:
    """Shares of the devices, and a pattern that keeps the experts of the first layers in host memory."""
    plan = LoadPlan(context_tokens=256, gpu_layers=-1, tensor_split=(3.0, 1.0), experts_on_host=2)
    params = _model_params(plan, rehearsal=True)
    assert [params.tensor_split[index] for index in range(3)] == [3.0, 1.0, 0.0]
    pattern = params.kept[0].pattern.decode()
    assert re.fullmatch(pattern, "blk.1.ffn_up_exps")
    assert not re.fullmatch(pattern, "blk.2.ffn_up_exps")
    assert not re.fullmatch(pattern, "blk.1.ffn_up")
    assert params.kept[1].pattern is None
