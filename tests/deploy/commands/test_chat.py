"""A conversation: turns that grow, and what a stop or a crash does to them."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.commands.chat import Conversation
from deploy.engine.fake import FakeEngine, FakeSession
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import ChatMessage, Done, Sampling, Text
from deploy.errors import EngineFailed


def session(engine: FakeEngine | None = None) -> FakeSession:
    """A session that answers with three words."""
    return (engine or FakeEngine("one two three")).open([Path("x")], LoadPlan(context_tokens=256), lambda _: None)


def said(conversation: Conversation) -> list[tuple[str, str]]:
    """The turns as pairs."""
    return [(turn.role, turn.content) for turn in conversation.turns]


def test_each_turn_is_asked_with_all_before_it() -> None:
    """The system prompt is sent with every one and is no turn."""
    partner = session()
    conversation = Conversation(partner, system="Be brief.", sampling=Sampling(seed=4), max_tokens=7)
    list(conversation.say("first"))
    list(conversation.say("second"))
    assert [turn.content for turn in partner.requests[1].messages] == ["Be brief.", "first", "one two three", "second"]
    assert (partner.requests[1].max_tokens, partner.requests[1].sampling.seed) == (7, 4)
    assert [role for role, _ in said(conversation)] == ["user", "assistant"] * 2


def test_a_stopped_answer_is_kept_as_far_as_it_came() -> None:
    """The next turn follows what was really said."""
    conversation = Conversation(session())
    for event in conversation.say("hello"):
        if isinstance(event, Text):
            conversation.stop()
    assert isinstance(event, Done)
    assert event.reason == "cancelled"
    assert said(conversation) == [("user", "hello"), ("assistant", "one")]


def interrupt(conversation: Conversation) -> None:
    """Ctrl-C while the engine is waited for: it is raised inside the iterator."""
    answer = conversation.say("hello")
    while not isinstance(next(answer), Text):
        pass
    answer.throw(KeyboardInterrupt)  # type: ignore[attr-defined]


def test_ctrl_c_keeps_what_was_said() -> None:
    """As with a stop, and the interrupt goes on to whoever wants to end the program."""
    conversation = Conversation(session())
    with pytest.raises(KeyboardInterrupt):
        interrupt(conversation)
    assert said(conversation) == [("user", "hello"), ("assistant", "one")]


def test_a_turn_that_failed_leaves_no_trace() -> None:
    """It can be said again to a new engine, with the turns before it."""
    engine = FakeEngine("one two three")
    conversation = Conversation(session(engine))
    list(conversation.say("first"))
    engine.dies_after = 2
    with pytest.raises(EngineFailed):
        list(conversation.say("second"))
    assert said(conversation) == [("user", "first"), ("assistant", "one two three")]
    conversation.continue_with(session(engine))
    list(conversation.say("second"))
    assert said(conversation)[2:] == [("user", "second"), ("assistant", "one two three")]


def test_a_new_conversation_knows_nothing_of_the_old_one() -> None:
    """The same engine goes on with the system prompt alone."""
    partner = session()
    conversation = Conversation(partner, system="Be brief.")
    list(conversation.say("first"))
    conversation.forget()
    list(conversation.say("second"))
    assert partner.requests[1].messages == (ChatMessage("system", "Be brief."), ChatMessage("user", "second"))


def filled(words: int) -> Conversation:
    """Two exchanges of so many words each way; a word is a token, and the context has 256 of them."""
    conversation = Conversation(session())
    said = ChatMessage("user", "word " * words), ChatMessage("assistant", "word " * words)
    conversation.take((*said, *said))
    return conversation


def test_a_long_conversation_is_not_counted_turn_by_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each count goes over all that is left: of a thousand turns that would take minutes before the first word."""
    conversation = filled(10)
    conversation.take(conversation.turns * 250)
    counted: list[int] = []
    count = FakeSession.count_conversation

    def listen(session: FakeSession, messages: Sequence[ChatMessage]) -> int:
        counted.append(len(messages))
        return count(session, messages)

    monkeypatch.setattr(FakeSession, "count_conversation", listen)
    found = conversation.overflow("word")
    assert found is not None
    assert found.leave_out == 982
    assert len(counted) < 20


def test_what_fits_is_no_overflow() -> None:
    """A quarter of a short context is left for the answer: 192 tokens may be asked."""
    assert filled(40).overflow("word " * 32) is None
    assert filled(40).overflow("word " * 33) is not None


def test_an_overflow_names_the_fewest_turns_that_must_go() -> None:
    """Whole exchanges, the oldest first; nothing is dropped by asking."""
    conversation = filled(40)
    found = conversation.overflow("word " * 100)
    assert found is not None
    assert (found.tokens, found.room_tokens, found.leave_out) == (260, 192, 2)
    assert len(conversation.turns) == 4
    conversation.take(conversation.turns, left_out=found.leave_out)
    assert conversation.overflow("word " * 100) is None
    list(conversation.say("word " * 100))
    assert len(conversation.session.requests[-1].messages) == 3  # type: ignore[attr-defined]
    assert len(conversation.turns) == 6


def test_a_message_that_never_fits_proposes_nothing() -> None:
    """Dropping everything else would not help."""
    found = filled(10).overflow("word " * 193)
    assert found is not None
    assert found.leave_out == 0


def test_thoughts_are_kept_beside_the_answer() -> None:
    """They are part of the turn, and not of its text."""
    conversation = Conversation(session(FakeEngine("yes", thinking="let me see")))
    list(conversation.say("first"))
    assert conversation.turns[-1] == ChatMessage("assistant", "yes", "let me see")
