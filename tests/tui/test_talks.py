"""Conversations as wholes: kept when asked for, forked, written anew, searched, exported, and held to the context."""

import asyncio
import dataclasses
import json
import threading
import time
from pathlib import Path

import pytest
from textual.widgets import Input, OptionList, Static

from deploy.commands.conversations import shelf
from deploy.conversations import Talk, Turn
from deploy.engine.fake import FakeEngine
from deploy.errors import EngineFailed
from deploy.policy.document import parse
from deploy.policy.policy import Policy
from tests.tui.kit import (
    LARGE,
    SMALL,
    AppPilot,
    app_over,
    ask,
    chatting,
    last_answer,
    questions,
    shown,
    small_world,
    until,
)
from tui.app import LandfastApp
from tui.screens.chat import ChatScreen
from tui.screens.talks import TalksScreen
from tui.widgets.banner import Banner
from tui.widgets.files import Files
from tui.widgets.head import Head
from tui.widgets.prompt import Prompt
from tui.widgets.status import StatusLine
from tui.widgets.transcript import Answer, Question, Transcript

CODE = "Look:\n\n```python\nx = 1\n```\n\nand\n\n~~~\ny\n~~~\n"
CANARY = "canary-5b1d"


async def exchange(pilot: AppPilot, screen: ChatScreen, text: str) -> None:
    """Ask, and wait for the whole answer."""
    before = len(screen.talk.turns)
    await ask(pilot, text)
    await until(pilot, lambda: len(screen.talk.turns) == before + 2)


def sent(app: LandfastApp) -> list[str]:
    """What the model was given the last time."""
    assert app.driver.opened is not None
    return [message.content for message in app.driver.opened.session.inner.requests[-1].messages]  # type: ignore[attr-defined]


def holding(folder: Path, text: str) -> list[Path]:
    """Files in which a text stands."""
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


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
    app = app_over(small_world(tmp_path, engine=FakeEngine("Yes, indeed.", thinking="Hm.")))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
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
    app = app_over(small_world(tmp_path, engine=FakeEngine("word " * 300, tok_s=60)))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await pilot.press("f9")
        await ask(pilot, "Go.")
        await until(pilot, lambda: screen.vitals.rate.count > 20)
        began_s = time.monotonic()
        await pilot.press("ctrl+q")
    assert time.monotonic() - began_s < 1.0
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
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
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
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await exchange(pilot, screen, "One?")
        first = app.driver.seed
        await pilot.press("alt+up", "r")
        await until(pilot, lambda: app.driver.seed != first and len(screen.talk.turns) == 2)
        assert sent(app) == ["One?"]
        assert len(screen.query(Answer)) == 1


async def test_the_newest_question_is_written_anew_in_place(tmp_path: Path) -> None:
    """The key e brings it back into the prompt; Escape leaves everything as it was, Enter replaces the exchange."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
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
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        for text in ("One?", "Two?", "Three?"):
            await exchange(pilot, screen, text)
        await pilot.press("alt+up", "up", "up", "up", "e", "!", "enter")
        await until(pilot, lambda: questions(screen) == ["One?", "Two?!"] and len(screen.talk.turns) == 4)
        assert sent(app)[0] == "One?"
        assert [len(talk.turns) for talk in screen.shelf] == [6]


async def test_a_fork_begins_with_what_was_said_so_far(tmp_path: Path) -> None:
    """The key f on the first answer: the model knows the first exchange, the rest stays in the list."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await exchange(pilot, screen, "One?")
        await exchange(pilot, screen, "Two?")
        await pilot.press("alt+up", "up", "up", "f")
        await until(pilot, lambda: questions(screen) == ["One?"])
        await exchange(pilot, screen, "Else?")
        assert sent(app) == ["One?", "Because nothing leaves.", "Else?"]
        assert [len(talk.turns) for talk in screen.shelf] == [4]


async def test_code_and_the_whole_conversation_are_copied(tmp_path: Path) -> None:
    """The key c takes the blocks without their marks, Y everything as Markdown."""
    app = app_over(small_world(tmp_path, engine=FakeEngine(CODE)))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await exchange(pilot, screen, "Code?")
        await pilot.press("alt+up", "c")
        assert app.clipboard == "x = 1\n\ny\n"
        await pilot.press("Y")
        assert "## You\n\nCode?" in app.clipboard
        assert CODE in app.clipboard


