"""Models inside the chat: given up while they load, changed, unloaded; and text that is selected."""

from pathlib import Path

import pytest
from textual.widgets import Markdown

from deploy.engine.fake import FakeEngine
from tests.tui.chat_scenes import chat_world
from tests.tui.engines import GatedEngine, KeepingEngine
from tests.tui.kit import (
    LIMIT_S,
    LONG,
    SMALL,
    app_over,
    ask,
    chat,
    chatting,
    in_chat,
    last_answer,
    looked,
    painted,
    questions,
    small_world,
    until,
)
from tui.screens.chat import ChatScreen
from tui.screens.switch import SwitchScreen
from tui.widgets.head import Head
from tui.widgets.prompt import Prompt
from tui.widgets.status import StatusLine
from tui.widgets.transcript import Answer, Question


async def test_quitting_in_mid_answer_waits_for_nothing_and_closes_the_engine(tmp_path: Path) -> None:
    """Most of the answer, which takes a minute, was not said; the session is closed."""
    engine = KeepingEngine(LONG, tok_s=5)
    async with in_chat(tmp_path, engine) as (app, pilot, screen):
        await ask(pilot, "Go.")
        await until(pilot, lambda: app.driver.state == "busy")
        await pilot.press("ctrl+q")
    assert screen.vitals.rate.count < len(LONG.split()) / 2
    assert [session.closed for session in engine.sessions] == [True]


async def test_ctrl_c_stops_an_answer_and_never_quits(tmp_path: Path) -> None:
    """As in every terminal; what was said stays, and pressed once more it says how to quit."""
    async with in_chat(tmp_path, KeepingEngine(LONG, tok_s=20)) as (app, pilot, screen):
        await ask(pilot, "Go.")
        await until(pilot, lambda: screen.query(Answer) and last_answer(screen).text)
        await pilot.press("ctrl+c")
        await until(pilot, lambda: app.driver.state == "ready")
        assert len(screen.talk.turns) == 2
        assert "stopped" in painted(app)
        await pilot.press("ctrl+c")
        await until(pilot, lambda: any("ctrl+q" in told.message for told in app._notifications))


async def test_escape_gives_up_a_load_and_brings_the_message_back(tmp_path: Path) -> None:
    """What comes too late is closed; a message that waited is in the prompt, and sending it loads again."""
    engine = GatedEngine("Yes.")
    app = app_over(small_world(tmp_path, engine=engine))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "chat" and engine.reached.is_set())
        screen = chat(app)
        await ask(pilot, "Early?")
        assert questions(screen) == ["Early?"]
        await pilot.press("escape")
        await until(pilot, lambda: not screen.query(Question))
        assert app.driver.state == "empty"
        assert screen.query_one(Prompt).text == "Early?"
        assert "a message loads it" in str(screen.query_one(StatusLine).content)
        engine.gate.set()
        await until(pilot, lambda: [session.closed for session in engine.sessions] == [True])
        await pilot.press("enter")
        await until(pilot, lambda: screen.query(Answer) and last_answer(screen).source == "Yes.")
        assert [session.closed for session in engine.sessions] == [True, False]


async def test_quitting_while_a_model_loads_waits_for_nothing(tmp_path: Path) -> None:
    """The load is still held when the app has ended; what it opens afterwards is closed."""
    engine = GatedEngine("Yes.")
    app = app_over(small_world(tmp_path, engine=engine))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        await pilot.press("enter")
        await until(pilot, engine.reached.is_set)
        await pilot.press("ctrl+q")
    assert engine.sessions == []
    engine.gate.set()
    app.driver.join(LIMIT_S)


async def test_another_model_takes_over_inside_the_chat(tmp_path: Path) -> None:
    """F12 lists what is installed; the turns go on with the one that is taken, and the one before is closed."""
    context = chat_world(tmp_path, engine := KeepingEngine("Aye."), both=True)
    app = app_over(context)
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await ask(pilot, "One?")
        await until(pilot, lambda: len(screen.talk.turns) == 2)
        await pilot.press("f12")
        await until(pilot, lambda: isinstance(app.screen, SwitchScreen))
        assert {row.name for row in app.screen._rows} == {"Captain", "Sailor"}  # type: ignore[attr-defined]
        await pilot.press("j", "enter")
        await until(pilot, lambda: app.driver.state == "ready" and app.driver.name == "sailor:Q4_0")
        assert [session.closed for session in engine.sessions] == [True, False]
        await ask(pilot, "Two?")
        await until(pilot, lambda: len(screen.talk.turns) == 4)
        assert [turn.model for turn in screen.talk.turns[1::2]] == ["captain:Q4_0", "sailor:Q4_0"]
        assert [message.content for message in engine.sessions[1].requests[0].messages] == ["One?", "Aye.", "Two?"]
        assert "Sailor" in str(screen.query_one(Head).content)


async def test_the_list_of_models_changes_nothing_when_it_is_left_or_the_same_is_taken(tmp_path: Path) -> None:
    """Escape, and Enter on the model that answers."""
    app = app_over(chat_world(tmp_path, engine := KeepingEngine("Aye."), both=True))
    async with app.run_test(size=SMALL) as pilot:
        await chatting(pilot)
        for key in ("escape", "enter"):
            await pilot.press("f12")
            await until(pilot, lambda: isinstance(app.screen, SwitchScreen))
            await pilot.press(key)
            await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        assert [session.closed for session in engine.sessions] == [False]


async def test_unloading_closes_the_engine_and_the_chat_loads_it_again(tmp_path: Path) -> None:
    """The memory is given back by u, and the turns stay for when the chat is opened again."""
    engine = KeepingEngine("Yes.")
    async with in_chat(tmp_path, engine) as (app, pilot, screen):
        await ask(pilot, "One?")
        await until(pilot, lambda: last_answer(screen).source)
        await pilot.press("f2", "u")
        assert [session.closed for session in engine.sessions] == [True]
        await pilot.press("f3")
        await until(pilot, lambda: app.driver.state == "ready")
        conversation = app.driver.conversation
        assert conversation is not None
        assert len(conversation.turns) == 2


async def test_text_is_selected_with_the_mouse_and_copied(tmp_path: Path) -> None:
    """As in any window, while the prompt keeps the focus."""
    async with in_chat(tmp_path) as (app, pilot, screen):
        await ask(pilot, "One?")
        await until(pilot, lambda: screen.query(Answer) and last_answer(screen).source)
        words = last_answer(screen).query_one(Markdown).children[0]
        await pilot.mouse_down(words, offset=(0, 0))
        await pilot.hover(words, offset=(7, 0))
        await pilot.mouse_up(words, offset=(7, 0))
        assert (screen.get_selected_text() or "").strip() == "Because"
        await pilot.press("ctrl+c")
        assert app.clipboard.strip() == "Because"


@pytest.mark.parametrize("place", ["live", "old"])
async def test_lines_stay_lines(tmp_path: Path, place: str) -> None:
    """A poem is not joined into one line when its verse is complete, nor when the answer grows old."""
    poem = "The sea,\na cruel mistress.\n\nThe end."
    async with in_chat(tmp_path, FakeEngine(poem)) as (app, pilot, screen):
        await ask(pilot, "A poem.")
        await until(pilot, lambda: screen.query(Answer) and last_answer(screen).source)
        if place == "old":
            await last_answer(screen).demote()
        await until(pilot, lambda: "a cruel mistress." in [line.strip() for line in painted(app).splitlines()])
