"""The first line of every place: where one is, where one can go, what runs, and what is loaded."""

from typing import TYPE_CHECKING

from textual import events
from textual.content import Content
from textual.widgets import Static

from tui.keymap import KEYMAP, PLACES

if TYPE_CHECKING:
    from tui.app import LandfastApp


class TopBar(Static):
    """The line of places. The current one stands in brackets, so that it shows without colour."""

    app: "LandfastApp"

    def __init__(self, place: str) -> None:
        """Belong to one place."""
        super().__init__(id="topbar")
        self._place = place
        self._status = ""

    def on_mount(self) -> None:
        """Show the places."""
        self.show()

    def tell(self, status: str) -> None:
        """Show the places, and one remark beside them."""
        self._status = status
        self.show()

    def on_resize(self, _: events.Resize) -> None:
        """Use the new width."""
        self.show()

    def show(self) -> None:
        """Write the line anew. Where it has no room, only the place where one is has its name beside its key."""
        line, width = self._places(short=False), self.size.width or self.app.size.width
        if line.cell_length > width:
            line = self._places(short=True)
        self.update(Content.assemble(line, (f"  {self._status}" if self._status else "", "dim")))

    def _places(self, *, short: bool) -> Content:
        running = self.app.installs.running_count
        line = Content() if short else Content.styled(" landfast ", "bold")
        for place in PLACES:
            here = place == self._place
            name = "" if short and not here else f" {KEYMAP[f'app.{place}'].label}"
            count = f" ▸{running}" if place == "jobs" and running else ""
            label = f"{self._key(place)}{name}{count}"
            line = Content.assemble(line, (f" [{label}]" if here else f"  {label} ", "bold" if here else "dim"))
        return line

    def _key(self, place: str) -> str:
        """The key in force, which may be another than ours."""
        return self.app.keys_of(f"app.{place}").split(",")[0].upper()
