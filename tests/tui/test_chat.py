"""The chat: streaming, stopping, breaking and going on."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
from textual.widgets import Markdown, Static

from deploy.engine.fake import FakeEngine, FakeSession
from deploy.engine.load_plan import LoadPlan
from deploy.errors import EngineFailed
from tests.tui.kit import (
    LARGE,
    LONG,
    SMALL,
    app_over,
    ask,
    chat,
    in_chat,
    last_answer,
    looked,
    questions,
    shown,
    small_world,
    until,
)
from tui.screens.chat import ChatScreen
from tui.widgets.banner import Banner
from tui.widgets.prompt import Prompt
from tui.widgets.transcript import LIVE_ANSWERS, Answer, Question, Transcript

MARKDOWN = "# Title\n\nSome text with words.\n\n```python\nx = 1\n\ny = 2\n```\n\n- one\n- two\n\nThe end."


class FailingEngine(FakeEngine):
    """An engine that cannot be opened the first time."""

    failures = 1

    def open(self, files: Sequence[Path], plan: LoadPlan, on_loading: Callable[[float], None]) -> FakeSession:
        """Fail once, then be the fake engine."""
        if self.failures:
            self.failures -= 1
            raise EngineFailed("The engine refused the model.", hint="Try again.")
        return super().open(files, plan, on_loading)


def answered(screen: ChatScreen, count: int) -> bool:
    """Whether so many answers are complete."""
    return sum(1 for answer in screen.query(Answer) if answer.source) == count


@pytest.mark.parametrize(("tok_s", "times"), [(5, 1), (60, 6), (300, 30)])
async def test_an_answer_streams_in_and_ends_whole(tmp_path: Path, tok_s: int, times: int) -> None:
    """Text is on the screen while it comes, and at the end it is the answer to the letter."""
    answer = "\n\n".join([MARKDOWN] * times)
    async with in_chat(tmp_path, FakeEngine(answer, tok_s=tok_s), size=LARGE) as (_app, pilot, screen):
        await ask(pilot, "Tell me.")
        await until(pilot, lambda: screen.query(Answer) and shown(last_answer(screen)))
        assert answer.startswith(last_answer(screen).query_one(Markdown).source)
        assert not last_answer(screen).source
        await until(pilot, lambda: last_answer(screen).source)
        assert last_answer(screen).source == answer
        assert shown(last_answer(screen)) == answer
        assert questions(screen) == ["Tell me."]
        assert "tok/s" in str(last_answer(screen).query_one(".note", Static).content)


async def test_streamed_blocks_are_those_of_the_whole_text(tmp_path: Path) -> None:
    """Letter by letter gives the same headings, fences and lists as all at once."""
    async with in_chat(tmp_path, size=LARGE) as (_app, _pilot, screen):
        transcript = screen.query_one(Transcript)
        streamed, whole = Answer("streamed"), Answer("whole")
        await transcript.add(streamed)
        await transcript.add(whole)
        for letter in MARKDOWN:
            await streamed.add(letter)
        await streamed.end("")
        await whole.query_one(Markdown).update(MARKDOWN)
        kinds = [
            [type(block).__name__ for block in answer.query_one(Markdown).children] for answer in (streamed, whole)
        ]
        assert kinds[0] == kinds[1]
        assert len(kinds[0]) == 5


async def test_escape_stops_and_keeps_what_was_said(tmp_path: Path) -> None:
    """The partial answer stays, marked, and is part of the conversation."""
    async with in_chat(tmp_path, FakeEngine(LONG, tok_s=60)) as (app, pilot, screen):
        await ask(pilot, "Go.")
        await until(pilot, lambda: screen.vitals.rate.count > 3)
        await pilot.press("escape")
        await until(pilot, lambda: app.driver.state == "ready")
        answer = last_answer(screen)
        assert 0 < len(answer.source) < len(LONG)
        assert "stopped" in str(answer.query_one(".note", Static).content)
        conversation = app.driver.conversation
        assert conversation is not None
        assert [turn.content for turn in conversation.turns] == ["Go.", answer.source]


async def test_an_engine_that_dies_is_a_banner_and_enter_goes_on(tmp_path: Path) -> None:
    """The sentence and the hint are shown; Enter loads the model again and asks again, with the turns before."""
    engine = FakeEngine("It is fine.", tok_s=100)
    async with in_chat(tmp_path, engine, size=LARGE) as (app, pilot, screen):
        await ask(pilot, "First?")
        await until(pilot, lambda: last_answer(screen).source)
        engine.dies_after = 2
        await ask(pilot, "Second?")
        banner = screen.query_one(Banner)
        await until(pilot, lambda: banner.display)
        assert "was killed (SIGKILL)" in str(banner.content)
        assert "Press Enter" in str(banner.content)
        assert app.focused is banner
        await pilot.press("enter")
        await until(pilot, lambda: app.driver.state == "ready" and last_answer(screen).source == "It is fine.")
        assert not banner.display
        assert questions(screen) == ["First?", "Second?"]
        assert len(screen.query(Answer)) == 2
        conversation = app.driver.conversation
        assert conversation is not None
        assert len(conversation.turns) == 4
        assert len(engine.opened) == 2


async def test_a_new_message_after_a_death_loads_the_model_by_itself(tmp_path: Path) -> None:
    """Whoever writes on instead of retrying is answered, too."""
    engine = FakeEngine("Yes.", dies_after=1)
    async with in_chat(tmp_path, engine, size=LARGE) as (app, pilot, screen):
        await ask(pilot, "One?")
        await until(pilot, lambda: app.driver.state == "broken")
        await pilot.press("escape")
        await ask(pilot, "Two?")
        await until(pilot, lambda: last_answer(screen).source == "Yes.")
        conversation = app.driver.conversation
        assert conversation is not None
        assert [turn.content for turn in conversation.turns] == ["Two?", "Yes."]


async def test_a_model_that_cannot_be_loaded_can_be_tried_again(tmp_path: Path) -> None:
    """A failed load is a banner with its cause, and Enter tries once more."""
    app = app_over(small_world(tmp_path, engine=FailingEngine()))
    async with app.run_test(size=LARGE) as pilot:
        await until(pilot, lambda: app.look is not None)
        await pilot.press("enter")
        await until(pilot, lambda: app.driver.state == "broken")
        await until(pilot, lambda: "refused the model" in str(chat(app).query_one(Banner).content))
        await pilot.press("enter")
        await until(pilot, lambda: app.driver.state == "ready")


async def test_chat_without_any_model_says_where_to_get_one(tmp_path: Path) -> None:
    """F3 on an empty machine is no dead end."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: app.look is not None)
        await pilot.press("f3")
        await until(pilot, lambda: app.driver.state == "broken")
        assert "Press Enter to choose and install one." in str(chat(app).query_one(Banner).content)


