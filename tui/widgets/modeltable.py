"""The list of models."""

from collections.abc import Sequence
from typing import ClassVar, Final

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from tui.keymap import bind
from tui.rows import Row

COLUMNS: Final = (
    ("name", "Model", 18),
    ("quant", "Quant", 10),
    ("needs", "Needs", 8),
    ("verdict", "Fit", 11),
    ("speed", "Speed", 11),
    ("state", "State", 12),
    ("licence", "Licence", 18),
)
"""Field, heading and width, in the order in which they stand."""
PRIORITY: Final = ("name", "verdict", "state", "speed", "needs", "quant", "licence")
"""The order in which columns find room; the reasons beside the list hold what is left out."""
NAME_MOST: Final = 40
NAME_LEAST: Final = 4
PADDING: Final = 2
SCROLL_BAR: Final = 2
RIGHT: Final = frozenset({"needs", "speed"})


class ModelTable(DataTable[Text]):
    """One row a model; columns come and go with the width."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("models.open", "select_cursor"),
        bind("models.mark", "screen.mark"),
        bind("models.down", "cursor_down"),
        bind("models.up", "cursor_up"),
        bind("models.first", "scroll_top"),
        bind("models.last", "scroll_bottom"),
        Binding("home", "scroll_top", show=False),
        Binding("end", "scroll_bottom", show=False),
    ]

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__(cursor_type="row", zebra_stripes=False, id="models", cell_padding=1)
        self._rows: dict[str, Row] = {}
        self._marked: Sequence[str] = ()
        self._shape: tuple[tuple[str, int], ...] = ()

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        rows = list(self._rows.values())
        return rows[self.cursor_row] if self.cursor_row < len(rows) else None

    def fill(self, rows: Sequence[Row], marked: Sequence[str] = ()) -> None:
        """Show these rows, some of them marked; the cursor stays on its model where that is still there."""
        before = self.current
        self._marked = marked
        self._rows = {row.id: row for row in rows}
        self._rebuild(before.id if before else None)

    def on_resize(self, event: events.Resize) -> None:
        """Fit the columns to the new width."""
        if _shape_for(event.size.width) != self._shape:
            before = self.current
            self._rebuild(before.id if before else None)

    def _rebuild(self, at: str | None) -> None:
        self._shape = _shape_for(self.size.width or self.app.size.width)
        headings = {field: heading for field, heading, _ in COLUMNS}
        with self.prevent(DataTable.RowHighlighted):
            self.clear(columns=True)
            for field, width in self._shape:
                heading = Text(headings[field], justify="right" if field in RIGHT else "left")
                self.add_column(heading, width=width, key=field)
            for row in self._rows.values():
                self.add_row(*self._cells(row), key=row.id)
            if at in self._rows:
                self.move_cursor(row=list(self._rows).index(at))

    def _cells(self, row: Row) -> list[Text]:
        style = "" if row.suits else "dim"
        cells = []
        for field, width in self._shape:
            value = str(getattr(row, field))
            if field == "name":
                value = f"{'◆' if row.id in self._marked else '★' if row.chosen else ' '} {value}"
            justify = "right" if field in RIGHT else "left"
            cell = Text(value, style, justify=justify, no_wrap=True, overflow="ellipsis")  # type: ignore[arg-type]
            cell.truncate(width, overflow="ellipsis")
            cells.append(cell)
        return cells


def _shape_for(width: int) -> tuple[tuple[str, int], ...]:
    """Fields and widths that fit; the name takes what is left over, up to a limit."""
    widths = {field: wanted for field, _, wanted in COLUMNS}
    room = width - SCROLL_BAR
    kept: set[str] = set()
    for field in PRIORITY:
        if room < widths[field] + PADDING and kept:
            break
        kept.add(field)
        room -= widths[field] + PADDING
    widths["name"] = max(NAME_LEAST, min(NAME_MOST, widths["name"] + room))
    return tuple((field, widths[field]) for field, _, _ in COLUMNS if field in kept)
