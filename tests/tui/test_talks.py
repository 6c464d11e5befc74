"""Conversations as wholes: kept when asked for, forked, written anew, searched, exported, and held to the context."""

import dataclasses
from pathlib import Path

from textual.widgets import OptionList, Static

from deploy.commands.conversations import shelf
from deploy.conversations import Talk, Turn
from deploy.engine.fake import FakeEngine
from deploy.policy.document import parse
from deploy.policy.policy import Policy
from tests.tui.kit import (
    CANARY,
    LARGE,
    SMALL,
    app_over,
    ask,
    chatting,
    exchange,
    holding,
    in_chat,
    last_answer,
    questions,
    sent,
    small_world,
    until,
)
from tui.screens.talks import TalksScreen
from tui.widgets.head import Head
from tui.widgets.prompt import Prompt
from tui.widgets.status import StatusLine
from tui.widgets.transcript import Answer, Question

CODE = "Look:\n\n```python\nx = 1\n```\n\nand\n\n~~~\ny\n~~~\n"


async def test_nothing_is_on_the_disk_unless_it_was_asked_for(tmp_path: Path) -> None:
    """With default settings neither question nor answer nor file is found afterwards, whatever was done with them."""
    app = app_over(small_world(tmp_path / "home", engine=FakeEngine(f"answer {CANARY}", thinking=CANARY)))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await exchange(pilot, screen, f"question {CANARY}")
        await pilot.press("alt+up", "r")
        await until(pilot, lambda: app.driver.state == "ready" and len(screen.talk.turns) == 2)
        await pilot.press("alt+up", "f", "ctrl+l", "escape", "ctrl+n")
        await until(pilot, lambda: not screen.query(Question))
    assert holding(tmp_path, CANARY) == []
    assert not app.context.paths.conversations.parent.exists()


async def test_f9_saves_every_answer_from_then_on_and_can_be_taken_back(tmp_path: Path) -> None:
    """The badge says so; taking it back asks first, and leaves no byte."""
    async with in_chat(tmp_path, FakeEngine("Yes, indeed.", thinking="Hm.")) as (app, pilot, screen):
        saved = shelf(app.context)
        assert "○ not saved" in str(screen.query_one(Head).content)
        await exchange(pilot, screen, f"One {CANARY}?")
        await pilot.press("f9")
        assert "● saved" in str(screen.query_one(Head).content)
        await exchange(pilot, screen, "Two?")
        await until(pilot, lambda: saved.summaries() and saved.summaries()[0].messages == 4)
        turns = saved.get(1).turns
        assert [turn.text for turn in turns] == [f"One {CANARY}?", "Yes, indeed.", "Two?", "Yes, indeed."]
        assert turns[1].thinking == "Hm."
        assert turns[1].model == "tiny:Q4_0"
        await pilot.press("f9", "enter")
        assert saved.summaries()
        await pilot.press("f9", "y")
        await until(pilot, lambda: not saved.summaries())
        assert "○ not saved" in str(screen.query_one(Head).content)
        assert len(screen.talk.turns) == 4
    assert holding(tmp_path, CANARY) == []


async def test_the_policy_can_forbid_saving(tmp_path: Path) -> None:
    """F9 then says whose rule it is, and writes nothing; nor does the export."""
    policy = Policy((parse('[require]\nconversations = "never"\n', tmp_path / "strict.toml"),))
    context = dataclasses.replace(small_world(tmp_path / "home"), policy=policy)
    app = app_over(context)
    async with app.run_test(size=LARGE) as pilot:
        screen = await chatting(pilot)
        assert "by policy" in str(screen.query_one(Head).content)
        await exchange(pilot, screen, "One?")
        await pilot.press("f9", "ctrl+g")
        told = [note.message for note in app._notifications]
        assert sum("require.conversations" in message for message in told) == 2
        assert not screen.talk.kept
    assert not context.paths.conversations.exists()