async def test_text_is_found_in_the_conversation(tmp_path: Path) -> None:
    """The newest hit first, Enter goes up, Escape leaves the focus at what was found."""
    app = app_over(small_world(tmp_path, engine=FakeEngine("Grün.")))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
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


async def test_what_a_model_thinks_is_folded_and_counted(tmp_path: Path) -> None:
    """The phase is named; space unfolds; the copy is the answer alone."""
    app = app_over(small_world(tmp_path, engine=FakeEngine("Yes.", thinking="one two three four five six", tok_s=20)))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
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


async def test_settings_hold_from_the_next_message_on(tmp_path: Path) -> None:
    """System prompt, temperature and seed reach the engine; empty is the recommendation; nonsense is refused."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await pilot.press("f8", *"Rhyme", "tab", *"7", "enter")
        assert "Temperature must be" in str(app.screen.query_one(".problem", Static).content)
        await pilot.press("backspace", *"0.2")
        app.screen.query_one("#seed", Input).value = "11"
        await pilot.press("enter")
        await exchange(pilot, screen, "One?")
        assert sent(app) == ["Rhyme", "One?"]
        assert app.driver.opened is not None
        sampling = app.driver.opened.session.inner.requests[-1].sampling  # type: ignore[attr-defined]
        assert (sampling.temperature, sampling.top_p, sampling.seed) == (0.2, None, 11)
        assert "system prompt" in str(screen.query_one(Head).content)


async def test_a_text_file_is_counted_before_it_is_sent(tmp_path: Path) -> None:
    """The dialog tells its tokens; the model reads it before the question."""
    file = tmp_path / "minutes.txt"
    file.write_text("one two three")
    app = app_over(small_world(tmp_path / "home"))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await pilot.press("ctrl+t")
        app.screen.query_one(Input).value = str(file)
        await pilot.press("enter")
        await until(pilot, lambda: "7 tokens" in str(app.screen.query_one(".about", Static).content))
        await pilot.press("enter")
        assert "minutes.txt · 7 tokens" in str(screen.query_one(Files).content)
        await exchange(pilot, screen, "What is it?")
        assert sent(app) == ["File minutes.txt:\n\n```\none two three\n```\n\nWhat is it?"]
        assert not screen.query_one(Files).attachments
        assert questions(screen) == ["What is it?"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"\x7fELF\0\xff", "not UTF-8"), (b"a\0b", "binary"), (b"", "empty"), (b"x" * 3_000_000, "MB")],
)
async def test_what_is_no_text_is_not_attached(tmp_path: Path, content: bytes, sentence: str) -> None:
    """A sentence says why, and the dialog stays."""
    file = tmp_path / "file"
    file.write_bytes(content)
    app = app_over(small_world(tmp_path / "home"))
    async with app.run_test(size=SMALL) as pilot:
        await chatting(pilot)
        await pilot.press("ctrl+t")
        app.screen.query_one(Input).value = str(file)
        await pilot.press("enter")
        await until(pilot, lambda: sentence in str(app.screen.query_one(".about", Static).content))


async def test_a_paste_of_ten_thousand_lines_becomes_a_file(tmp_path: Path) -> None:
    """At once, with its size; backspace in the empty prompt drops it; a short paste is text."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        from textual.events import Paste

        screen = await chatting(pilot)
        prompt = screen.query_one(Prompt)
        began_s = time.monotonic()
        app.post_message(Paste("line\r" * 10_000))
        await until(pilot, lambda: "pasted, 10,000 lines · 10" in str(screen.query_one(Files).content))
        assert time.monotonic() - began_s < 1.0
        assert prompt.text == ""
        await pilot.press("backspace")
        assert not screen.query_one(Files).carried
        app.post_message(Paste("a\nb"))
        await until(pilot, lambda: prompt.text == "a\nb")


