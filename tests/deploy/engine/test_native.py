"""What native code is given: a switch that it reads by itself, and a log that nobody sees."""

import ctypes

import pytest

from deploy.engine.native import Log, StopFlag
from deploy.engine.protocol import LoadPlan

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
    assert params.swa_full is False
