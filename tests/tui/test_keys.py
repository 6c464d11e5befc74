"""The keymap: no key twice, none that a terminal takes, and every command in the palette and the help."""

from collections import Counter
from pathlib import Path

from textual.widgets import Static

from tests.tui.kit import SMALL, app_over, chatting, looked, small_world
from tui.keymap import KEYMAP
from tui.screens.help import HelpScreen

TAKEN = {"ctrl+a", "ctrl+b", "ctrl+s", "ctrl+o", "ctrl+i", "ctrl+m", "ctrl+h", "ctrl+enter"}


def test_no_place_has_a_key_twice() -> None:
    """Within a place, and between a place and the app, each key means one thing."""
    places: dict[str, Counter[str]] = {}
    for identifier, entry in KEYMAP.items():
        place = identifier.split(".")[0]
        places.setdefault(place, Counter()).update(entry.keys.split(","))
    for place, keys in places.items():
        assert max(keys.values()) == 1, place
        if place != "app":
            assert not set(keys) & set(places["app"]) - ({"f1"} if place == "help" else set()), place


def test_no_key_is_one_that_terminals_take() -> None:
    """Multiplexers, flow control and keys that send the same bytes as others are left alone."""
    keys = {key for entry in KEYMAP.values() for key in entry.keys.split(",")}
    assert not keys & TAKEN


async def test_every_command_of_a_place_is_in_the_palette(tmp_path: Path) -> None:
    """What a key does can be found by name."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        offered = {command.help for command in app.get_system_commands(app.screen)}
        for identifier in ("models.install", "models.filter", "models.all", "models.why", "models.refresh", "app.quit"):
            assert KEYMAP[identifier].help in offered


async def test_a_command_of_the_palette_works(tmp_path: Path) -> None:
    """Running it does what its key does."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        command = next(c for c in app.get_system_commands(app.screen) if c.help == KEYMAP["models.filter"].help)
        command.callback()
        await pilot.pause()
        assert app.screen.query_one("#filter").display


async def test_help_lists_the_keys_that_are_in_force(tmp_path: Path) -> None:
    """F1 explains the place and the part that has the focus, and the same key closes it."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await chatting(pilot)
        await pilot.press("f1")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        helped = {meaning for _, _, meaning in app.screen._lines}
        assert {KEYMAP["chat.send"].help, KEYMAP["chat.new"].help, KEYMAP["app.models"].help} <= helped
        assert app.screen.query(Static)
        await pilot.press("f1")
        await pilot.pause()
        assert not isinstance(app.screen, HelpScreen)


async def test_keys_can_be_remapped_by_id(tmp_path: Path) -> None:
    """A keymap of the user's own takes effect."""
    app = app_over(small_world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        app.set_keymap({"models.filter": "f"})
        await pilot.press("f")
        assert app.screen.query_one("#filter").display
