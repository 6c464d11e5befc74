"""Another model for the conversation: the installed ones, with what is known of each on this machine."""

from collections.abc import Sequence
from typing import ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tui.keymap import bind, over_a_place
from tui.rows import Row
from tui.widgets.hints import Hints

NOTE: Final = "It reads what was said before. The present model is unloaded first, so both are never in memory at once."
NONE: Final = "No other model is installed. F2 shows what can be installed."
FALLBACK_WIDTH: Final = 64


class InstalledList(OptionList):
    """The installed models."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("switch.take", "select"),
        bind("switch.down", "cursor_down"),
        bind("switch.up", "cursor_up"),
    ]


class SwitchScreen(ModalScreen[str | None]):
    """The list. It gives the model to load, or None where nothing changes."""

    HELP: ClassVar[str] = (
        "The models that are installed here. Enter loads one in place of the present one; the conversation stays as it "
        "is, and the new model reads it from its beginning with the next message."
    )
    BINDINGS: ClassVar[list[BindingType]] = [bind("switch.leave", "dismiss(None)"), *over_a_place()]

    def __init__(self, rows: Sequence[Row], current: str | None) -> None:
        """`current` is the model that answers now."""
        super().__init__()
        self._rows = tuple(rows)
        self._current = current

    @property
    def twin(self) -> str:
        """The same on the command line."""
        row = self._under_cursor()
        return f"landfast chat {row.id}" if row is not None else "landfast models"

    def compose(self) -> ComposeResult:
        """The list, and what choosing means."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Continue with another model"
            yield InstalledList(id="switch-list", compact=True)
            yield Static(NOTE if self._rows else NONE, classes="about", markup=False)
        yield Hints()

    def on_mount(self) -> None:
        """Begin at the model that answers now."""
        self._show()
        at = next((index for index, row in enumerate(self._rows) if row.id == self._current), 0)
        models = self.query_one(OptionList)
        models.highlighted = at if self._rows else None
        models.focus()

    def on_resize(self, _: events.Resize) -> None:
        """Use the new width."""
        self.call_after_refresh(self._show)

    def _show(self) -> None:
        models = self.query_one(OptionList)
        at = models.highlighted
        models.clear_options()
        models.add_options([Option(self._line(row)) for row in self._rows])
        models.highlighted = at

    def _line(self, row: Row) -> Content:
        about = f"{row.verdict:<11}  {row.needs:>8}  {row.speed:>11}  {'loaded' * (row.id == self._current):<6}"
        width = self.query_one(OptionList).content_size.width or FALLBACK_WIDTH
        name = Content(f"{row.name} {row.quant}").truncate(max(10, width - len(about) - 2), ellipsis=True, pad=True)
        return Content.assemble((name.plain, "bold"), "  ", (about, "dim"))

    def _under_cursor(self) -> Row | None:
        at = self.query_one(OptionList).highlighted
        return self._rows[at] if at is not None and at < len(self._rows) else None

    @on(OptionList.OptionSelected)
    def _taken(self) -> None:
        row = self._under_cursor()
        self.dismiss(None if row is None or row.id == self._current else row.id)
