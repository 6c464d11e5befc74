"""Filters, marks, comparisons, other machines and the policy on the list of models."""

from pathlib import Path

import pytest

from tests.tui.kit import LARGE, SMALL, AppPilot, app_over, looked, names, painted, table, until
from tests.tui.scenes import forbidden_world, models_world
from tui.app import LandfastApp
from tui.screens.compare import CompareScreen
from tui.screens.machines import MachinesScreen
from tui.screens.wishes import WishesScreen


async def simulated(pilot: AppPilot, machine: str = "laptop-8gb") -> LandfastApp:
    """Plan for another machine."""
    app = await looked(pilot)
    await pilot.press("s")
    await until(pilot, lambda: " machines" in painted(app))
    await pilot.press(*machine, "enter")
    await until(pilot, lambda: app.look is not None and app.look.simulated)
    return app


async def test_another_machine_is_marked_loudly_and_escape_comes_back(tmp_path: Path) -> None:
    """The mark is a word, the figures are the other machine's, and the twin names it."""
    app = app_over(models_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await simulated(pilot)
        assert "SIMULATED: Laptop" in painted(app)
        assert "i5-1135G7" in painted(app)
        assert "--machine laptop-8gb" in app.screen.twin  # type: ignore[attr-defined]
        await pilot.press("escape")
        await until(pilot, lambda: app.look is not None and not app.look.simulated)
        assert "SIMULATED" not in painted(app)
        assert "Test processor" in painted(app)


async def test_nothing_is_installed_for_a_machine_that_is_not_here(tmp_path: Path) -> None:
    """Enter and i say how to come back."""
    app = app_over(models_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await simulated(pilot)
        await pilot.press("enter", "i")
        assert app.installs.jobs == ()
        assert any("Press Esc" in note.message for note in app._notifications)


async def test_a_machine_that_is_no_machine_is_a_sentence_and_this_one_stays(tmp_path: Path) -> None:
    """A path that leads nowhere."""
    app = app_over(models_world(tmp_path))
    async with app.run_test(size=LARGE) as pilot:
        await looked(pilot)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, MachinesScreen) and " machines" in painted(app))
        await pilot.press(*"/no.json", "enter")
        await until(pilot, lambda: "There is no machine" in painted(app))
        assert app.machine is None


async def test_two_marked_models_are_compared_as_on_the_command_line(tmp_path: Path) -> None:
    """Both columns, the better figures marked, and the sentences of the command."""
    app = app_over(models_world(tmp_path))
    async with app.run_test(size=LARGE) as pilot:
        await looked(pilot)
        await pilot.press("space", "j", "v")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and "Parameters" in painted(app))
        text = painted(app)
        assert "Middle Q5_K_M" in text
        assert "Tiny Q4_0" in text
        assert "times as much memory" in text
        assert "◀ the better value" in text
        assert text.count("◀") > 2


async def test_a_comparison_needs_two_and_says_so(tmp_path: Path) -> None:
    """Without a mark v explains itself; a third mark takes the place of the first."""
    app = app_over(models_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        await pilot.press("v")
        assert any("Space" in note.message for note in app._notifications)
        await pilot.press("a", "g", "space", "j", "space", "j", "space")
        marked = [table(app).get_row_at(index)[0].plain[0] for index in range(3)]
        assert marked == ["★", "◆", "◆"]


async def test_wishes_change_the_figures_and_the_list(tmp_path: Path) -> None:
    """A longer context is planned anew, and what is shown can be narrowed; the line below says so."""
    app = app_over(models_world(tmp_path))
    async with app.run_test(size=LARGE) as pilot:
        await looked(pilot)
        await pilot.press("f", "down", "down", "left", "down", "left", "left", "enter")
        await until(pilot, lambda: app.look is not None and app.look.data.workload.context_tokens == 4096)
        assert app.look is not None
        assert app.look.data.workload.min_decode_tok_s == 0
        assert "Crawler" in names(app)
        assert "4k context" in painted(app)
        await pilot.press("f", "up", "up", "up", "right", "right", "enter")
        await until(pilot, lambda: names(app) == [])


async def test_wishes_that_are_left_change_nothing(tmp_path: Path) -> None:
    """Escape is no Enter."""
    app = app_over(models_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        before = app.workload
        await pilot.press("f", "right")
        await until(pilot, lambda: isinstance(app.screen, WishesScreen))
        await pilot.press("escape")
        assert app.workload == before


@pytest.mark.parametrize("key", ["enter", "i"])
async def test_what_the_policy_forbids_stays_in_sight_and_cannot_be_installed(tmp_path: Path, key: str) -> None:
    """The row says so in a word, and the refusal names the rule."""
    app = app_over(forbidden_world(tmp_path))
    async with app.run_test(size=LARGE) as pilot:
        await looked(pilot)
        assert "Middle" in names(app)
        assert "✗ policy" in painted(app)
        await pilot.press(key)
        assert app.installs.jobs == ()
        assert any("allow.licence" in note.message for note in app._notifications)
