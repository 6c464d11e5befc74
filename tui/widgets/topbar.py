"""The first line of every place: where one is, where one can go, what runs, and what is loaded."""

from typing import TYPE_CHECKING

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

    def show(self) -> None:
        """Write the line anew."""
        running = self.app.installs.running_count
        line = Content.styled(" landfast ", "bold")
        for place in PLACES:
            here = place == self._place
            label = f"{self._key(place)} {KEYMAP[f'app.{place}'].label}"
            count = f" ▸{running}" if place == "jobs" and running else ""
            line = Content.assemble(
                line, (f" [{label}{count}]" if here else f"  {label}{count} ", "bold" if here else "dim")
            )
        self.update(Content.assemble(line, (f"  {self._status}" if self._status else "", "dim")))

    def _key(self, place: str) -> str:
        """The key in force, which may be another than ours."""
        return self.app.keys_of(f"app.{place}").split(",")[0].upper()
