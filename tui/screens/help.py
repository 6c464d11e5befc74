"""The keys of a place, by name."""

from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Footer, Static

from tui.keymap import KEYMAP, bind

NOTES: tuple[str, ...] = (
    "✓ beside a figure says that it was measured, or stated by the engine or the catalogue; ~ that it is estimated.",
    "Every place has a twin on the command line: landfast select, plan, install, chat.",
)


class HelpScreen(ModalScreen[None]):
    """What the keys do where the focus is."""

    BINDINGS: ClassVar[list[BindingType]] = [bind("help.leave", "dismiss")]

    def __init__(self, place: Screen[object]) -> None:
        """Explain this place."""
        super().__init__()
        self._lines = _keys(place)

    def compose(self) -> ComposeResult:
        """List the keys."""
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right", no_wrap=True)
        table.add_column()
        for key, meaning in self._lines:
            table.add_row(Text(key, "bold"), meaning)
        with VerticalScroll(id="help-box") as box:
            box.border_title = "Keys"
            yield Static(table)
            for note in NOTES:
                yield Static(Text(note, "dim"), classes="help-note")
        yield Footer(show_command_palette=False)


def _keys(place: Screen[object]) -> list[tuple[str, str]]:
    """Keys and meanings of what is in force, each once, in the order of the focus outwards."""
    found: dict[str, tuple[str, str]] = {}
    for active in place.active_bindings.values():
        binding = active.binding
        entry = KEYMAP.get(binding.id or "")
        if entry is not None and active.enabled and binding.id is not None:
            found.setdefault(binding.id, (place.app.get_key_display(binding), entry.help))
    return list(found.values())
