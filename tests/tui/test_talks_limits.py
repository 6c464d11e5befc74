"""What goes into a conversation: settings, files, more than the context holds; and where it is written."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, OptionList, Static

from deploy.commands.conversations import shelf
from deploy.conversations import Talk, Turn
from deploy.engine.fake import FakeEngine
from deploy.errors import EngineFailed
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
    shown,
    small_world,
    until,
)
from tui.app import LandfastApp
from tui.screens.talks import TalksScreen
from tui.widgets.banner import Banner
from tui.widgets.files import Files
from tui.widgets.head import Head
from tui.widgets.prompt import Prompt
from tui.widgets.transcript import Answer, Question, Transcript


def refusing_once(app: LandfastApp) -> Any:
    """The chat's session, whose engine refuses the next request and lives on."""
    assert app.driver.opened is not None
    session: Any = app.driver.opened.session.inner  # type: ignore[attr-defined]
    generate = session.generate

    def refuse(_: object) -> object:
        session.generate = generate
        raise EngineFailed("The template refuses this.", hint="Try again.")

    session.generate = refuse
    return session


async def test_settings_hold_from_the_next_message_on(tmp_path: Path) -> None:
    """System prompt, temperature and seed reach the engine; empty is the recommendation; nonsense is refused."""
    async with in_chat(tmp_path) as (app, pilot, screen):
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


async def test_one_endless_line_becomes_a_file_too_and_too_much_is_refused(tmp_path: Path) -> None:
    """A line of data would be drawn anew with every key; the limit is that of files."""
    from textual.events import Paste

    async with in_chat(tmp_path) as (app, pilot, screen):
        app.post_message(Paste("x" * 20_000))
        await until(pilot, lambda: "pasted, 20,000 characters" in str(screen.query_one(Files).content))
        assert screen.query_one(Prompt).text == ""
        app.post_message(Paste("line\n" * 500_000))
        await until(pilot, lambda: any("more than 2 MB" in told.message for told in app._notifications))
        assert len(screen.query_one(Files).carried) == 1


