"""Where the person writes."""

from typing import ClassVar, Final

from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.widgets import TextArea

from tui.keymap import bind

CONTINUED: Final = "\\"
OWN_KEYS: Final = frozenset({"enter", "escape"})
"""What a text field would take before any binding could."""


class Prompt(TextArea):
    """A text field of some lines: Enter sends; Alt+Enter, Shift+Enter, Ctrl+J or a final backslash begin a new line."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("chat.send", "send"),
        bind("chat.newline", "newline"),
        bind("chat.messages", "screen.message(0)"),
    ]

    class Sent(Message):
        """A text to be asked."""

        def __init__(self, text: str) -> None:
            """Carry the text."""
            super().__init__()
            self.text = text

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__(
            id="prompt",
            soft_wrap=True,
            tab_behavior="focus",
            compact=True,
            highlight_cursor_line=False,
            placeholder="Ask something.  Enter sends, Alt+Enter begins a new line.",
        )

    def action_send(self) -> None:
        """Send the text, or begin a new line after a backslash."""
        if self.text.endswith(CONTINUED) and self.cursor_at_end_of_text:
            self.action_delete_left()
            self.action_newline()
        elif self.text.strip():
            self.post_message(self.Sent(self.text.strip()))

    def action_newline(self) -> None:
        """Begin a new line."""
        self.insert("\n")

    def on_key(self, event: events.Key) -> None:
        """Leave keys that have a meaning of their own to the bindings, in place of what a text field does with them.

        They are no priority bindings, because those would overtake the letters that were typed just before.
        """
        if event.key in OWN_KEYS:
            event.prevent_default()
