"""Kept sessions in the chat: by wish and by name alone, never of another conversation, and taken up at once."""

import dataclasses
import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import Input, Static

from deploy.commands import sessions
from deploy.engine.fake import FakeEngine
from deploy.engine.state_file import StateFile
from deploy.policy.document import parse
from deploy.policy.policy import Policy
from tests.tui.engines import KeepingEngine
from tests.tui.kit import SMALL, AppPilot, app_over, chatting, exchange, looked, painted, questions, small_world, until
from tui.app import LandfastApp
from tui.screens.chat import ChatScreen
from tui.screens.keep import KeepScreen
from tui.screens.talks import TalksScreen
from tui.widgets.banner import Banner
from tui.widgets.head import Head

NO_SESSIONS = Policy((parse('[require]\nsessions = "never"\n', Path("/etc/landfast/policy.toml")),))


def notes(app: LandfastApp) -> str:
    """All that was said beside the conversation."""
    return " ".join(note.message for note in app._notifications)


def badge(screen: ChatScreen) -> str:
    """The line over the conversation."""
    return str(screen.query_one(Head).content)


async def keep(pilot: AppPilot, name: str) -> None:
    """Name the session in its dialog."""
    await pilot.press("shift+f9")
    await until(pilot, lambda: isinstance(pilot.app.screen, KeepScreen))
    await until(pilot, lambda: "tokens" in str(pilot.app.screen.query_one("#size", Static).content))
    pilot.app.screen.query_one(Input).value = name
    await pilot.press("enter")


def kept(app: LandfastApp) -> tuple[str, ...]:
    """The names of what is on the disk."""
    data = sessions.list_sessions(app.context).data
    assert data is not None
    return tuple(one.name for one in data.sessions)


async def test_a_session_is_kept_by_name_and_taken_up_in_another_run(tmp_path: Path) -> None:
    """The dialog says what is written; the badge says how much of it is there; the engine gets its state back."""
    app = app_over(small_world(tmp_path, engine=FakeEngine("Four months.")))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await exchange(pilot, screen, "When does it end?")
        assert kept(app) == ()
        await pilot.press("shift+f9")
        await until(pilot, lambda: "not encrypted" in painted(app))
        app.screen.query_one(Input).value = "no/name"
        await pilot.press("enter")
        assert "cannot be the name" in str(app.screen.query_one(".problem", Static).content)
        await pilot.press("escape")
        await keep(pilot, "contract")
        await until(pilot, lambda: "◆ kept: contract" in badge(screen))
        assert "not encrypted" in notes(app)
        await exchange(pilot, screen, "Who signed?")
        assert "kept in part: contract" in badge(screen)
    engine = KeepingEngine("Two people.")
    again = app_over(small_world(tmp_path, engine=engine))
    async with again.run_test(size=SMALL) as pilot:
        await looked(pilot)
        await pilot.press("f3")
        await until(pilot, lambda: again.current_mode == "chat" and again.driver.state == "ready")
        screen = again.screen_stack[0]  # type: ignore[assignment]
        await pilot.press("ctrl+l")
        await until(pilot, lambda: "contract: When" in painted(again))
        await pilot.press("enter")
        await until(pilot, lambda: again.driver.state == "ready" and questions(screen) == ["When does it end?"])
        assert engine.sessions[-1].restored is not None
        assert "◆ kept: contract" in badge(screen)
        await exchange(pilot, screen, "Who signed?")
        asked = engine.sessions[-1].requests[-1].messages
        assert [message.content for message in asked] == ["When does it end?", "Four months.", "Who signed?"]
        await keep(pilot, "contract")
        await until(pilot, lambda: "◆ kept: contract" in badge(screen))


async def test_a_model_whose_kept_session_cannot_be_read_does_not_stay_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails after the model was loaded for it: that is said, and the engine process ends."""
    engine = KeepingEngine("Four months.")
    app = app_over(small_world(tmp_path, engine=engine))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await exchange(pilot, screen, "When does it end?")
        await keep(pilot, "contract")
        await until(pilot, lambda: "◆ kept: contract" in badge(screen))

        def fail(_: StateFile) -> Iterator[bytes]:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(StateFile, "pieces", fail)
        await pilot.press("ctrl+n", "ctrl+l")
        await until(pilot, lambda: "contract: When" in painted(app))
        await pilot.press("down", "enter")
        await until(pilot, lambda: screen.query_one(Banner).display)
        assert "Input/output error" in str(screen.query_one(Banner).content)
        assert [session.closed for session in engine.sessions] == [True, True]


async def test_what_the_model_has_read_of_another_conversation_is_not_kept_with_this_one(tmp_path: Path) -> None:
    """Only what stands on the screen: after a change of conversation something must be asked first."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await pilot.press("shift+f9")
        assert "Nothing was said yet" in notes(app)
        await exchange(pilot, screen, "One?")
        await exchange(pilot, screen, "Two?")
        await pilot.press("alt+up", "up", "up", "f")
        await until(pilot, lambda: len(screen.talk.turns) == 2)
        await pilot.press("shift+f9")
        assert "Ask something first" in notes(app)
        assert not isinstance(app.screen, KeepScreen)


async def test_a_policy_forbids_it_before_a_name_is_asked_for(tmp_path: Path) -> None:
    """The rule is named, and nothing is written."""
    app = app_over(dataclasses.replace(small_world(tmp_path), policy=NO_SESSIONS))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await exchange(pilot, screen, "One?")
        await pilot.press("shift+f9")
        assert "policy" in notes(app)
        assert not isinstance(app.screen, KeepScreen)
    assert not app.context.paths.sessions.exists()


async def test_a_kept_session_is_deleted_in_the_list(tmp_path: Path) -> None:
    """After a question; the badge of the conversation on the screen follows."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await exchange(pilot, screen, "One?")
        await keep(pilot, "mine")
        await until(pilot, lambda: kept(app) == ("mine",))
        await until(pilot, lambda: "kept: mine" in badge(screen))
        await pilot.press("ctrl+l")
        await until(pilot, lambda: "mine: One?" in painted(app))
        await pilot.press("down", "d")
        await until(pilot, lambda: not isinstance(app.screen, TalksScreen))
        await pilot.press("y")
        await until(pilot, lambda: kept(app) == ())
        await pilot.press("escape")
        await until(pilot, lambda: "○ not saved" in badge(screen))
