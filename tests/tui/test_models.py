"""The list of models: what stands in it, how it is searched, and what it says of each."""

from functools import partial
from pathlib import Path

import msgspec
import pytest
from textual.widgets import Input, Static

from deploy.commands.install import InstallRequest, install
from deploy.commands.select import select
from deploy.fit.fit import Workload
from tests.support.world import TINY, FakeSource, blind_machine
from tests.tui.kit import LARGE, SMALL, app_over, chatting, looked, names, painted, small_world, table, until
from tui.app import LandfastApp
from tui.rows import rows_of
from tui.screens.confirm import ConfirmScreen
from tui.widgets.hints import Hints
from tui.widgets.why import WhyPanel


def said(app: LandfastApp, selector: str) -> str:
    """The text of one part of the screen, as it is drawn."""
    widget = app.screen.query_one(selector)
    region = widget.region
    lines = app.screen._compositor.render_strips()
    return "\n".join(line.text[region.x : region.right] for line in lines[region.y : region.bottom])


def flat(app: LandfastApp) -> str:
    """The panel of reasons as one line, wherever it was wrapped."""
    return " ".join(said(app, "#why").replace("│", "").split())


def reasons_shown(app: LandfastApp) -> bool:
    """Whether the panel of reasons is there."""
    return app.screen.query_one(WhyPanel).display


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_what_fits_comes_first_and_what_does_not_waits_behind_a_key(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    """The choice, then what fits but cannot be had; `a` adds what is too large."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=size) as pilot:
        await looked(pilot)
        assert names(app) == ["Tiny", "Faraway"]
        assert "1 too large" in said(app, "#count")
        await pilot.press("a")
        assert names(app) == ["Tiny", "Faraway", "Giant"]
        await pilot.press("a")
        assert names(app) == ["Tiny", "Faraway"]


async def test_the_machine_stands_on_top_with_what_a_model_may_take(tmp_path: Path) -> None:
    """Processor, memory, why no GPU, and disk, within the first lines."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        machine = said(app, "#machine")
        for part in (
            "Test processor",
            "4 threads",
            "no GPU found",
            "RAM 16 GB",
            "GB free for a model",
            "disk 100 GB",
        ):
            assert part in machine


async def test_a_machine_that_tells_nothing_is_shown_as_unknown(tmp_path: Path) -> None:
    """Unknown is a word, neither zero nor a crash."""
    app = app_over(small_world(tmp_path, on=blind_machine()))
    async with app.run_test(size=LARGE) as pilot:
        await until(pilot, lambda: app.look is not None)
        assert "unknown processor" in said(app, "#machine")
        assert "RAM unknown" in said(app, "#machine")
        assert "✗" in said(app, "#advice")


async def test_the_filter_narrows_the_list_and_escape_brings_it_back(tmp_path: Path) -> None:
    """Every word must be found; the list keeps the keyboard afterwards."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        await pilot.press("slash", *"far")
        assert names(app) == ["Faraway"]
        await pilot.press("enter")
        assert app.focused is table(app)
        assert app.screen.query_one("#filter", Input).display
        await pilot.press("slash", "escape")
        assert names(app) == ["Tiny", "Faraway"]
        assert app.focused is table(app)


async def test_letters_in_the_filter_are_letters(tmp_path: Path) -> None:
    """The keys of the list do nothing while a text is written."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        await pilot.press("slash", *"air2")
        assert app.screen.query_one("#filter", Input).value == "air2"
        assert app.current_mode == "models"


async def test_the_reasons_stand_beside_a_wide_list_and_open_by_a_key_under_a_narrow_one(tmp_path: Path) -> None:
    """One pane at 80 columns, two from 100; `?` shows or hides them in both."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        assert not reasons_shown(app)
        await pilot.press("question_mark")
        assert reasons_shown(app)
        assert table(app).size.height >= 2
        await pilot.press("question_mark")
        assert not reasons_shown(app)
        await pilot.resize_terminal(120, 40)
        await until(pilot, partial(reasons_shown, app))
        await pilot.press("question_mark")
        assert not reasons_shown(app)


async def test_the_reasons_add_up_and_name_their_origins(tmp_path: Path) -> None:
    """Terms, sum, room, speed and quality of the row, each with where it comes from."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=(140, 70)) as pilot:
        await looked(pilot)
        text = flat(app)
        look = app.look
        assert look is not None
        assert look.data.ranking.chosen is not None
        chosen = look.data.ranking.chosen.fit
        for term in chosen.memory.terms:
            assert f"{term.name} {term.how}" in text
        for part in ("Why this one", "together", chosen.speed.decode_tok_s.source, chosen.quality.source):
            assert part in text
        await pilot.press("j")
        await until(pilot, lambda: "no source in reach has it" in flat(app))


async def test_a_narrow_list_keeps_what_matters(tmp_path: Path) -> None:
    """At 80 columns name, fit, needs, speed and state are there; with the side pane at 100 at least fit and speed."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        assert [str(column.value) for column in table(app).columns] == ["name", "needs", "verdict", "speed", "state"]
        await pilot.resize_terminal(100, 30)
        await until(pilot, lambda: len(table(app).columns) == 4)
        assert {"name", "verdict", "speed"} <= {str(column.value) for column in table(app).columns}
        await pilot.resize_terminal(200, 50)
        await until(pilot, lambda: len(table(app).columns) == 7)


@pytest.mark.parametrize("size", [(20, 5), (40, 10), SMALL, LARGE])
async def test_no_size_breaks_the_screen(tmp_path: Path, size: tuple[int, int]) -> None:
    """Even a terminal far too small is drawn, and the footer is one line."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=size) as pilot:
        await looked(pilot)
        assert app.screen.query_one(Hints).size.height == 1


async def test_a_model_that_nobody_has_is_refused_with_the_reason(tmp_path: Path) -> None:
    """Enter and i on it begin nothing, and say why."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        await pilot.press("j", "enter")
        await pilot.pause()
        assert app.installs.jobs == ()
        assert [note.title for note in app._notifications] == ["Faraway cannot be installed here"]


async def test_a_source_that_does_not_answer_is_named(tmp_path: Path) -> None:
    """Where nothing can be had the screen says what to do, and a refresh finds the source when it is back."""
    source = FakeSource(reachable=False)
    app = app_over(small_world(tmp_path, sources=(source,)))
    async with app.run_test(size=LARGE) as pilot:
        await looked(pilot)
        assert "no source in reach has any of them" in said(app, "#advice")
        source.reachable = True
        await pilot.press("r")
        await until(pilot, lambda: "Press Enter" in str(app.screen.query_one("#advice", Static).content))


async def test_a_catalogue_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    """A fault below the UI is shown, not raised."""
    context = small_world(tmp_path)
    (context.paths.store / "models").mkdir(parents=True)
    (context.paths.store / "models" / "tiny@Q4_0.json").write_text("{")
    app = app_over(context)
    async with app.run_test(size=LARGE) as pilot:
        await looked(pilot)
        assert app.look is not None
        assert any("cannot be used" in message.text for message in app.look.messages)


async def test_an_installed_model_is_removed_after_a_question(tmp_path: Path) -> None:
    """Enter leaves it; y removes it, the loaded engine goes first, and nobody comes back to it."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        await pilot.press("d")
        assert not isinstance(app.screen, ConfirmScreen), "there is nothing to remove yet"
        await chatting(pilot)
        await pilot.press("f2")
        await until(pilot, lambda: app.look is not None and app.look.installed and app.current_mode == "models")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert "Remove Tiny Q4_0" in painted(app)
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, ConfirmScreen))
        assert app.driver.state == "ready"
        await pilot.press("d", "y")
        await until(pilot, lambda: app.look is not None and not app.look.installed)
        await until(pilot, lambda: app.driver.state == "empty")
        assert app.driver.name is None
        assert any("tiny:Q4_0 is removed" in told.message for told in app._notifications)
        assert app.context.store.installed() == ()


def test_what_is_installed_and_not_ranked_says_why(tmp_path: Path) -> None:
    """A file of one's own, with what was foretold of it; and another form of a known model, which is no such file."""
    context = small_world(tmp_path)
    (tmp_path / "own.gguf").write_bytes(TINY)
    found, came = select(context, Workload()).data, install(context, InstallRequest(model=str(tmp_path / "own.gguf")))
    assert found is not None
    assert came.data is not None
    own = came.data.installed
    other = msgspec.structs.replace(own, id="tiny:Q2_K", model_id="tiny", quant="Q2_K", promise=None)
    rows = {row.id: row for row in rows_of(found.ranking, (own, other))}
    assert (rows[own.id].verdict, rows[own.id].needs[0], rows[own.id].speed[0]) == ("- own file", "~", "~")
    assert "the catalogue does not know. When it was installed" in rows[own.id].remark
    assert (rows[other.id].verdict, rows[other.id].needs) == ("- unranked", "unknown")
    assert rows[other.id].remark.startswith("Another form of a model")
