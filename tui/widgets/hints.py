"""The last line of every place: its keys, as many as fit. It is one widget: one for each key would cost a frame."""

from typing import Final

from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.style import Style
from textual.widgets import Static

from tui.keymap import KEYMAP

LAST: Final = ("app.help", "app.quit")
"""These stand at the right end, however narrow the terminal is."""
GAP: Final = "  "


class Hints(Static):
    """Keys and what they do now, in the order of the keymap: what has no room is the last of it. F1 tells the rest."""

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__(id="hints")

    def on_mount(self) -> None:
        """Follow the keys of the place."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)
        self.show()

    def on_resize(self, _: events.Resize) -> None:
        """Use the new width."""
        self.show()

    def _changed(self, screen: Screen[object]) -> None:
        if screen is self.screen:
            self.show()

    def show(self) -> None:
        """Write the line anew."""
        found: dict[str, Binding] = {}
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if binding.show and active.enabled and binding.id in KEYMAP:
                found.setdefault(binding.id, binding)
        last = [self._hint(found[name]) for name in LAST if name in found]
        order = [name for name in KEYMAP if name in found and name not in LAST]
        others = [self._hint(found[name]) for name in order]
        self.update(_fitted(others, Content(GAP).join(last), self.size.width or self.app.size.width))

    def _hint(self, binding: Binding) -> Content:
        key = Content.styled(self.app.get_key_display(binding), "bold $footer-key-foreground")
        hint = Content.assemble(key, " ", binding.description)
        return hint.stylize(Style.from_meta({"@click": f"app.simulate_key({binding.key!r})"}))


def _fitted(hints: list[Content], last: Content, width: int) -> Content:
    """What comes first matters most; what has no room is left out whole."""
    room = width - last.cell_length - 2 * len(GAP)
    kept: list[Content] = []
    for hint in hints:
        room -= hint.cell_length + len(GAP)
        if room < 0:
            break
        kept.append(hint)
    left = Content(GAP).join(kept)
    space = max(len(GAP), width - 2 - left.cell_length - last.cell_length)
    return Content.assemble(" ", left, " " * space, last)