async def test_a_message_sent_while_the_model_loads_is_asked_when_it_is_there(tmp_path: Path) -> None:
    """Nobody has to wait for the loading to write."""
    async with in_chat(tmp_path) as (app, pilot, screen):
        app.driver.close()
        await pilot.press("f2", "f3")
        await ask(pilot, "Early?")
        await until(pilot, lambda: screen.query(Answer) and last_answer(screen).source)
        assert questions(screen) == ["Early?"]


async def test_a_second_message_waits_for_the_person(tmp_path: Path) -> None:
    """While an answer comes, Enter sends nothing and the text stays in the prompt."""
    async with in_chat(tmp_path, FakeEngine(LONG, tok_s=60)) as (_app, pilot, screen):
        await ask(pilot, "One.")
        await until(pilot, lambda: screen.vitals.rate.count > 1)
        await ask(pilot, "Two.")
        assert questions(screen) == ["One."]
        assert screen.query_one(Prompt).text == "Two."


async def test_control_n_begins_anew_also_in_mid_answer(tmp_path: Path) -> None:
    """The transcript and the turns are gone; the model stays loaded."""
    engine = FakeEngine(LONG, tok_s=60)
    async with in_chat(tmp_path, engine) as (app, pilot, screen):
        await ask(pilot, "One.")
        await until(pilot, lambda: screen.vitals.rate.count > 1)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: not screen.query(Question))
        conversation = app.driver.conversation
        assert conversation is not None
        assert conversation.turns == ()
        assert len(engine.opened) == 1
        assert app.driver.state == "ready"


@pytest.mark.parametrize("key", ["alt+enter", "shift+enter", "ctrl+j"])
async def test_new_lines_in_the_prompt(tmp_path: Path, key: str) -> None:
    """Several keys begin a line; Enter sends them all."""
    async with in_chat(tmp_path) as (_app, pilot, screen):
        await pilot.press("a", key, "b", "enter")
        await until(pilot, lambda: questions(screen) == ["a\nb"])