async def test_what_the_context_does_not_hold_is_said_before_anything_is_dropped(tmp_path: Path) -> None:
    """Nothing is sent; Escape takes the message back; Enter goes on without the oldest messages, which stay to read."""
    app = app_over(small_world(tmp_path, engine=FakeEngine("word " * 3000)))
    async with app.run_test(size=LARGE) as pilot:
        screen = await chatting(pilot)
        await exchange(pilot, screen, "One?")
        await exchange(pilot, screen, "Two?")
        assert app.driver.opened is not None
        requests = app.driver.opened.session.inner.requests  # type: ignore[attr-defined]
        long = "more " * 3000
        await ask(pilot, long)
        banner = screen.query_one(Banner)
        await until(pilot, lambda: banner.display)
        assert "Nothing was sent" in str(banner.content)
        assert "without the first 2 messages" in str(banner.content)
        assert len(requests) == 2
        await pilot.press("escape")
        assert screen.query_one(Prompt).text == long.strip()
        assert questions(screen) == ["One?", "Two?"]
        await pilot.press("enter")
        await until(pilot, lambda: banner.display)
        await pilot.press("enter")
        await until(pilot, lambda: len(screen.talk.turns) == 6)
        assert [message.content[:4] for message in requests[-1].messages] == ["Two?", "word", "more"]
        assert len(screen.query("#unseen")) == 1
        assert len(screen.query(Question)) == 3


async def test_a_message_longer_than_the_context_comes_back_to_be_shortened(tmp_path: Path) -> None:
    """Where dropping helps nothing, nothing is proposed to be dropped."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await ask(pilot, "word " * 9000)
        await until(pilot, lambda: screen.query_one(Banner).display)
        assert "made shorter" in str(screen.query_one(Banner).content)
        await pilot.press("escape")
        screen.query_one(Prompt).clear()
        await exchange(pilot, screen, "Short?")
        assert questions(screen) == ["Short?"]


async def test_a_refusal_of_a_living_engine_loads_nothing_again(tmp_path: Path) -> None:
    """The engine said no and goes on: Enter asks again with the same session."""
    engine = FakeEngine("Yes.")
    app = app_over(small_world(tmp_path, engine=engine))
    async with app.run_test(size=LARGE) as pilot:
        screen = await chatting(pilot)
        assert app.driver.opened is not None
        session = app.driver.opened.session.inner  # type: ignore[attr-defined]
        generate = session.generate

        def refuse(_: object) -> object:
            session.generate = generate
            raise EngineFailed("The template refuses this.", hint="Try again.")

        session.generate = refuse
        await ask(pilot, "One?")
        banner = screen.query_one(Banner)
        await until(pilot, lambda: banner.display)
        assert "Press Enter to ask again" in str(banner.content)
        await pilot.press("enter")
        await until(pilot, lambda: len(screen.talk.turns) == 2)
        assert len(engine.opened) == 1


async def test_another_model_reads_what_was_said_before(tmp_path: Path) -> None:
    """Switching loses nothing, and the transcript says from where on another one answers."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await exchange(pilot, screen, "One?")
        screen.talk.turns[-1] = Turn(role="assistant", text="Because.", time="t", model="elder:Q4_0")
        app.driver.close()
        await pilot.press("f2", "f3")
        await until(pilot, lambda: app.driver.state == "ready")
        drawn = "\n".join(str(remark.content) for remark in screen.query(".remark").results(Static))
        assert "answers from here on" in drawn
        await exchange(pilot, screen, "Two?")
        assert sent(app) == ["One?", "Because.", "Two?"]


