"""Images in the chat line by line: shown by a line of its own, refused with a cure, and gone with the conversation."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from deploy.commands.chat import Conversation
from deploy.edge_chat import _drop, _one_turn, _result, _show, _Talk
from deploy.engine.fake import FakeEngine
from deploy.engine.files import Projector
from deploy.engine.load_plan import LoadPlan
from deploy.errors import ExitCode, NotFound, UsageError
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