async def test_a_backslash_before_enter_begins_a_line(tmp_path: Path) -> None:
    """For terminals that send none of the other keys."""
    async with in_chat(tmp_path) as (_app, pilot, screen):
        await pilot.press("a", "backslash", "enter", "b", "enter")
        await until(pilot, lambda: questions(screen) == ["a\nb"])


async def test_resizing_while_streaming_loses_nothing(tmp_path: Path) -> None:
    """Every width from tiny to wide in mid-answer."""
    async with in_chat(tmp_path, FakeEngine(MARKDOWN, tok_s=30), size=LARGE) as (_app, pilot, screen):
        await ask(pilot, "Tell me.")
        for width, height in ((40, 10), (100, 30), (20, 6), (200, 60), SMALL):
            await pilot.resize_terminal(width, height)
        await until(pilot, lambda: last_answer(screen).source)
        assert shown(last_answer(screen)) == MARKDOWN


async def test_leaving_the_place_does_not_stop_the_answer(tmp_path: Path) -> None:
    """F2 and back: the answer went on, and the model was loaded once."""
    engine = FakeEngine(MARKDOWN, tok_s=60)
    async with in_chat(tmp_path, engine) as (app, pilot, screen):
        await ask(pilot, "Tell me.")
        await pilot.press("f2")
        await until(pilot, lambda: app.driver.state == "ready")
        await pilot.press("f3")
        assert last_answer(screen).source == MARKDOWN
        assert len(engine.opened) == 1


async def test_messages_are_reached_and_copied_as_they_were_written(tmp_path: Path) -> None:
    """Alt+Up leads to the newest answer, y copies its source, Escape leads back."""
    async with in_chat(tmp_path, FakeEngine(MARKDOWN)) as (app, pilot, screen):
        await ask(pilot, "Tell me.")
        await until(pilot, lambda: last_answer(screen).source)
        await pilot.press("alt+up", "y")
        assert app.clipboard == MARKDOWN
        await pilot.press("up", "y")
        assert app.clipboard == "Tell me."
        await pilot.press("escape")
        assert app.focused is screen.query_one(Prompt)


async def test_old_answers_become_light_and_lose_nothing(tmp_path: Path) -> None:
    """Only the newest ones are trees of widgets."""
    async with in_chat(tmp_path, FakeEngine(MARKDOWN)) as (_app, pilot, screen):
        for index in range(LIVE_ANSWERS + 2):
            await ask(pilot, f"Number {index}?")
            await until(pilot, partial(answered, screen, index + 1))
        answers = list(screen.query(Answer))
        assert [answer.is_live for answer in answers] == [False] * 2 + [True] * LIVE_ANSWERS
        assert {answer.source for answer in answers} == {MARKDOWN}


async def test_what_a_model_writes_cannot_steer_the_terminal(tmp_path: Path) -> None:
    """Escape sequences and foreign line ends are shown as marks; HTML is shown as text; the copy keeps the source."""
    nasty = "one\u2028two\n\n<think>\nhidden\n</think>\n\n\x1b]52;c;eA==\x07end"
    async with in_chat(tmp_path, FakeEngine(nasty), size=LARGE) as (_app, pilot, screen):
        await ask(pilot, "[bold]Go[/bold] \x1b[31m")
        await until(pilot, lambda: last_answer(screen).source)
        await pilot.pause()
        drawn = "\n".join(strip.text for strip in screen._compositor.render_strips())
        assert "\x1b" not in drawn
        assert "<think>" in drawn
        assert drawn.count("hidden") == 1
        assert "[bold]Go[/bold]" in drawn
        assert last_answer(screen).source == nasty


async def test_a_question_that_came_before_any_model_is_answered_when_one_is_there(tmp_path: Path) -> None:
    """Enter leads from the chat to the list, Enter there installs and comes back, and nothing is typed twice."""
    app = app_over(small_world(tmp_path, engine=FakeEngine("Aye.")))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        await pilot.press("f3")
        await until(pilot, lambda: app.current_mode == "chat" and chat(app).query_one(Banner).has_focus)
        await pilot.press("escape")
        await ask(pilot, "Early?")
        await until(pilot, lambda: app.driver.state == "broken" and chat(app).query_one(Banner).has_focus)
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "models")
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "chat" and len(chat(app).talk.turns) == 2)
        assert questions(chat(app)) == ["Early?"]
        assert last_answer(chat(app)).source == "Aye."