async def test_a_conversation_is_exported_as_markdown_and_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name decides; the file is for its owner alone."""
    monkeypatch.chdir(tmp_path)
    app = app_over(small_world(tmp_path / "home"))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await exchange(pilot, screen, "One?")
        for name in ("talk.md", "talk.json"):
            await pilot.press("ctrl+g")
            app.screen.query_one(Input).value = name
            await pilot.press("enter")
            await until(pilot, (tmp_path / name).exists)
    assert "## You\n\nOne?" in (tmp_path / "talk.md").read_text()
    assert json.loads((tmp_path / "talk.json").read_text())["turns"][0]["text"] == "One?"
    assert (tmp_path / "talk.md").stat().st_mode & 0o077 == 0


async def test_a_conversation_of_200_messages_stays_quick(tmp_path: Path) -> None:
    """Shown in seconds, and an answer in it streams with the processor mostly idle."""
    context = small_world(tmp_path, engine=FakeEngine("word " * 120, tok_s=60))
    markdown = "# Title\n\nSome *text*.\n\n- one\n- two\n\n```python\nx = 1\n```\n"
    turns = tuple(
        Turn(role="assistant" if n % 2 else "user", text=markdown if n % 2 else f"Question {n}?", time="t")
        for n in range(200)
    )
    shelf(context).save(Talk(title="Long", created="t", changed="t", turns=turns))
    app = app_over(context)
    async with app.run_test(size=LARGE) as pilot:
        screen = await chatting(pilot)
        await pilot.press("ctrl+l")
        await until(
            pilot, lambda: isinstance(app.screen, TalksScreen) and app.screen.query_one(OptionList).option_count
        )
        cpu_s = time.process_time()
        await pilot.press("enter")
        await until(pilot, lambda: len(screen.query(Question)) == 100)
        assert time.process_time() - cpu_s < 4.0
        cpu_s = time.process_time()
        await ask(pilot, "Go on.")
        while len(screen.talk.turns) < 202:  # noqa: ASYNC110 - looked at rarely, so that looking costs nothing
            await asyncio.sleep(0.1)
        assert time.process_time() - cpu_s < 1.5
        assert shown(last_answer(screen)) == "word " * 120


async def test_scrolled_up_it_stays_there_and_says_that_there_is_more(tmp_path: Path) -> None:
    """Page up from the prompt; Ctrl+End comes back."""
    app = app_over(small_world(tmp_path, engine=FakeEngine("line\n\n" * 60, tok_s=0)))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await exchange(pilot, screen, "Go.")
        transcript = screen.query_one(Transcript)
        await until(pilot, lambda: transcript.max_scroll_y > 50)
        await pilot.press("pageup")
        await until(pilot, lambda: screen.query_one("#below").display)
        await pilot.press("ctrl+end")
        await until(pilot, lambda: not screen.query_one("#below").display)


async def test_a_stop_before_the_engine_has_heard_the_question_stops(tmp_path: Path) -> None:
    """Escape counts from the moment of sending, also while the prompt is still being counted."""
    gate = threading.Event()
    app = app_over(small_world(tmp_path, engine=FakeEngine("word " * 300, tok_s=60)))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        assert app.driver.opened is not None

        def count(_: object) -> int:
            gate.wait(10)
            return 1

        app.driver.opened.session.inner.count_conversation = count  # type: ignore[attr-defined]
        await ask(pilot, "Go.")
        await until(pilot, lambda: app.driver.state == "busy")
        await pilot.press("escape")
        gate.set()
        await until(pilot, lambda: len(screen.talk.turns) == 2)
        assert screen.talk.turns[1].stopped
        assert screen.talk.turns[1].text.count("word") < 10


async def test_a_place_that_cannot_be_written_is_said_and_the_badge_is_honest(tmp_path: Path) -> None:
    """What is not saved is not called saved."""
    context = small_world(tmp_path)
    context.paths.data.mkdir(parents=True, exist_ok=True)
    context.paths.conversations.parent.write_text("a file where the folder should be")
    app = app_over(context)
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await exchange(pilot, screen, "One?")
        await pilot.press("f9")
        await until(pilot, lambda: any("cannot be made" in note.message for note in app._notifications))
        assert "○ not saved" in str(screen.query_one(Head).content)


async def test_a_saved_conversation_is_deleted_from_the_list(tmp_path: Path) -> None:
    """After a question; the one on the screen goes on, and is no longer called saved."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await pilot.press("f9")
        await exchange(pilot, screen, f"One {CANARY}?")
        await until(pilot, shelf(app.context).summaries)
        await pilot.press("ctrl+l")
        talks = app.screen.query_one(OptionList)
        await until(pilot, lambda: talks.option_count == 1)
        await pilot.press("d", "y")
        await until(pilot, lambda: not shelf(app.context).summaries())
        await until(pilot, lambda: "not saved" in str(talks.get_option_at_index(0).prompt))
        await pilot.press("escape")
        assert "○ not saved" in str(screen.query_one(Head).content)
        await exchange(pilot, screen, "Two?")
    assert holding(tmp_path, CANARY) == []
