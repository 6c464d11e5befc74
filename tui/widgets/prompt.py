"""Where the person writes."""

from pathlib import PurePath
from typing import ClassVar, Final

from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.widgets import TextArea

from deploy.commands.looking import path_in
from tui.keymap import bind

CONTINUED: Final = "\\"
OWN_KEYS: Final = frozenset({"enter", "escape"})
"""What a text field would take before any binding could."""
LONG_PASTE_LINES: Final = 100
LONG_PASTE_LETTERS: Final = 8000
"""A longer text that is pasted becomes a file of the message: nobody edits it here, and it would be slow to draw."""
IMAGES: Final = frozenset({".png", ".jpg", ".jpeg"})
LONGEST_PATH: Final = 4096
HINT: Final = "Ask something.  Enter sends, Alt+Enter begins a new line."


class Prompt(TextArea):
    """A text field of some lines: Enter sends; Alt+Enter, Shift+Enter, Ctrl+J or a final backslash begin a new line."""

    HELP: ClassVar[str] = (
        "Here you write. Enter sends; Alt+Enter, Shift+Enter, Ctrl+J or a backslash at the end begin a new line. "
        "Pasted text of 100 lines, or of 8,000 characters, or more is attached as a file."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("chat.send", "send"),
        bind("chat.newline", "newline"),
        bind("chat.messages", "screen.message(0)"),
        bind("prompt.leave", "leave"),
        bind("prompt.find", "screen.find"),
        bind("prompt.settings", "screen.settings(False)"),
        bind("prompt.page_up", "screen.page(-1)"),
        bind("prompt.page_down", "screen.page(1)"),
    ]

    class Sent(Message):
        """A text to be asked."""

        def __init__(self, text: str) -> None:
            """Carry the text."""
            super().__init__()
            self.text = text

    class Pasted(Message):
        """A long text that was pasted."""

        def __init__(self, text: str) -> None:
            """Carry the text."""
            super().__init__()
            self.text = text

    class Dropped(Message):
        """What may be the path of an image was pasted, or dropped on the terminal."""

        def __init__(self, text: str) -> None:
            """Carry it as it came."""
            super().__init__()
            self.text = text

    class Left(Message):
        """An edit was given up."""

    class Emptied(Message):
        """Backspace was pressed where there is nothing left to delete."""

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__(
            id="prompt",
            soft_wrap=True,
            tab_behavior="focus",
            compact=True,
            highlight_cursor_line=False,
            placeholder=HINT,
        )
        self.cursor_blink = False  # each blink is a repaint, on a processor that the engine computes on
        self.has_files = False
        """Whether files go with the message, so that it may have no words."""

    @property
    def is_editing(self) -> bool:
        """Whether an earlier message is being written anew."""
        return bool(self.border_title)

    def begin_edit(self, text: str) -> None:
        """Write an earlier message anew."""
        self.put(text)
        self.border_title = "Edit the message"
        self.border_subtitle = "esc leaves it as it was"

    def put(self, text: str) -> None:
        """Hold this text, with the cursor at its end."""
        self.load_text(text)
        self.move_cursor(self.document.end)

    def end_edit(self) -> None:
        """Write a new message again."""
        self.border_title = self.border_subtitle = ""

    def action_send(self) -> None:
        """Send the text, or begin a new line after a backslash."""
        if self.text.endswith(CONTINUED) and self.cursor_at_end_of_text:
            self.action_delete_left()
            self.action_newline()
        elif self.text.strip() or self.has_files:
            self.post_message(self.Sent(self.text.strip()))

    def action_newline(self) -> None:
        """Begin a new line."""
        self.insert("\n")

    def action_leave(self) -> None:
        """Give up an edit."""
        self.clear()
        self.end_edit()
        self.post_message(self.Left())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - the toolkit's signature
        """Escape belongs to the place unless an edit is to be left."""
        return self.is_editing if action == "leave" else True

    def on_key(self, event: events.Key) -> None:
        """Leave keys that have a meaning of their own to the bindings, in place of what a text field does with them.

        They are no priority bindings, because those would overtake the letters that were typed just before.
        """
        if event.key in OWN_KEYS:
            event.prevent_default()
        elif event.key == "backspace" and not self.text:
            self.post_message(self.Emptied())

    def on_paste(self, event: events.Paste) -> None:
        """Take a very long text, and an image, as a file; others the text field takes by itself."""
        if len(event.text) >= LONG_PASTE_LETTERS or len(event.text.splitlines()) >= LONG_PASTE_LINES:
            event.stop()
            event.prevent_default()
            self.post_message(self.Pasted("\n".join(event.text.splitlines())))
        elif _names_image(event.text):
            event.stop()
            event.prevent_default()
            self.post_message(self.Dropped(event.text))


def _names_image(text: str) -> bool:
    """Whether a text could be the path of an image, and nothing else."""
    one_line = len(text) <= LONGEST_PATH and "\n" not in text.strip()
    return one_line and PurePath(path_in(text)).suffix.lower() in IMAGES
