"""What a session leaves in the journal: numbers and outcomes, and never a word of what was said."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.commands.recording import RecordedSession, Recorder
from deploy.engine.fake import FakeEngine, FakeSession
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import ChatMessage, Generate, Text
from deploy.engine.state_protocol import StateShape
from deploy.errors import EngineFailed, PolicyRefused
from deploy.journal import Journal
from deploy.paths import Paths
from deploy.policy.policy import Refusal

ASKED = Generate(messages=(ChatMessage("user", "What is the secret word?"),))


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Empty places."""
    return Paths(data=tmp_path / "data", state=tmp_path / "state", config=tmp_path / "config")


def opened(paths: Paths, engine: FakeEngine) -> RecordedSession:
    """A session of the fake engine, written down."""
    session = engine.open([], LoadPlan(context_tokens=100), lambda _: None)
    return RecordedSession(session, Recorder(Journal(paths), "m:Q4", ("ab" * 32,)))


def entries(paths: Paths) -> list[dict[str, Any]]:
    """What is in the journal."""
    return [json.loads(line)["event"] for line in Journal(paths).raw_lines()]


def test_a_load_and_an_answer_are_one_line_each(paths: Paths) -> None:
    """With the model, its hash, the counts and how it ended."""
    session = opened(paths, FakeEngine("The secret word is hush."))
    list(session.generate(ASKED))
    load, answer = entries(paths)
    assert (load["kind"], load["outcome"], load["model"]) == ("load", "loaded", "m:Q4")
    assert (answer["kind"], answer["outcome"], answer["sha256"]) == ("answer", "stop", ["ab" * 32])
    assert (answer["prompt_tokens"], answer["answer_tokens"]) == (5, 5)


def test_not_a_word_is_written(paths: Paths) -> None:
    """Neither of the question nor of the answer."""
    session = opened(paths, FakeEngine("The secret word is hush."))
    list(session.generate(ASKED))
    written = b"".join(Journal(paths).raw_lines())
    assert b"secret" not in written
    assert b"hush" not in written


def test_a_death_is_an_outcome(paths: Paths) -> None:
    """The error goes on its way, and the line says that it failed."""
    session = opened(paths, FakeEngine("one two three", dies_after=2))
    with pytest.raises(EngineFailed):
        list(session.generate(ASKED))
    assert entries(paths)[-1]["outcome"] == "failed (engine)"
    assert session.ended


def test_an_answer_that_nobody_waited_for_is_an_outcome(paths: Paths) -> None:
    """It ran, so it is in the record."""
    session = opened(paths, FakeEngine("one two three"))
    events = session.generate(ASKED)
    next(event for event in events if isinstance(event, Text))
    events.close()  # type: ignore[attr-defined]
    assert [entry["outcome"] for entry in entries(paths)] == ["loaded", "abandoned"]


def test_a_journal_that_cannot_be_written_stops_nothing(paths: Paths) -> None:
    """The answer comes, and the reason is kept for a warning."""
    paths.state.write_text("a file in its place")
    session = opened(paths, FakeEngine("one two"))
    assert [event.text for event in session.generate(ASKED) if isinstance(event, Text)] == ["one", " two"]
    assert "journal" in session.journal_problem


RULE = Refusal(rule="require.journal", file="policy.toml", why="every run must be in the journal")


def required(paths: Paths, engine: FakeEngine) -> RecordedSession:
    """A session where a policy requires the journal."""
    session = engine.open([], LoadPlan(context_tokens=100), lambda _: None)
    return RecordedSession(session, Recorder(Journal(paths), "m:Q4", (), required=RULE))


def test_where_the_journal_is_required_what_begins_is_written_before(paths: Paths) -> None:
    """A crash in the middle leaves the beginning in the record."""
    session = required(paths, FakeEngine("one two"))
    events = session.generate(ASKED)
    next(events)
    assert [entry["outcome"] for entry in entries(paths)] == ["loaded", "begun"]
    list(events)
    assert [entry["outcome"] for entry in entries(paths)] == ["loaded", "begun", "stop"]


def test_where_the_journal_is_required_nothing_runs_without_it(paths: Paths) -> None:
    """Not a word is asked or answered; the refusal names the rule, its file and what is wrong."""
    engine = FakeEngine("one two")
    session = required(paths, engine)
    block(paths)
    with pytest.raises(PolicyRefused, match="requires the journal") as caught:
        next(session.generate(ASKED))
    assert "require.journal in policy.toml" in caught.value.hint
    assert session.inner.requests == []  # type: ignore[attr-defined]
    with pytest.raises(PolicyRefused):
        session.embed(["a"])
    with pytest.raises(PolicyRefused):
        required(paths, engine)


def block(paths: Paths) -> None:
    """Put a folder where the journal is written."""
    file = paths.journal / "journal.jsonl"
    file.unlink()
    file.mkdir()


def test_vectors_are_in_the_record_too(paths: Paths) -> None:
    """With the number of tokens that were read, and none of them."""
    opened(paths, FakeEngine()).embed(["one two", "three"])
    assert (entries(paths)[-1]["outcome"], entries(paths)[-1]["prompt_tokens"]) == ("embedded", 3)
    assert b"three" not in b"".join(Journal(paths).raw_lines())


def test_a_state_that_the_engine_does_not_take_was_not_resumed(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it was handed over before the engine refused it; the record says how it ended."""

    def refuse(_session: FakeSession, _shape: StateShape, pieces: Iterator[bytes]) -> None:
        list(pieces)
        raise EngineFailed("The engine does not take the session's state.")

    session = opened(paths, FakeEngine("one two"))
    list(session.generate(ASKED))
    shape = session.describe_state()
    pieces = list(session.save_state(shape))
    session.restore_state(shape, iter(pieces))
    monkeypatch.setattr(FakeSession, "restore_state", refuse)
    with pytest.raises(EngineFailed):
        session.restore_state(shape, iter(pieces))
    moved = [(entry["kind"], entry["outcome"]) for entry in entries(paths)[2:]]
    assert moved == [("keep", "kept"), ("resume", "resumed"), ("resume", "failed")]
