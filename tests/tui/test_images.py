"""Images in the chat: chosen, counted, shown, refused with a cure, never saved; and gone with the conversation."""

from pathlib import Path

import pytest
from textual.events import Paste
from textual.widgets import Input, Static

from deploy.commands import looking
from deploy.commands.conversations import shelf
from deploy.engine.fake import FakeEngine
from deploy.engine.picture import IMAGES_LIMIT
from deploy.engine.protocol import ChatMessage
from deploy.errors import EngineFailed
from tests.support.eyes import bomb, png, projector, write_projector
from tests.support.gguf import tiny_model
from tests.tui.kit import (
    SMALL,
    AppPilot,
    app_over,
    ask,
    chatting,
    exchange,
    holding,
    painted,
    small_world,
    until,
)
from tui.app import LandfastApp
from tui.screens.chat import ChatScreen
from tui.widgets.banner import Banner
from tui.widgets.files import Files
from tui.widgets.prompt import Prompt
from tui.widgets.transcript import Question

PHOTO = png(size=(200, 100))


@pytest.fixture(name="folder")
def fixture_folder(tmp_path: Path) -> Path:
    """A photo, a projector, and what is neither."""
    (tmp_path / "photo one.png").write_bytes(PHOTO)
    (tmp_path / "bomb.png").write_bytes(bomb(20_000, 20_000))
    (tmp_path / "film.webp").write_bytes(b"RIFF")
    write_projector(tmp_path / "mmproj.gguf", projector())
    tiny_model().write(tmp_path / "model.gguf")
    return tmp_path


def app_in(folder: Path, engine: FakeEngine | None = None) -> LandfastApp:
    """The app over a small world beside these files."""
    return app_over(small_world(folder / "home", engine=engine or FakeEngine("It is striped.")))


async def attach(pilot: AppPilot, file: Path, told: str) -> None:
    """Name a file in the dialog that is open, and wait for what is said of it."""
    pilot.app.screen.query_one(Input).value = str(file)
    await pilot.press("enter")
    await until(pilot, lambda: told in about(pilot.app))


def about(app: object) -> str:
    """What the dialog says."""
    assert isinstance(app, LandfastApp)
    return str(app.screen.query_one(".about", Static).content)


async def seeing(pilot: AppPilot, folder: Path) -> ChatScreen:
    """In the chat, with a projector that was named in the dialog."""
    screen = await chatting(pilot)
    await pilot.press("ctrl+t")
    await attach(pilot, folder / "mmproj.gguf", "Enter loads")
    await pilot.press("enter")
    app = screen.app
    await until(pilot, lambda: app.driver.state == "ready" and app.driver.sees)
    return screen


def requests(app: LandfastApp) -> list[tuple[ChatMessage, ...]]:
    """All that the model was asked since it was loaded."""
    assert app.driver.opened is not None
    return [request.messages for request in app.driver.opened.session.inner.requests]  # type: ignore[attr-defined]


async def test_a_model_without_a_projector_refuses_and_names_the_cure(folder: Path) -> None:
    """The dialog says what is missing; named there, the model is loaded with it, and then the image goes along."""
    app = app_in(folder)
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await pilot.press("ctrl+t")
        await attach(pilot, folder / "photo one.png", "needs its projector (mmproj file)")
        await pilot.press("enter")
        await attach(pilot, folder / "model.gguf", "not a projector")
        await attach(pilot, folder / "mmproj.gguf", "Enter loads Tiny")
        await pilot.press("enter")
        await until(pilot, lambda: app.driver.state == "ready" and app.driver.sees)
        assert app.driver.opened is not None
        assert app.driver.opened.sight is not None
        assert app.driver.opened.sight.memory_bytes > looking.ROOM_BYTES
        await pilot.press("ctrl+t")
        await attach(pilot, folder / "bomb.png", "20,000 x 20,000")
        await attach(pilot, folder / "film.webp", "neither PNG nor JPEG")
        await attach(pilot, folder / "photo one.png", "✓ photo one.png")
        await pilot.press("enter")
        await until(pilot, lambda: "200 x 100 · 0 tokens" in str(screen.query_one(Files).content))


async def test_a_path_that_cannot_be_understood_is_told_in_the_dialog(folder: Path) -> None:
    """The home of an unknown user, which is looked up at every key, and a name that no file system takes."""
    app = app_in(folder)
    async with app.run_test(size=SMALL) as pilot:
        await chatting(pilot)
        await pilot.press("ctrl+t", "~", "x", "x", "/", "a")
        await pilot.press("enter")
        await until(pilot, lambda: "Give the whole path." in about(app))
        await attach(pilot, Path("long" * 100), "File name too long")


async def test_an_image_goes_with_the_next_message_and_with_those_after_it(folder: Path) -> None:
    """A dropped path becomes a chip, backspace takes it off, and the engine gets the bytes again in every turn."""
    app = app_in(folder)
    async with app.run_test(size=SMALL) as pilot:
        screen = await seeing(pilot, folder)
        for _ in range(2):
            app.post_message(Paste(f"'{folder / 'photo one.png'}' "))
            await until(pilot, lambda: screen.query_one(Files).images)
            await pilot.press("backspace")
            assert not screen.query_one(Files).display
            assert not screen.query_one(Prompt).has_files
        app.post_message(Paste(f"file://{folder}/photo%20one.png"))
        await until(pilot, lambda: screen.query_one(Files).images)
        await exchange(pilot, screen, "What is this?")
        await exchange(pilot, screen, "Why?")
        first, second = requests(app)
        assert first == (ChatMessage("user", "What is this?", images=(PHOTO,)),)
        assert [message.images for message in second] == [(PHOTO,), (), ()]
        assert "[photo one.png · 200 x 100]" in painted(app)
        await pilot.press("alt+up", "r")
        await until(pilot, lambda: len(requests(app)) == 3)
        assert requests(app)[2][0].images == (PHOTO,)


