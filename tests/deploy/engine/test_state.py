"""A session's state, saved and taken up by another process, with real models: the same words, hardly any reading."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import pytest

from deploy.engine.client import LlamaEngine, LlamaSession
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import ChatMessage, Done, Generate, Sampling, Stats, Text
from deploy.engine.state_protocol import StateShape
from deploy.errors import EngineFailed, IntegrityError

pytestmark = [pytest.mark.engine, pytest.mark.index]

PLAN: Final = LoadPlan(context_tokens=1024, threads=1, batch_tokens=64, checkpoint_bytes=64 << 20)
DOCUMENT: Final = " ".join(f"Item {number} costs {number * 37 % 100} euro." for number in range(40))
FIRST: Final = ChatMessage("user", f"{DOCUMENT} What does item 3 cost?")
SECOND: Final = ChatMessage("user", "And item 5?")


def start(path: Path, plan: LoadPlan = PLAN) -> LlamaSession:
    """A session of a model."""
    return LlamaEngine().open([path], plan, lambda _: None)


def answer(session: LlamaSession, *messages: ChatMessage) -> tuple[str, Stats]:
    """The likeliest answer, and its figures."""
    asked = Generate(messages=messages, max_tokens=12, sampling=Sampling(temperature=0))
    events = list(session.generate(asked))
    assert isinstance(events[-1], Done)
    return "".join(event.text for event in events if isinstance(event, Text)), events[-1].stats


@pytest.mark.parametrize("flash", [True, False], ids=["flash", "plain"])
@pytest.mark.parametrize("model", ["smollm2_path", "gemma3_path"])
def test_another_process_goes_on_with_the_same_words(
    model: str, request: pytest.FixtureRequest, *, flash: bool
) -> None:
    """As the session would have that was kept, for a full cache and for sliding windows."""
    path, plan = request.getfixturevalue(model), msgspec.structs.replace(PLAN, flash_attention=flash)
    with start(path, plan) as session:
        said, _ = answer(session, FIRST)
        shape = session.describe_state()
        pieces = list(session.save_state(shape))
        turns = (FIRST, ChatMessage("assistant", said), SECOND)
        live, _ = answer(session, *turns)
    assert sum(map(len, pieces)) == shape.total_bytes
    with start(path, plan) as session:
        session.restore_state(shape, iter(pieces))
        resumed, stats = answer(session, *turns)
    assert resumed == live
    assert stats.reused_tokens > 0.9 * stats.prompt_tokens


@pytest.fixture(scope="module", name="kept")
def fixture_kept(smollm2_path: Path) -> tuple[StateShape, tuple[bytes, ...]]:
    """A short session's state."""
    with start(smollm2_path) as session:
        answer(session, SECOND)
        shape = session.describe_state()
        return shape, tuple(session.save_state(shape))


@pytest.fixture(scope="module", name="session")
def fixture_session(smollm2_path: Path) -> Iterator[LlamaSession]:
    """One that every refusal leaves alive."""
    with start(smollm2_path) as session:
        yield session


def test_a_state_that_is_not_proved_to_its_end_never_reaches_the_engine(
    session: LlamaSession, kept: tuple[StateShape, tuple[bytes, ...]]
) -> None:
    """What was in memory is still there, and the next state is taken."""
    shape, pieces = kept
    said, _ = answer(session, FIRST)

    def broken() -> Iterator[bytes]:
        yield pieces[0][:-1]
        raise IntegrityError("It was altered.")

    with pytest.raises(IntegrityError):
        session.restore_state(shape, broken())
    again, stats = answer(session, FIRST)
    assert (again, stats.prompt_eval_tokens) == (said, 1)
    session.restore_state(shape, iter(pieces))
    assert session.describe_state().tokens == shape.tokens


@pytest.mark.parametrize(
    "wrong",
    [
        {"tokens": ()},
        {"tokens": (1, 2)},
        {"tokens": (1 << 30,)},
        {"tokens": (-1,)},
        {"tokens": tuple(range(2000))},
        {"size_bytes": 7},
        {"size_bytes": 1 << 40},
    ],
    ids=str,
)
def test_a_state_that_does_not_fit_is_refused(
    wrong: dict[str, object], session: LlamaSession, kept: tuple[StateShape, tuple[bytes, ...]]
) -> None:
    """With a sentence; memory is empty then, and the session answers."""
    shape, pieces = kept
    with pytest.raises(EngineFailed, match="state"):
        session.restore_state(msgspec.structs.replace(shape, **wrong), iter(pieces))
    _, stats = answer(session, SECOND)
    assert stats.reused_tokens == 0


def test_a_session_that_read_nothing_has_no_state(smollm2_path: Path) -> None:
    """And nothing to hand over, for which nobody waits; half taken, the rest of a state is not taken for an answer."""
    with start(smollm2_path) as session:
        with pytest.raises(EngineFailed, match="has read nothing yet"):
            session.describe_state()
        with pytest.raises(EngineFailed, match="has read nothing yet"):
            list(session.save_state(StateShape(tokens=(1,), size_bytes=9 << 20)))
        answer(session, FIRST)
        pieces = session.save_state(session.describe_state())
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]
        assert answer(session, FIRST)[1].prompt_eval_tokens == 1
