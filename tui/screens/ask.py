"""One line of text, asked for."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tui.keymap import bind, over_a_place
from tui.widgets.hints import Hints
from tui.widgets.textfield import TextField


class AskInput(TextField):
    """Its field."""

    BINDINGS: ClassVar[list[BindingType]] = [bind("ask.take", "submit")]


class AskScreen(ModalScreen[str | None]):
    """A question with a field; Enter answers, Escape does not."""

    AUTO_FOCUS = "#ask-field"
    HELP: ClassVar[str] = "Enter accepts what is written; Esc leaves without it."
    BINDINGS: ClassVar[list[BindingType]] = [bind("ask.leave", "dismiss"), *over_a_place()]

    def __init__(self, title: str, question: str, placeholder: str, twin: str) -> None:
        """Ask this; `twin` is the command that does the same."""
        super().__init__()
        self._title = title
        self._question = question
        self._placeholder = placeholder
        self.twin = twin

    def compose(self) -> ComposeResult:
        """Lay out the box."""
        with Vertical(id="ask-box") as box:
            box.border_title = self._title
            yield Static(self._question, markup=False)
            yield AskInput(placeholder=self._placeholder, id="ask-field", compact=True)
        yield Hints()

    @on(Input.Submitted)
    def _answered(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip() or None)