async def test_a_half_written_answer_is_saved_when_one_quits(tmp_path: Path) -> None:
    """Whoever asked for saving does not lose what was on the screen."""
    async with in_chat(tmp_path, FakeEngine("word " * 300, tok_s=60)) as (app, pilot, screen):
        await pilot.press("f9")
        await ask(pilot, "Go.")
        await until(pilot, lambda: screen.vitals.rate.count > 20)
        await pilot.press("ctrl+q")
    (turn,) = [turn for turn in shelf(app.context).get(1).turns if turn.role == "assistant"]
    assert turn.stopped
    assert turn.text.startswith("word word")


async def test_a_saved_conversation_is_found_and_goes_on(tmp_path: Path) -> None:
    """By a word of a message; the model gets all of it, and the next answer is saved, too."""
    context = small_world(tmp_path)
    turns = (
        Turn(role="user", text="Is the sea salty?", time="t"),
        Turn(role="assistant", text="Very **much**.", time="t"),
    )
    shelf(context).save(
        Talk(title="The sea", created="2025-01-01T00:00:00Z", changed="2025-01-01T00:00:00Z", turns=turns)
    )
    shelf(context).save(
        Talk(title="Other", created="2025-02-01T00:00:00Z", changed="2025-02-01T00:00:00Z", turns=turns[:0])
    )
    app = app_over(context)
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await pilot.press("ctrl+l")
        await until(
            pilot, lambda: isinstance(app.screen, TalksScreen) and app.screen.query_one(OptionList).option_count == 2
        )
        await pilot.press("slash", *"SALTY")
        await until(pilot, lambda: app.screen.query_one(OptionList).option_count == 1)
        await pilot.press("down", "enter")
        await until(pilot, lambda: questions(screen) == ["Is the sea salty?"])
        await exchange(pilot, screen, "Why?")
        assert sent(app) == ["Is the sea salty?", "Very **much**.", "Why?"]
        await until(pilot, lambda: len(shelf(context).get(1).turns) == 4)


async def test_conversations_that_are_not_saved_stay_in_the_list_until_the_end(tmp_path: Path) -> None:
    """Ctrl+N leaves one, Ctrl+L comes back to it; d takes it away after a question."""
    async with in_chat(tmp_path) as (_app, pilot, screen):
        await exchange(pilot, screen, "First?")
        await pilot.press("ctrl+n")
        await until(pilot, lambda: not screen.query(Question))
        await exchange(pilot, screen, "Second?")
        await pilot.press("ctrl+l", "down", "enter")
        await until(pilot, lambda: questions(screen) == ["First?"])
        await pilot.press("ctrl+l", "down", "d", "enter")
        assert len(screen.shelf) == 1
        await pilot.press("d", "y", "escape")
        await until(pilot, lambda: not screen.shelf)


async def test_the_newest_answer_is_written_anew_with_another_seed(tmp_path: Path) -> None:
    """The key r takes the answer out of the conversation and asks again; the seed is a new one unless it was set."""
    async with in_chat(tmp_path) as (app, pilot, screen):
        await exchange(pilot, screen, "One?")
        first = app.driver.seed
        await pilot.press("alt+up", "r")
        await until(pilot, lambda: app.driver.seed != first and len(screen.talk.turns) == 2)
        assert sent(app) == ["One?"]
        assert len(screen.query(Answer)) == 1


async def test_the_newest_question_is_written_anew_in_place(tmp_path: Path) -> None:
    """The key e brings it back into the prompt; Escape leaves everything as it was, Enter replaces the exchange."""
    async with in_chat(tmp_path) as (app, pilot, screen):
        await exchange(pilot, screen, "One?")
        await pilot.press("alt+up", "up", "e")
        assert screen.query_one(Prompt).text == "One?"
        await pilot.press("escape")
        assert (screen.query_one(Prompt).text, len(screen.talk.turns)) == ("", 2)
        await pilot.press("alt+up", "up", "e", "backspace", "!", "enter")
        await until(
            pilot, lambda: len(screen.talk.turns) == 2 and app.driver.state == "ready" and sent(app) == ["One!"]
        )
        assert questions(screen) == ["One!"]
        assert screen.shelf == []


