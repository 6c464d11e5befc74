"""Images and kept sessions in the chat over the real thing: a real model, a projector of random weights, the seal."""

from pathlib import Path

import pytest
from textual.events import Paste
from textual.widgets import Input, Static

from deploy.commands import sessions
from deploy.commands.context import real_context
from deploy.engine.protocol import Stats
from tests.support.eyes import TOKENS, disc, png, projector, write_projector
from tests.tui.kit import SMALL, AppPilot, app_over, ask, chat, painted, until
from tui.app import LandfastApp
from tui.screens.chat import ChatScreen
from tui.screens.keep import KeepScreen
from tui.talk import Asking
from tui.widgets.files import Files

pytestmark = pytest.mark.engine

LIMIT_S = 120.0
BRIEF = Asking(seed=1, max_tokens=6)


async def talking(pilot: AppPilot, model: Path, eyes: Path | None = None) -> ChatScreen:
    """In the chat with this model."""
    app = pilot.app
    assert isinstance(app, LandfastApp)
    await pilot.press("f3")
    await until(pilot, lambda: app.current_mode == "chat" and app.driver.state == "broken")
    screen = chat(app)
    app.driver.asking = BRIEF
    await screen.open_model(str(model), eyes)
    await until(pilot, lambda: app.driver.state == "ready", LIMIT_S)
    return screen


async def answered(pilot: AppPilot, screen: ChatScreen, text: str) -> Stats:
    """Ask, and wait for the figures of the answer."""
    before = len(screen.talk.turns)
    await ask(pilot, text)
    await until(pilot, lambda: len(screen.talk.turns) == before + 2, LIMIT_S)
    assert screen.vitals.done is not None
    return screen.vitals.done.stats


async def test_an_image_is_read_once_and_is_not_for_the_disk(smollm2_path: Path, tmp_path: Path) -> None:
    """Its tokens are told before it is sent; the next turn reads none of it again; the session cannot be kept."""
    eyes = write_projector(tmp_path / "mmproj.gguf", projector())
    (tmp_path / "disc.png").write_bytes(png(disc))
    app = app_over(real_context(lambda _: None, offline=True))
    async with app.run_test(size=SMALL) as pilot:
        screen = await talking(pilot, smollm2_path, eyes)
        app.post_message(Paste(str(tmp_path / "disc.png")))
        told = f"64 x 64 · {TOKENS['mlp']} tokens"
        await until(pilot, lambda: told in str(screen.query_one(Files).content), LIMIT_S)
        first = await answered(pilot, screen, "What is it?")
        assert first.image_tokens == TOKENS["mlp"]
        second = await answered(pilot, screen, "Why?")
        assert second.reused_tokens >= first.prompt_tokens
        await pilot.press("shift+f9")
        await until(pilot, lambda: "images cannot be kept" in painted(app), LIMIT_S)
        app.screen.query_one(Input).value = "it"
        await pilot.press("enter", "escape")
        assert not app.context.paths.sessions.exists()


async def test_a_kept_session_goes_on_in_another_run_without_reading_it_again(smollm2_path: Path) -> None:
    """The size that was told before is that of the file, nearly; all that was kept is in memory again."""
    app = app_over(real_context(lambda _: None, offline=True))
    async with app.run_test(size=SMALL) as pilot:
        screen = await talking(pilot, smollm2_path)
        await answered(pilot, screen, "Why is the sea salty?")
        await pilot.press("shift+f9")
        await until(pilot, lambda: isinstance(app.screen, KeepScreen))
        await until(pilot, lambda: "tokens, about" in str(app.screen.query_one("#size", Static).content), LIMIT_S)
        app.screen.query_one(Input).value = "sea"
        await pilot.press("enter")
        await until(pilot, lambda: screen.talk.session == "sea", LIMIT_S)
    data = sessions.list_sessions(app.context).data
    assert data is not None
    again = app_over(real_context(lambda _: None, offline=True))
    async with again.run_test(size=SMALL) as pilot:
        await pilot.press("f3")
        await until(pilot, lambda: again.current_mode == "chat" and again.driver.state == "broken")
        screen = chat(again)
        again.driver.asking = BRIEF
        await screen.resume(data.sessions[0])
        await until(pilot, lambda: again.driver.state == "ready" and len(screen.talk.turns) == 2, LIMIT_S)
        stats = await answered(pilot, screen, "And the lakes?")
        assert stats.reused_tokens >= data.sessions[0].tokens
