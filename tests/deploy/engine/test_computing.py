"""A step that was interrupted is begun anew, with memory as it was before; a stop ends it."""

from collections.abc import Callable, Iterator

import llama_cpp.llama_cpp as native
import pytest

from deploy.engine.computing import ABORTED, Computing
from deploy.engine.load_plan import LoadPlan
from deploy.engine.native import StopFlag

pytestmark = pytest.mark.engine


def decoding(monkeypatch: pytest.MonkeyPatch, steps: Iterator[Callable[[], int]]) -> None:
    """Have the engine's steps end so."""
    monkeypatch.setattr(native, "llama_decode", lambda _pointer, _batch: next(steps)())


@pytest.fixture
def stop() -> StopFlag:
    """The switch."""
    return StopFlag()


@pytest.fixture
def threads(stop: StopFlag) -> Computing:
    """One thread: what is computed is never interrupted but by the test."""
    return Computing(None, LoadPlan(context_tokens=256, threads=1), stop)


def test_it_is_begun_anew(monkeypatch: pytest.MonkeyPatch, stop: StopFlag, threads: Computing) -> None:
    """And nobody above sees that."""

    def stuck() -> int:
        stop.interrupt()
        return ABORTED

    undone: list[str] = []
    decoding(monkeypatch, iter([stuck, stuck, lambda: 0]))
    assert threads.decode(None, 1, lambda: undone.append("once")) == 0
    assert undone == ["once", "once"]
    assert not stop.raised


def test_a_stop_ends_it(monkeypatch: pytest.MonkeyPatch, stop: StopFlag, threads: Computing) -> None:
    """Also one that comes with an interruption."""

    def stopped() -> int:
        stop.interrupt()
        stop.raise_()
        return ABORTED

    decoding(monkeypatch, iter([stopped]))
    assert threads.decode(None, 1, pytest.fail) == ABORTED
    assert stop.raised


def test_an_interruption_that_comes_too_late_does_nothing(
    monkeypatch: pytest.MonkeyPatch, stop: StopFlag, threads: Computing
) -> None:
    """The step had ended, and the next one runs."""

    def ended() -> int:
        stop.interrupt()
        return 0

    decoding(monkeypatch, iter([ended]))
    assert threads.decode(None, 1, pytest.fail) == 0
    assert not stop.resume()