async def test_an_older_question_written_anew_loses_nothing(tmp_path: Path) -> None:
    """The conversation as it was stays in the list."""
    async with in_chat(tmp_path) as (app, pilot, screen):
        for text in ("One?", "Two?", "Three?"):
            await exchange(pilot, screen, text)
        await pilot.press("alt+up", "up", "up", "up", "e", "!", "enter")
        await until(pilot, lambda: questions(screen) == ["One?", "Two?!"] and len(screen.talk.turns) == 4)
        assert sent(app)[0] == "One?"
        assert [len(talk.turns) for talk in screen.shelf] == [6]


async def test_a_fork_begins_with_what_was_said_so_far(tmp_path: Path) -> None:
    """The key f on the first answer: the model knows the first exchange, the rest stays in the list."""
    async with in_chat(tmp_path) as (app, pilot, screen):
        await exchange(pilot, screen, "One?")
        await exchange(pilot, screen, "Two?")
        await pilot.press("alt+up", "up", "up", "f")
        await until(pilot, lambda: questions(screen) == ["One?"])
        await exchange(pilot, screen, "Else?")
        assert sent(app) == ["One?", "Because nothing leaves.", "Else?"]
        assert [len(talk.turns) for talk in screen.shelf] == [4]


async def test_code_and_the_whole_conversation_are_copied(tmp_path: Path) -> None:
    """The key c takes the blocks without their marks, Y everything as Markdown."""
    async with in_chat(tmp_path, FakeEngine(CODE)) as (app, pilot, screen):
        await exchange(pilot, screen, "Code?")
        await pilot.press("alt+up", "c")
        assert app.clipboard == "x = 1\n\ny\n"
        await pilot.press("Y")
        assert "## You\n\nCode?" in app.clipboard
        assert CODE in app.clipboard


async def test_text_is_found_in_the_conversation(tmp_path: Path) -> None:
    """The newest hit first, Enter goes up, Escape leaves the focus at what was found."""
    async with in_chat(tmp_path, FakeEngine("Grün.")) as (app, pilot, screen):
        for text in ("Straße eins?", "zwei?", "STRASSE drei?"):
            await exchange(pilot, screen, text)
        await pilot.press("ctrl+f", *"strasse")
        assert str(screen.query_one("#find-count", Static).content) == "1 of 2"
        await pilot.press("enter")
        assert str(screen.query_one("#find-count", Static).content) == "2 of 2"
        await pilot.press("escape")
        assert isinstance(app.focused, Question)
        assert app.focused.source == "Straße eins?"
        assert not screen.query(".-found")


async def test_a_search_that_is_opened_again_looks_at_what_is_there_by_now(tmp_path: Path) -> None:
    """At what was said since, and at nothing of a conversation that was left."""
    async with in_chat(tmp_path, FakeEngine("Grün.")) as (_app, pilot, screen):
        await exchange(pilot, screen, "Eins?")
        await pilot.press("ctrl+f", *"eins")
        found = screen.query_one("#find-count", Static)
        assert str(found.content) == "1 of 1"
        screen.query_one(Prompt).focus()
        await exchange(pilot, screen, "Noch eins?")
        await pilot.press("ctrl+f")
        assert str(found.content) == "1 of 2"
        await pilot.press("ctrl+n", "ctrl+f")
        assert str(found.content) == "nothing"


async def test_what_a_model_thinks_is_folded_and_counted(tmp_path: Path) -> None:
    """The phase is named; space unfolds; the copy is the answer alone."""
    async with in_chat(tmp_path, FakeEngine("Yes.", thinking="one two three four five six", tok_s=20)) as (
        _app,
        pilot,
        screen,
    ):
        await ask(pilot, "Is it?")
        await until(pilot, lambda: "thinking" in str(screen.query_one(StatusLine).content))
        await until(pilot, lambda: len(screen.talk.turns) == 2)
        answer = last_answer(screen)
        assert "▸ thought, 6 tokens" in str(answer.query_one(".thinking-head", Static).content)
        assert not answer.query_one(".thoughts").display
        await pilot.press("alt+up", "space")
        assert str(answer.query_one(".thoughts", Static).content) == "one two three four five six"
        assert answer.query_one(".thoughts").display
        assert answer.source == "Yes."
