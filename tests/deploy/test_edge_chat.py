"""The chat line by line: images, commands, and what ends it."""

import dataclasses
import os
import pty
import readline
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.commands.chat import Conversation
from deploy.commands.install import InstallRequest, install
from deploy.edge import Ended
from deploy.edge_ask import Asking
from deploy.edge_chat import _converse, _drop, _next_line, _one_turn, _result, _show, _Talk, _turns
from deploy.engine.fake import FakeEngine
from deploy.engine.files import Projector
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import Event, Sampling
from deploy.errors import ExitCode, NotFound, UsageError
from deploy.fit.fit import Workload
from tests.support.cli import Landfast, refused
from tests.support.eyes import disc, png, projector, write_projector
from tests.support.world import world

PHOTO = png(size=(200, 100))


@pytest.fixture(name="photo")
def fixture_photo(tmp_path: Path) -> Path:
    """An image."""
    (tmp_path / "photo one.png").write_bytes(PHOTO)
    return tmp_path / "photo one.png"


def talk(home: Path, *, sees: bool = True, kept: str | None = None, quiet: bool = False) -> _Talk:
    """A conversation with a model that has a projector, or none."""
    engine = FakeEngine("It is striped.")
    engine.projector = Projector(Path("mmproj.gguf"), "") if sees else None
    session = engine.open([Path("x")], LoadPlan(context_tokens=4096), lambda _: None)
    return _Talk(world(home), Conversation(session), lambda: session, quiet, show_thinking=False, kept=kept)


def shown(going: _Talk) -> list[tuple[bytes, ...]]:
    """The images of each message of the last request."""
    return [message.images for message in going.conversation.session.requests[-1].messages]  # type: ignore[attr-defined]


def test_an_image_goes_with_the_next_message_and_stays(
    tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its size is said first, it can be left out, and later turns are read with it."""
    going = talk(tmp_path)
    _show(going, f"'{photo}'")
    assert "photo one.png · 1 kB · 200 x 100 · 0 tokens. It goes with the next message" in capsys.readouterr().err
    _show(going, str(photo))
    _drop(going)
    assert "photo one.png is left out" in capsys.readouterr().err
    _one_turn(going, "What is this?")
    assert shown(going) == [(PHOTO,)]
    _one_turn(going, "Why?")
    assert shown(going) == [(PHOTO,), (), ()]
    assert [picture.name for picture in going.pictures] == ["photo one.png"]
    _drop(going)
    assert "No image" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "name", "cause"),
    [
        ({"sees": False}, "photo one.png", "needs its projector"),
        ({"kept": "contract"}, "photo one.png", "cannot be kept"),
        ({}, "", "no file to show"),
        ({}, "gone.png", "no file"),
    ],
)
def test_what_cannot_be_shown_is_refused_and_the_chat_goes_on(
    photo: Path, capsys: pytest.CaptureFixture[str], given: dict[str, Any], name: str, cause: str
) -> None:
    """With its cause, and the exit code of the first failure at the end."""
    going = talk(photo.parent, **given)
    _show(going, str(photo.with_name(name)) if name else "")
    assert cause in capsys.readouterr().err
    _one_turn(going, "Hello?")
    assert shown(going) == [()]
    assert going.exit_code == (NotFound if name == "gone.png" else UsageError).exit_code


def test_an_image_stays_for_another_try_where_the_engine_died(tmp_path: Path, photo: Path) -> None:
    """The message was not kept, and neither is it forgotten what was to be shown with it."""
    going = talk(tmp_path)
    session = going.conversation.session
    session._engine.dies_after = 1  # type: ignore[attr-defined]
    _show(going, str(photo))
    _one_turn(going, "What is this?")
    assert going.conversation.turns == ()
    assert [image.data for image in going.waiting] == [PHOTO]


def test_the_result_names_the_images_and_does_not_hold_them(tmp_path: Path, photo: Path) -> None:
    """JSON of a conversation with photos would be as large as they are."""
    going = talk(tmp_path, quiet=True)
    _show(going, str(photo))
    _one_turn(going, "What is this?")

    @dataclasses.dataclass
    class Opened:
        """What the result takes of it."""

        plan = type("Plan", (), {"id": "tiny"})
        sight = None

    result = _result(going, Opened(), (None, None))  # type: ignore[arg-type]
    assert result.exit_code == ExitCode.DONE
    assert result.data is not None
    assert [turn.images for turn in result.data.turns] == [(), ()]
    assert [(one.name, one.width, one.height) for one in result.data.images] == [("photo one.png", 200, 100)]


class Keyboard:
    """A terminal at which these lines are typed, Ctrl+C and the end of the process among them."""

    def __init__(self, *typed: str | BaseException) -> None:
        """In this order."""
        self._typed = iter(typed)

    def isatty(self) -> bool:
        """It is one."""
        return True

    def line(self) -> str:
        """What `input` gives or raises."""
        what = next(self._typed)
        if isinstance(what, BaseException):
            raise what
        return what


def at_keyboard(monkeypatch: pytest.MonkeyPatch, *typed: str | BaseException) -> None:
    """Let this be typed."""
    keyboard = Keyboard(*typed)
    monkeypatch.setattr("sys.stdin", keyboard)
    monkeypatch.setattr("builtins.input", keyboard.line)


def test_ctrl_c_drops_what_is_typed_and_only_twice_in_a_row_ends_the_chat(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever presses it once too often to stop an answer does not lose the conversation."""
    at_keyboard(monkeypatch, KeyboardInterrupt(), "Hello", KeyboardInterrupt(), KeyboardInterrupt())
    assert _next_line() == "Hello"
    assert "Ctrl+D ends the chat" in capsys.readouterr().err
    assert _next_line() is None


def test_ctrl_c_on_a_line_that_is_typed_never_ends_the_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is how a line is given up, however often."""
    at_keyboard(monkeypatch, KeyboardInterrupt(), KeyboardInterrupt(), KeyboardInterrupt(), "Hello")
    monkeypatch.setattr("deploy.edge_chat._typed", lambda: "half a quest")
    assert _next_line() == "Hello"


def test_a_chat_that_is_ended_from_outside_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the prompt at once; in mid-answer it does not wait for another message."""
    at_keyboard(monkeypatch, Ended(), "never asked")
    assert _next_line() is None
    going = talk(tmp_path)

    def ended(*_: object) -> Iterator[Event]:
        raise Ended

    monkeypatch.setattr(going.conversation, "say", ended)
    with pytest.raises(Ended):
        _one_turn(going, "Hello?")


@pytest.mark.skipif(getattr(readline, "_READLINE_VERSION", 0) < 0x0801, reason="This line editor cannot.")
def test_several_lines_that_are_pasted_are_one_message() -> None:
    """As a terminal marks them; the prompt is the line editor's own, so that it is not written over."""
    ours, theirs = pty.openpty()
    script = "from deploy.edge_chat import _read_line; print(repr(_read_line()))"
    at = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "env": {**os.environ, "TERM": "xterm"}}
    with subprocess.Popen([sys.executable, "-c", script], **at) as reading:  # type: ignore[call-overload]
        os.close(theirs)
        seen = heard(ours, b"You: ")
        os.write(ours, b"\x1b[200~one\ntwo\x1b[201~\r")
        seen += heard(ours, b"'\r\n")
        reading.wait(10)
    os.close(ours)
    assert b"'one\\ntwo'" in seen


