"""What holds for every place and window: it explains itself, names its command, and leaves nobody stuck."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tui.kit import SMALL, AppPilot, app_over, in_chat, looked, painted, small_world, table, until
from tests.tui.scenes import SCENES
from tui.keymap import KEYMAP, PLACES
from tui.screens.help import HelpScreen
from tui.screens.wishes import WishesScreen
from tui.settings import read_settings
from tui.widgets.head import Head

ROOT = Path(__file__).parents[2]
WINDOWS = {"f": "wishes", "s": "machines"}


async def help_of(pilot: AppPilot, *way: str) -> HelpScreen:
    """Go somewhere and press F1."""
    await looked(pilot)
    await pilot.press(*way)
    await pilot.pause(0.2)
    await pilot.press("f1")
    await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))
    assert isinstance(pilot.app.screen, HelpScreen)
    return pilot.app.screen


@pytest.mark.parametrize("way", ["f2", "f3", "f4", "f6", "f", "s", "slash", "i"])
async def test_every_place_explains_itself_and_names_its_command(tmp_path: Path, way: str) -> None:
    """F1 has at least one sentence, a command of the command line, and keys."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        page = await help_of(pilot, way)
        assert page._words
        assert page._twin.startswith("landfast ")
        assert page._lines


async def test_help_explains_what_has_the_focus_before_the_place(tmp_path: Path) -> None:
    """In the field that finds, the first sentence is about the field."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        page = await help_of(pilot, "slash")
        assert "have every word" in page._words[0]
        assert len(page._words) > 1


async def test_each_key_of_a_place_leads_there_even_from_a_text_field(tmp_path: Path) -> None:
    """Function keys are not the text field's, digits are those of places where no text is written."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        for place in PLACES:
            await pilot.press("f2", "slash", KEYMAP[f"app.{place}"].keys)
            await until(pilot, lambda place=place: app.current_mode == place)  # type: ignore[misc]
        for place in PLACES:
            await pilot.press("f4", KEYMAP[f"places.{place}"].keys)
            await until(pilot, lambda place=place: app.current_mode == place)  # type: ignore[misc]


@pytest.mark.no_cover
@pytest.mark.parametrize("scene", sorted(SCENES))
async def test_escape_never_leads_into_a_dead_end(scene: str, tmp_path: Path) -> None:
    """The last line says how to quit, however much stands before it; Escape a few times and F2 lead to the list."""
    app = app_over(SCENES[scene].world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await SCENES[scene].play(pilot)
        assert "^q Quit" in painted(app).splitlines()[-1]
        await pilot.press("escape", "escape", "f2")
        await until(pilot, lambda: app.current_mode == "models" and len(app.screen_stack) == 1)
        assert app.focused is table(app)


async def test_focus_returns_after_a_window(tmp_path: Path) -> None:
    """Whoever closes a window goes on where they were."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        for key in ("f", "s", "f1"):
            await pilot.press(key)
            await until(pilot, lambda: len(app.screen_stack) == 2)
            await pilot.press("escape")
            await until(pilot, lambda: len(app.screen_stack) == 1)
            assert app.focused is table(app)


def write_settings(home: Path, text: str) -> Path:
    """The folder of settings with this file in it."""
    folder = home / "config"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "interface.toml").write_text(text, "utf-8")
    return folder


async def test_keys_and_colours_of_the_settings_hold(tmp_path: Path) -> None:
    """A key given to a name works, its old key does not, and the last line shows the new one."""
    write_settings(tmp_path, 'theme = "ansi-light"\n[keys]\n"models.wishes" = "w"\n"app.jobs" = "f9"\n')
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        assert app.theme == "ansi-light"
        assert "w Filters" in painted(app)
        assert "F9 Jobs" in painted(app)
        await pilot.press("f")
        assert not isinstance(app.screen, WishesScreen)
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.screen, WishesScreen))


async def test_settings_that_cannot_hold_are_said_and_stop_nothing(tmp_path: Path) -> None:
    """A broken file is a sentence on the screen."""
    write_settings(tmp_path, "theme = [")
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        assert any("cannot be understood" in note.message for note in app._notifications)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('[keys]\n"models.nonsense" = "f"', "no key named"),
        ('[keys]\n"models.filter" = "f"', "already means something else"),
        ('[keys]\n"models.filter" = "f1"', "already means something else"),
        ('[keys]\n"models.filter" = 3', "needs a key"),
        ('colour = "red"', "no setting"),
        ("keys = 1", "not a table"),
    ],
)
def test_a_line_that_cannot_hold_is_named_and_left_out(tmp_path: Path, line: str, said: str) -> None:
    """The keys of the signature stay."""
    settings = read_settings(write_settings(tmp_path, line))
    assert settings.keys == {}
    assert said in settings.remarks[0]


def test_two_keys_can_change_places(tmp_path: Path) -> None:
    """A key that is given away is free for another name."""
    lines = '[keys]\n"models.filter" = "x"\n"models.all" = "slash"\n'
    assert read_settings(write_settings(tmp_path, lines)).keys == {"models.filter": "x", "models.all": "slash"}


@pytest.mark.parametrize("terminal", ["dumb", ""])
def test_a_terminal_that_cannot_place_text_gets_a_sentence_and_the_commands(terminal: str) -> None:
    """Exit code 2, and what to type there."""
    program = "import sys; from deploy.edge import guarded; from tui.app import main; sys.exit(guarded(main))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TERM": terminal},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "landfast select" in done.stderr
    assert "\x1b[?1049h" not in done.stdout


async def test_forty_columns_show_every_place_and_whether_it_is_saved(tmp_path: Path) -> None:
    """Where there is no room for names, the keys stay; the badge of the chat is never cut."""
    async with in_chat(tmp_path, size=(40, 20)) as (app, pilot, screen):
        assert painted(app).split("\n")[0].split() == ["F2", "[F3", "Chat]", "F4", "F6"]
        screen.query_one(Head).tell("A model with a long name Q4_K_M", screen.talk, forbidden=False)
        await pilot.pause()
        assert painted(app).split("\n")[1].endswith("○ not saved")
        await pilot.resize_terminal(80, 20)
        await until(pilot, lambda: "F2 Models" in painted(app))
