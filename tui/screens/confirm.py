"""One question before something that cannot be undone. Whoever just presses Enter changes nothing."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.keymap import KEYMAP, bind, over_a_place


class ConfirmScreen(ModalScreen[bool]):
    """Asks, and gives whether the answer was yes."""

    HELP: ClassVar[str] = "A question before something that cannot be undone. Enter and Esc leave everything as it is."
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("confirm.yes", "answer(True)"),
        bind("confirm.no", "answer(False)"),
        *over_a_place(),
    ]

    def __init__(self, question: str, deed: str, twin: str) -> None:
        """`deed` is what the yes does, as a word; `twin` is the command that does the same."""
        super().__init__()
        self.twin = twin
        self._question = question
        self._deed = deed

    def compose(self) -> ComposeResult:
        """The question and its keys."""
        yes = KEYMAP["confirm.yes"].keys.split(",", maxsplit=1)[0]
        with Vertical(classes="dialog"):
            yield Static(self._question, markup=False)
            yield Static(f"{yes} {self._deed}   enter or esc leave everything as it is", classes="keys", markup=False)

    def action_answer(self, answer: bool) -> None:  # noqa: FBT001 - the toolkit calls it with what stands in the binding
        """Give the answer."""
        self.dismiss(answer)
