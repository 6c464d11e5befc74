"""What F1 shows: what the place and the focus are for, the command that does the same, and the keys by name."""

from typing import TYPE_CHECKING, ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from tui.keymap import KEYMAP, bind
from tui.settings import FILE_NAME
from tui.widgets.hints import Hints

if TYPE_CHECKING:
    from tui.app import LandfastApp

MARKS = "✓ beside a figure: measured, or stated by the engine or the catalogue. ~ beside it: estimated."
OTHER_KEYS = 'Other keys for a name: a line such as  "models.filter" = "ctrl+f"  under [keys] in '


class HelpScreen(ModalScreen[None]):
    """What the place and the focus are for, and what the keys do there."""

    HELP: ClassVar[str] = "This is the help itself."
    twin = "landfast --help"
    BINDINGS: ClassVar[list[BindingType]] = [bind("help.leave", "dismiss"), bind("app.quit", "app.quit", priority=True)]
    app: "LandfastApp"

    def __init__(self, place: Screen[object]) -> None:
        """Explain this place."""
        super().__init__()
        self._lines = _keys(place)
        self._words = _explanations(place)
        self._twin = str(getattr(place, "twin", "landfast chat"))

    def compose(self) -> ComposeResult:
        """Explain, then list the keys."""
        with VerticalScroll(id="help-box") as box:
            box.border_title = "Help"
            for sentence in self._words:
                yield Static(Text(sentence), classes="help-words")
            yield Static(Text.assemble(("On the command line: ", "dim"), (self._twin, "bold")), id="help-twin")
            yield Static(self._table(), classes="help-note")
            yield Static(Text(MARKS, "dim"), classes="help-note")
            yield Static(Text(f"{OTHER_KEYS}{self.app.context.paths.config / FILE_NAME}", "dim"), classes="help-note")
        yield Hints()

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right", no_wrap=True)
        table.add_column(ratio=1)
        table.add_column(no_wrap=True)
        for key, identifier, meaning in self._lines:
            table.add_row(Text(key, "bold"), meaning, Text(identifier, "dim"))
        return table


def _explanations(place: Screen[object]) -> list[str]:
    """Of what has the focus, then of the place, each once."""
    focused = place.focused
    nodes = (focused, *focused.ancestors) if focused is not None else (place,)
    return list(dict.fromkeys(node.HELP for node in nodes if node.HELP))


def _keys(place: Screen[object]) -> list[tuple[str, str, str]]:
    """Keys, ids and meanings of what is in force, each once: first those of the last line."""
    found: dict[str, tuple[str, str, str]] = {}
    for active in place.active_bindings.values():
        binding = active.binding
        entry = KEYMAP.get(binding.id or "")
        if entry is not None and active.enabled and binding.id is not None:
            found.setdefault(binding.id, (place.app.get_key_display(binding), binding.id, entry.help))
    order = list(KEYMAP)
    return sorted(
        found.values(),
        key=lambda line: (not KEYMAP[line[1]].shown, line[1].startswith("app."), order.index(line[1])),
    )