async def test_a_path_that_is_no_image_is_a_text(folder: Path) -> None:
    """What is pasted is written where nothing of that name is."""
    app = app_in(folder)
    async with app.run_test(size=SMALL) as pilot:
        screen = await seeing(pilot, folder)
        app.post_message(Paste("see gone.png"))
        await until(pilot, lambda: screen.query_one(Prompt).text == "see gone.png")
        assert not screen.query_one(Files).carried


async def test_images_are_never_saved_and_that_is_said(folder: Path) -> None:
    """What is saved and exported names them; opened again, the model reads that there was one."""
    app = app_in(folder)
    async with app.run_test(size=SMALL) as pilot:
        screen = await seeing(pilot, folder)
        app.post_message(Paste(str(folder / "photo one.png")))
        await until(pilot, lambda: screen.query_one(Files).images)
        await exchange(pilot, screen, "What is this?")
        await pilot.press("f9")
        await until(pilot, lambda: screen.talk.id)
        assert any("Images are not saved" in note.message for note in app._notifications)
        saved = shelf(app.context).get(screen.talk.id or 0)
        assert [shown.words for shown in saved.turns[0].images] == ["photo one.png, 200 x 100 pixels"]
        await pilot.press("ctrl+g")
        app.screen.query_one(Input).value = str(folder / "out.md")
        await pilot.press("enter")
        await until(pilot, (folder / "out.md").exists)
        await pilot.press("ctrl+n", "ctrl+l")
        await until(pilot, lambda: "saved" in painted(app))
        await pilot.press("enter")
        await until(pilot, lambda: "not kept]" in painted(app))
        await exchange(pilot, screen, "Why?")
        assert requests(app)[-1][0] == ChatMessage(
            "user", "(The image photo one.png, 200 x 100 pixels, was shown here.)\n\nWhat is this?"
        )
    assert "It is not in this file." in (folder / "out.md").read_text("utf-8")
    pixels = PHOTO[PHOTO.index(b"IDAT") : -12]
    assert [file for file in (folder / "home").rglob("*") if file.is_file() and pixels in file.read_bytes()] == []
    assert holding(folder / "home", "IDAT") == []


async def test_a_model_that_reads_text_alone_goes_on_without_the_images(folder: Path) -> None:
    """Loaded in the other's place it is told that there was an image; one that waits to be sent is given back."""
    engine = FakeEngine()
    app = app_in(folder, engine)
    async with app.run_test(size=SMALL) as pilot:
        screen = await seeing(pilot, folder)
        app.post_message(Paste(str(folder / "photo one.png")))
        await until(pilot, lambda: screen.query_one(Files).images)
        await exchange(pilot, screen, "What is this?")
        app.driver.close()
        app.driver.projector = engine.projector = None
        app.post_message(Paste(str(folder / "photo one.png")))
        await until(pilot, lambda: screen.query_one(Files).images)
        await ask(pilot, "And this?")
        banner = screen.query_one(Banner)
        await until(pilot, lambda: banner.display)
        assert "reads text only" in str(banner.content)
        await pilot.press("escape")
        assert screen.query_one(Prompt).text == "And this?"
        assert len(screen.query(Question)) == 1
        await until(pilot, lambda: not screen.query_one(Files).images)
        await exchange(pilot, screen, "")
        (asked,) = requests(app)
        assert [message.images for message in asked] == [(), (), ()]
        assert asked[0].content.startswith("(The image photo one.png")


async def test_what_a_conversation_can_hold_of_images_is_said_before_they_are_sent(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limited number with a message, and as much memory as was planned."""
    app = app_in(folder)
    async with app.run_test(size=SMALL) as pilot:
        screen = await seeing(pilot, folder)
        for count in range(IMAGES_LIMIT):
            app.post_message(Paste(str(folder / "photo one.png")))
            await until(pilot, lambda wanted=count + 1: len(screen.query_one(Files).images) == wanted)  # type: ignore[misc]
        app.post_message(Paste(str(folder / "photo one.png")))
        await until(pilot, lambda: any("At most 8 images" in note.message for note in app._notifications))
        assert len(screen.query_one(Files).images) == IMAGES_LIMIT
        monkeypatch.setattr(looking, "ROOM_BYTES", 1)
        await pilot.press("backspace", "ctrl+t")
        await attach(pilot, folder / "photo one.png", "of memory")


async def test_a_projector_that_cannot_be_used_is_left_out_at_the_next_try(folder: Path) -> None:
    """The load fails with its cause, and Enter loads the model without it."""

    class Picky(FakeEngine):
        """Refuses projectors."""

        def open(self, *given: object) -> object:  # type: ignore[override]
            """As the real engine where the projector is another model's."""
            if self.projector is not None:
                self.projector = None
                raise EngineFailed("The engine refuses the projector.", hint="Use another one.")
            return super().open(*given)  # type: ignore[arg-type]

    app = app_in(folder, Picky())
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await pilot.press("ctrl+t")
        await attach(pilot, folder / "mmproj.gguf", "Enter loads")
        await pilot.press("enter")
        banner = screen.query_one(Banner)
        await until(pilot, lambda: banner.display)
        assert "load the model without the projector" in str(banner.content)
        await pilot.press("enter")
        await until(pilot, lambda: app.driver.state == "ready")
        assert not app.driver.sees