async def test_a_paste_of_ten_thousand_lines_becomes_a_file(tmp_path: Path) -> None:
    """With its size, and without being drawn; backspace in the empty prompt drops it; a short paste is text."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        from textual.events import Paste

        screen = await chatting(pilot)
        prompt = screen.query_one(Prompt)
        app.post_message(Paste("line\r" * 10_000))
        await until(pilot, lambda: "pasted, 10,000 lines · 10" in str(screen.query_one(Files).content))
        assert prompt.text == ""
        await pilot.press("backspace")
        assert not screen.query_one(Files).carried
        app.post_message(Paste("a\nb"))
        await until(pilot, lambda: prompt.text == "a\nb")


async def test_what_the_context_does_not_hold_is_said_before_anything_is_dropped(tmp_path: Path) -> None:
    """Nothing is sent; Escape takes the message back; Enter goes on without the oldest messages, which stay to read."""
    async with in_chat(tmp_path, FakeEngine("word " * 3000), size=LARGE) as (app, pilot, screen):
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
        assert not banner.display, "it would offer what is done"
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
    async with in_chat(tmp_path) as (_app, pilot, screen):
        await ask(pilot, "word " * 9000)
        await until(pilot, lambda: screen.query_one(Banner).display)
        assert "made shorter" in str(screen.query_one(Banner).content)
        assert "said before" not in str(screen.query_one(Banner).content)
        await pilot.press("escape")
        screen.query_one(Prompt).clear()
        await exchange(pilot, screen, "Short?")
        assert questions(screen) == ["Short?"]


async def test_what_was_to_be_left_out_of_one_conversation_is_left_out_of_no_other(tmp_path: Path) -> None:
    """A message was not sent; a fork goes on without it, and Enter on a later problem asks again with everything."""
    async with in_chat(tmp_path, FakeEngine("word " * 3000), size=LARGE) as (app, pilot, screen):
        await exchange(pilot, screen, "One?")
        await exchange(pilot, screen, "Two?")
        await ask(pilot, "more " * 3000)
        banner = screen.query_one(Banner)
        await until(pilot, lambda: banner.display)
        last_answer(screen).focus()
        await pilot.press("f")
        await until(pilot, lambda: questions(screen) == ["One?", "Two?"])
        session = refusing_once(app)
        await pilot.press("alt+up", "r")
        await until(pilot, lambda: banner.display)
        await pilot.press("enter")
        await until(pilot, lambda: len(screen.talk.turns) == 4)
        assert [message.content[:4] for message in session.requests[-1].messages] == ["One?", "word", "Two?"]
        assert not screen.query("#unseen")


async def test_a_message_that_was_not_sent_is_asked_of_the_model_that_is_loaded_next(tmp_path: Path) -> None:
    """It does not stand there unanswered and without a word: where the next one has no room either, that is said."""
    async with in_chat(tmp_path) as (app, pilot, screen):
        await ask(pilot, "word " * 9000)
        banner = screen.query_one(Banner)
        await until(pilot, lambda: banner.display)
        app.driver.close()
        await pilot.press("f2", "f3")
        await until(pilot, lambda: app.driver.state == "ready" and banner.display)
        assert "made shorter" in str(banner.content)
        await pilot.press("escape")
        assert screen.query_one(Prompt).text.startswith("word word")


async def test_a_refusal_of_a_living_engine_loads_nothing_again(tmp_path: Path) -> None:
    """The engine said no and goes on: Enter asks again with the same session."""
    engine = FakeEngine("Yes.")
    async with in_chat(tmp_path, engine, size=LARGE) as (app, pilot, screen):
        refusing_once(app)
        await ask(pilot, "One?")
        banner = screen.query_one(Banner)
        await until(pilot, lambda: banner.display)
        assert "Press Enter to ask again" in str(banner.content)
        await pilot.press("enter")
        await until(pilot, lambda: len(screen.talk.turns) == 2)
        assert len(engine.opened) == 1


async def test_another_model_reads_what_was_said_before(tmp_path: Path) -> None:
    """Switching loses nothing, and the transcript says from where on another one answers."""
    async with in_chat(tmp_path) as (app, pilot, screen):
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
        for proposed in ("conversation.md", "conversation-2.md"):
            await pilot.press("ctrl+g")
            assert app.screen.query_one(Input).value == proposed, "no name of a file that there is"
            await pilot.press("enter")
            await until(pilot, (tmp_path / proposed).exists)
    assert "## You\n\nOne?" in (tmp_path / "talk.md").read_text()
    assert json.loads((tmp_path / "talk.json").read_text())["turns"][0]["text"] == "One?"
    assert (tmp_path / "talk.md").stat().st_mode & 0o077 == 0


async def test_a_conversation_of_200_messages_stays_light(tmp_path: Path) -> None:
    """A message of before is at most three widgets, so that it is laid out in no time; only a new answer is a tree."""
    context = small_world(tmp_path, engine=FakeEngine("word " * 120, tok_s=300))
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
        await pilot.press("enter")
        await until(pilot, lambda: len(screen.query(Question)) == 100)
        assert len(screen.query_one(Transcript).query("*")) <= 3 * 200
        await exchange(pilot, screen, "Go on.")
        assert [answer.is_live for answer in screen.query(Answer)] == [False] * 100 + [True]
        assert shown(last_answer(screen)) == "word " * 120


async def test_scrolled_up_it_stays_there_and_says_that_there_is_more(tmp_path: Path) -> None:
    """Page up from the prompt; Ctrl+End comes back."""
    async with in_chat(tmp_path, FakeEngine("line\n\n" * 60, tok_s=0)) as (_app, pilot, screen):
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
    async with in_chat(tmp_path, FakeEngine("word " * 300, tok_s=60)) as (app, pilot, screen):
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
        await until(pilot, lambda: any("cannot be created" in note.message for note in app._notifications))
        assert "○ not saved" in str(screen.query_one(Head).content)


async def test_a_saved_conversation_is_deleted_from_the_list(tmp_path: Path) -> None:
    """After a question; the one on the screen goes on, and is no longer called saved."""
    async with in_chat(tmp_path) as (app, pilot, screen):
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
