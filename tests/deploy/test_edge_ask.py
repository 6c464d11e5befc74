"""What run and chat write where: answers on standard output, thoughts and warnings on standard error."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.commands.chat import Conversation
from deploy.edge_ask import Writer
from deploy.edge_chat import _make_room, _one_turn, _Talk
from deploy.engine.fake import FakeEngine
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import Event, Text, Thinking
from deploy.errors import EngineFailed
from tests.support.world import world

SAID = (Thinking("Two and"), Thinking(" two."), Text("Four"), Text("."))


def written(tmp_path: Path, events: Sequence[Event], *, quiet: bool = False, show_thinking: bool = False) -> None:
    """Write these events as run does."""
    writer = Writer(quiet=quiet, show_thinking=show_thinking)
    for event in events:
        writer(event, world(tmp_path))
    writer.end_line()


def test_thoughts_are_not_shown_unless_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only the answer is written, on a line of its own."""
    written(tmp_path, SAID)
    assert capsys.readouterr() == ("Four.\n", "")


def test_thoughts_are_talk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where they are wanted they go to standard error, set off from the answer, and never into a pipe."""
    written(tmp_path, SAID, show_thinking=True)
    assert capsys.readouterr() == ("Four.\n", "Two and two.\n\n")


def test_thoughts_that_lead_to_nothing_end_their_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As where --max-tokens was reached before the answer began."""
    written(tmp_path, SAID[:2], show_thinking=True)
    assert capsys.readouterr() == ("", "Two and two.\n\n")


def test_with_json_nothing_streams(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output is the envelope's."""
    written(tmp_path, SAID, quiet=True, show_thinking=True)
    assert capsys.readouterr() == ("", "")


def in_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let standard error be a terminal."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)


def test_at_a_screen_one_sees_that_it_thinks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A word that goes away when the answer begins; shown thoughts are dim."""
    in_terminal(monkeypatch)
    written(tmp_path, SAID)
    assert capsys.readouterr() == ("Four.\n", "(thinking)\r\x1b[K")
    written(tmp_path, SAID, show_thinking=True)
    assert capsys.readouterr() == ("Four.\n", "\x1b[2mTwo and two.\x1b[0m\n\n")


def talk(tmp_path: Path, *, quiet: bool = False) -> _Talk:
    """A conversation in a context of 40 words, of which a prompt may have 30."""

    def session() -> object:
        return FakeEngine("one two three").open([Path("x")], LoadPlan(context_tokens=40), lambda _: None)

    conversation = Conversation(session())  # type: ignore[arg-type]
    return _Talk(world(tmp_path), conversation, session, quiet, show_thinking=False)  # type: ignore[arg-type]


def test_what_is_left_out_is_said_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The oldest messages go, by name, and the turns are still there for whoever reads them."""
    going = talk(tmp_path)
    for words in ("first " * 12, "second " * 10):
        _one_turn(going, words)
    capsys.readouterr()
    _make_room(going, "third " * 10)
    told = capsys.readouterr().err
    assert "has 38 tokens and 30 fit" in told
    assert "does not see the 2 oldest messages, from 'first first" in told
    _one_turn(going, "third " * 10)
    partner = going.conversation.session
    assert [turn.content[:6] for turn in partner.requests[-1].messages] == ["second", "one tw", "third "]  # type: ignore[attr-defined]
    assert len(going.conversation.turns) == 6
    assert capsys.readouterr().err.count("Warning") == 0


def test_with_json_it_is_among_the_messages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is said twice."""
    going = talk(tmp_path, quiet=True)
    _one_turn(going, "first " * 25)
    _one_turn(going, "second " * 20)
    assert capsys.readouterr() == ("", "")
    assert "oldest messages" in going.notes[0].text


def test_a_message_that_never_fits_is_not_sent(tmp_path: Path) -> None:
    """Leaving out what was said before does not help it."""
    going = talk(tmp_path)
    with pytest.raises(EngineFailed, match="has 50 tokens with all that goes with it, and 30 fit"):
        _make_room(going, "word " * 50)
    assert going.conversation.turns == ()
