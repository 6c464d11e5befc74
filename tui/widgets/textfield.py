"""A field for one line of text."""

from textual.widgets import Input


class TextField(Input):
    """The toolkit's field with a cursor that stands still: blinking disturbs, and every blink is a repaint."""

    def on_mount(self) -> None:
        """Let nothing blink."""
        self.cursor_blink = False
