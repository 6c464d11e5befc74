"""The keymap: no key twice, none that a terminal takes, and every command in the palette and the help."""

import importlib
import pkgutil
from collections import Counter
from pathlib import Path

import pytest
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import ModalScreen
from textual.widgets import Static

import tui
from tests.tui.chat_scenes import ScriptedEngine, chat_world
from tests.tui.kit import SMALL, app_over, ask, chatting, looked, small_world, until
from tests.tui.scenes import SCENES
from tui.app import LandfastApp
from tui.keymap import KEYMAP, PLACES
from tui.screens.help import HelpScreen
from tui.widgets.prompt import Prompt

IN_A_FIELD = {"policy.leave", "chat.newline"}
"""They belong to what is open inside a place."""
MOVES = {"message.before", "message.next", "message.prompt"}
DIALOGS = {
    "wishes": "wishes.",
    "machines": "simulate.",
    "compare": "compare.",
    "chat-settings": "settings.",
    "chat-attach": "file.",
    "chat-keep": "ask.",
    "chat-export": "file.",
    "chat-model": "switch.",
    "chat-list": "talks.",
    "chat-confirm": "confirm.",
}
"""Scenes, and how the ids of their keys begin."""
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


def bound() -> set[str]:
    """The ids of all bindings that stand in a class of the UI."""
    classes: set[type[DOMNode]] = {LandfastApp}
    for module in pkgutil.walk_packages(tui.__path__, "tui."):
        found = vars(importlib.import_module(module.name)).values()
        classes |= {one for one in found if isinstance(one, type) and issubclass(one, DOMNode)}
    bindings = {binding for one in classes for binding in one.__dict__.get("BINDINGS", ())}
    return {binding.id for binding in bindings if isinstance(binding, Binding) and binding.id}


def test_the_table_and_the_bindings_are_the_same() -> None:
    """No key is dead, and none stands outside the table, where nobody could give it another one."""
    assert bound() == set(KEYMAP)


def palette(app: LandfastApp) -> list[str]:
    """What the palette offers now."""
    return [command.help for command in app.get_system_commands(app.screen)]


@pytest.mark.parametrize("place", PLACES)
async def test_the_palette_holds_every_command_of_a_place(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the focus is: those of the place and of its widgets, those of the app, and each once."""
    app = app_over(chat_world(tmp_path, ScriptedEngine()))
    async with app.run_test(size=SMALL) as pilot:
        await looked(pilot)
        if place == "chat":
            screen = await chatting(pilot)
            await ask(pilot, "One?")
            await until(pilot, lambda: len(screen.talk.turns) == 2)
        await pilot.press(KEYMAP[f"app.{place}"].keys)
        await until(pilot, lambda: app.current_mode == place)
        monkeypatch.setattr(type(app.screen), "check_action", lambda *_: True)
        app.screen.refresh_bindings()
        wanted = {f"app.{word}" for word in (*PLACES, "help", "quit")} | {f"places.{word}" for word in PLACES}
        wanted |= {name for name in KEYMAP if name.split(".")[0] == place and name not in IN_A_FIELD}
        wanted |= {name for name in KEYMAP if name.startswith("message.")} - MOVES if place == "chat" else set()
        offered = palette(app)
        assert {KEYMAP[name].help for name in wanted} <= {*offered, *in_its_tables(app)}
        assert len(offered) == len(set(offered))


def in_its_tables(app: LandfastApp) -> set[str]:
    """What the palette offers when another part of the place has the focus."""
    found: set[str] = set()
    for widget in app.screen.focus_chain:
        app.screen.set_focus(widget)
        found |= set(palette(app))
    return found


async def test_the_palette_copies_the_newest_answer_from_the_prompt(tmp_path: Path) -> None:
    """What belongs to a message is done with the newest one."""
    app = app_over(chat_world(tmp_path, ScriptedEngine("Aye.")))
    async with app.run_test(size=SMALL) as pilot:
        screen = await chatting(pilot)
        await ask(pilot, "One?")
        await until(pilot, lambda: len(screen.talk.turns) == 2)
        for name, copied in (("message.copy", "Aye."), ("message.edit", "One?")):
            run = next(c.callback for c in app.get_system_commands(app.screen) if c.help == KEYMAP[name].help)
            run()
            await until(pilot, lambda text=copied: text in {app.clipboard, screen.query_one(Prompt).text})  # type: ignore[misc]
            screen.action_focus_prompt()
            await until(pilot, lambda: app.focused is screen.query_one(Prompt))


@pytest.mark.no_cover
@pytest.mark.parametrize("scene", DIALOGS)
async def test_help_explains_every_dialog_and_names_its_twin(tmp_path: Path, scene: str) -> None:
    """F1 works over it, lists its keys, and names the command that does the same; Escape leads back to it."""
    app = app_over(SCENES[scene].world(tmp_path))
    async with app.run_test(size=SMALL) as pilot:
        await SCENES[scene].play(pilot)
        dialog = app.screen
        assert isinstance(dialog, ModalScreen)
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        helped = app.screen
        assert isinstance(helped, HelpScreen)
        prefix = DIALOGS[scene]
        shown = {name for name, key in KEYMAP.items() if name.startswith(prefix) and key.shown}
        assert shown - {"talks.list"} <= {identifier for _, identifier, _ in helped._lines}
        assert helped._words
        assert helped._twin.startswith("landfast ")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is dialog)


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
