"""The fake engine keeps the promises of the real one, so that what is tested with it holds."""

from pathlib import Path

import pytest

from deploy.engine.base import Engine, Session
from deploy.engine.fake import FakeEngine
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import ChatMessage, Done, Generate, Reading, Text
from deploy.errors import EngineFailed

PLAN = LoadPlan(context_tokens=256)
HELLO = Generate(messages=(ChatMessage("user", "hello there"),))


def opened(engine: Engine) -> Session:
    """A session of an engine, seen as the seam sees it."""
    fractions: list[float] = []
    session = engine.open([Path("x.gguf")], PLAN, fractions.append)
    assert fractions[-1] == 1.0
    return session


def test_an_answer_ends_with_done() -> None:
    """Reading first, then the words, then Done with figures that fit."""
    events = list(opened(FakeEngine("one two three")).generate(HELLO))
    assert isinstance(events[0], Reading)
    assert "".join(event.text for event in events if isinstance(event, Text)) == "one two three"
    assert isinstance(events[-1], Done)
    assert events[-1].reason == "stop"
    assert events[-1].stats.answer_tokens == 3


def test_cancel_stops_before_the_next_word() -> None:
    """The last event is still Done, and says so."""
    session = opened(FakeEngine("one two three"))
    answer = session.generate(HELLO)
    heard = [next(answer), next(answer)]
    session.cancel()
    heard += answer
    assert [event.text for event in heard if isinstance(event, Text)] == ["one"]
    assert isinstance(heard[-1], Done)
    assert heard[-1].reason == "cancelled"


def test_it_dies_once_where_it_is_told() -> None:
    """A crash in mid-answer, after which a new session answers."""
    engine = FakeEngine("one two three", dies_after=2)
    with pytest.raises(EngineFailed, match="SIGKILL"):
        list(opened(engine).generate(HELLO))
    assert isinstance(list(opened(engine).generate(HELLO))[-1], Done)
    assert len(engine.opened) == 2


def test_its_rehearsal_grows_with_file_and_context(tmp_path: Path) -> None:
    """Enough for plans to be made with it."""
    file = tmp_path / "x.gguf"
    file.write_bytes(b"x" * 10)
    short = FakeEngine().rehearse([file], PLAN)
    long = FakeEngine().rehearse([file], LoadPlan(context_tokens=512))
    assert short.weights_bytes == 10
    assert long.state_bytes == 2 * short.state_bytes
