"""The first line of every place: where one is, where one can go, and what is loaded."""

from rich.text import Text
from textual.widgets import Static

PLACES = (("models", "F2", "Models"), ("chat", "F3", "Chat"))


class TopBar(Static):
    """The line of places. The current one stands in brackets, so that it shows without colour."""

    def __init__(self, place: str) -> None:
        """Belong to one place."""
        super().__init__(id="topbar")
        self._place = place

    def on_mount(self) -> None:
        """Show the places."""
        self.tell("")

    def tell(self, status: str) -> None:
        """Show the places, and one remark beside them."""
        line = Text.assemble((" landfast ", "bold"), no_wrap=True, overflow="ellipsis")
        for name, key, label in PLACES:
            here = name == self._place
            line.append(f" [{key} {label}]" if here else f"  {key} {label} ", "bold" if here else "dim")
        if status:
            line.append(f"   {status}", "dim")
        self.update(line)
