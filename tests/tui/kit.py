"""What the tests of the UI share: an app over a small world, and waiting for something to become true."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Markdown, Static

from deploy.commands.context import Context
from deploy.engine.base import Engine
from deploy.engine.fake import FakeEngine
from deploy.sources.base import Source
from profiles.machine import Machine
from tests.support.world import FakeSource, artifact, model, sized, world
from tui.app import LandfastApp
from tui.screens.chat import ChatScreen
from tui.widgets.modeltable import ModelTable
from tui.widgets.prompt import Prompt
from tui.widgets.transcript import Answer, Question

GB: Final = 10**9
SMALL: Final = (80, 24)
LARGE: Final = (140, 40)
LIMIT_S: Final = 20.0
LONG: Final = " ".join(f"word{index}" for index in range(400))
"""An answer that takes a while."""
CANARY: Final = "canary-5b1d"
"""What must not be found where it does not belong."""

AppPilot = Pilot[int]


def small_world(
    home: Path, *, sources: tuple[Source, ...] | None = None, engine: Engine | None = None, on: Machine | None = None
) -> Context:
    """Three models: a tiny one that can be installed, a fast one out of reach, and one too large for the machine."""
    return world(
        home,
        model("tiny", artifact("Q4_0")),
        model("faraway", sized("Q8_0", GB // 2), parameters=GB // 4),
        model("giant", sized("Q4_K_M", 900 * GB), parameters=1000 * GB),
        sources=sources if sources is not None else (FakeSource(),),
        engine=engine or FakeEngine(),
        on=on,
    )


def app_over(context: Context) -> LandfastApp:
    """The app over a world, without animations."""
    app = LandfastApp(context)
    app.animation_level = "none"
    return app


async def until(pilot: AppPilot, condition: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    """Let the app go on until the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await pilot.pause(0.01)
    await pilot.pause()


async def looked(pilot: AppPilot) -> LandfastApp:
    """Wait until the list of models stands."""
    app = pilot.app
    assert isinstance(app, LandfastApp)
    await until(pilot, lambda: app.look is not None and table(app).row_count > 0)
    return app


async def chatting(pilot: AppPilot) -> ChatScreen:
    """Install the tiny model as a newcomer would, and wait in the chat until it is loaded."""
    app = await looked(pilot)
    await pilot.press("enter")
    await until(pilot, lambda: app.current_mode == "chat" and app.driver.state == "ready")
    return chat(app)


@asynccontextmanager
async def in_chat(
    home: Path, engine: Engine | None = None, *, size: tuple[int, int] = SMALL
) -> AsyncIterator[tuple[LandfastApp, AppPilot, ChatScreen]]:
    """The app over the small world, in the chat with the tiny model."""
    app = app_over(small_world(home, engine=engine))
    async with app.run_test(size=size) as pilot:
        yield app, pilot, await chatting(pilot)


async def ask(pilot: AppPilot, text: str) -> None:
    """Write a message and send it."""
    chat(pilot.app).query_one(Prompt).insert(text)
    await pilot.press("enter")


def chat(app: object) -> ChatScreen:
    """The chat, which must be the place that is shown."""
    assert isinstance(app, LandfastApp)
    screen = app.screen_stack[0]
    assert isinstance(screen, ChatScreen)
    return screen


def table(app: LandfastApp) -> ModelTable:
    """The list of models."""
    return app.screen_stack[0].query_one(ModelTable)


def names(app: LandfastApp) -> list[str]:
    """The names that the list shows, from the top."""
    return [table(app).get_row_at(index)[0].plain.strip(" ★◆") for index in range(table(app).row_count)]


def last_answer(screen: ChatScreen) -> Answer:
    """The newest answer."""
    return screen.query(Answer).last()


def shown(answer: Answer) -> str:
    """What can be read of an answer now: its Markdown and the open tail below."""
    blocks = answer.query(Markdown)
    return (blocks.first().source if blocks else "") + str(answer.query_one(".tail", Static).content)


def questions(screen: ChatScreen) -> list[str]:
    """What was asked, as it stands on the screen."""
    return [question.source for question in screen.query(Question)]


@dataclass(frozen=True)
class Scene:
    """One state of one place: a world, and the way there."""

    world: Callable[[Path], Context]
    play: Callable[[AppPilot], Awaitable[None]]


def strips(app: LandfastApp) -> list[Strip]:
    """What is painted, line by line."""
    return app.screen._compositor.render_strips()


def painted(app: object) -> str:
    """What is painted, as text."""
    assert isinstance(app, LandfastApp)
    return "\n".join(strip.text.rstrip() for strip in strips(app))


def style_map(app: LandfastApp) -> str:
    """How it is painted: a letter for each style, and below what the letters stand for."""
    letters: dict[str, str] = {}
    lines = []
    for strip in strips(app):
        line = ""
        for segment in strip:
            line += letters.setdefault(str(segment.style), chr(ord("A") + len(letters))) * segment.cell_length
        lines.append(line)
    return "\n".join(lines) + "\n\n" + "\n".join(f"{letter} {style}" for style, letter in letters.items())


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
