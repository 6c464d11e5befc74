"""Search in the conversation that is open: message after message, the newest first."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.message import Message as TextualMessage
from textual.widgets import Input, Static

from tui.keymap import bind
from tui.widgets.textfield import TextField
from tui.widgets.transcript import Message


class FindInput(TextField):
    """The field to type into."""

    BINDINGS: ClassVar[list[BindingType]] = [bind("find.older", "submit")]


class FindBar(Horizontal):
    """A line to type into. Each step goes to the next older message that holds the text."""

    HELP: ClassVar[str] = "Finds the messages of this conversation that hold the text, the newest first."
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("find.newer", "newer"),
        bind("find.leave", "leave"),
    ]

    class Left(TextualMessage):
        """The search is over."""

    def __init__(self) -> None:
        """Begin unseen."""
        super().__init__(id="find")
        self.display = False
        self._found: list[Message] = []
        self._at = 0

    def compose(self) -> ComposeResult:
        """A field, and how many there are."""
        yield FindInput(placeholder="Find in this conversation; Enter continues upwards", compact=True, id="find-text")
        yield Static(id="find-count", markup=False)

    def open(self) -> None:
        """Begin a search, or the last one anew: since then, messages have come and gone."""
        self.display = True
        self.query_one(Input).focus()
        self.query_one(Input).select_all()
        self._search()

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self._search()

    def _search(self) -> None:
        wanted = self.query_one(Input).value.casefold()
        messages = reversed(list(self.screen.query(Message)))
        self._found = [message for message in messages if wanted and wanted in message.text.casefold()]
        self._at = 0
        self._show()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_older()

    def action_older(self) -> None:
        """The next message upwards; after the oldest comes the newest."""
        self._step(1)

    def action_newer(self) -> None:
        """The next message downwards."""
        self._step(-1)

    def action_leave(self) -> None:
        """Close the search. The message that was found stays in view."""
        self.display = False
        self._mark(None)
        self.post_message(self.Left())

    @property
    def current(self) -> Message | None:
        """The message that was found."""
        return self._found[self._at] if self._found else None

    def _step(self, step: int) -> None:
        if self._found:
            self._at = (self._at + step) % len(self._found)
            self._show()

    def _show(self) -> None:
        wanted = self.query_one(Input).value
        count = f"{self._at + 1} of {len(self._found)}" if self._found else "nothing" if wanted else ""
        self.query_one("#find-count", Static).update(count)
        self._mark(self.current)

    def _mark(self, current: Message | None) -> None:
        for message in self.screen.query(".-found"):
            message.remove_class("-found")
        if current is not None:
            current.add_class("-found")
            current.scroll_visible(animate=False, immediate=True)