def heard(terminal: int, end: bytes) -> bytes:
    """What comes from a terminal, up to these bytes."""
    seen = b""
    while end not in seen:
        ready, _, _ = select.select([terminal], [], [], 20)
        assert ready, seen
        seen += os.read(terminal, 4096)
    return seen


def test_a_command_that_there_is_not_is_no_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """/help says what can be typed, a slip does too; a path with words after it goes to the model."""
    at_keyboard(monkeypatch, "/help", "/clear", "/etc/hosts: what is it?", "/bye")
    going = talk(tmp_path)
    _turns(going)
    told = capsys.readouterr().err
    assert told.count("/new begins a new conversation") == 2
    assert "There is no command /clear." in told
    assert [turn.content for turn in going.conversation.turns[::2]] == ["/etc/hosts: what is it?"]


@pytest.mark.engine
def test_a_conversation_about_images_with_a_real_model(smollm2_path: Path, tmp_path: Path) -> None:
    """What was read of the image is not read again; a broken one is refused, and the engine answers what follows."""
    path = write_projector(tmp_path / "mmproj.gguf", projector())
    (tmp_path / "a.png").write_bytes(png(disc))
    (tmp_path / "cut.png").write_bytes(PHOTO[: len(PHOTO) // 2])
    landfast = Landfast(tmp_path / "home")
    words = ("chat", str(smollm2_path), "--projector", str(path), "--max-tokens", "4", "--context", "512")
    lines = f"/image {tmp_path / 'a.png'}\nWhat is it?\nWhy?\n/image {tmp_path / 'cut.png'}\nAnd this?\n/drop\nSo?\n"
    told = landfast.json(*words, piped=lines, schema="chat")
    first, second, third = told["data"]["stats"]
    assert first["image_tokens"] == second["image_tokens"] == third["image_tokens"] > 0
    assert second["reused_tokens"] >= first["prompt_tokens"]
    assert [image["name"] for image in told["data"]["images"]] == ["a.png"]
    assert told["data"]["projector"]["kind"] == "mlp"
    assert (told["status"], told["exit_code"], len(told["errors"])) == ("partial", 8, 1)
    assert "cannot be kept" in refused(landfast(*words, "--keep", "it"), 2)


def test_a_journal_that_cannot_be_written_any_more_is_told_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The load is in it and the answers are not."""
    here = world(tmp_path)
    install(here, InstallRequest(model="tiny"))
    lines = iter(["Hi", None])

    def typed() -> str | None:
        file = here.paths.journal / "journal.jsonl"
        if file.is_file():
            file.unlink()
            file.mkdir()
        return next(lines)

    monkeypatch.setattr("deploy.edge_chat._next_line", typed)
    options = Asking(system=None, max_tokens=9, sampling=Sampling(), workload=Workload(context_tokens=256))
    (told,) = _converse(here, None, options, quiet=True).messages
    assert told.text.startswith("Not all of this run is in the journal.")
