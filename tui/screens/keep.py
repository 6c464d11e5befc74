"""Asks under which name the model's state of a conversation is to be kept, and says what that writes to the disk."""

from collections.abc import Callable
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from deploy.results import Problem
from tui.keymap import bind, over_a_place
from tui.text import harmless
from tui.widgets.hints import Hints
from tui.widgets.textfield import TextField

WRITES: Final = (
    "One file with all that was said here and the model's state of it, so that it goes on at once another time. It is "
    "not encrypted; you alone can read it, and it stays until you delete it (Ctrl+L)."
)


class KeepInput(TextField):
    """The field for the name."""

    BINDINGS: ClassVar[list[BindingType]] = [bind("ask.take", "submit")]


class KeepScreen(ModalScreen[str | None]):
    """The dialog. It gives the name, or None where nothing is to be kept."""

    HELP: ClassVar[str] = (
        "What a model has read of a long text takes it seconds or minutes to read again. Kept on the disk, it is there "
        "at once, in this or another Landfast. Nothing is kept unless you name it here. Saving (F9) is something else: "
        "it writes down the messages alone, after every answer."
    )
    twin = "landfast chat MODEL --keep NAME   and   landfast chat --resume NAME"
    BINDINGS: ClassVar[list[BindingType]] = [bind("ask.leave", "dismiss(None)"), *over_a_place()]

    def __init__(self, name: str, problem_of: Callable[[str], Problem | None]) -> None:
        """Propose the name that it has; `problem_of` says why another one cannot be taken."""
        super().__init__()
        self._proposed = name
        self._problem_of = problem_of
        self._refused = False

    def compose(self) -> ComposeResult:
        """The field, what is written, and what there is to say."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Keep the session on the disk"
            yield KeepInput(self._proposed, placeholder="A name for it, such as contract", compact=True)
            yield Static(WRITES, classes="about", markup=False)
            yield Static("measuring …", classes="about", id="size", markup=False)
            yield Static("", classes="problem", markup=False)
        yield Hints()

    def tell(self, size: str) -> None:
        """Say how much it is."""
        self.query_one("#size", Static).update(size)

    def refuse(self, why: str) -> None:
        """Say why it cannot be kept at all."""
        self._refused = True
        self.tell("")
        self._complain(why)

    def _complain(self, why: str) -> None:
        self.query_one(".problem", Static).update(f"✗ {harmless(why)}" if why else "")

    @on(Input.Changed)
    def _changed(self) -> None:
        if not self._refused:
            self._complain("")

    @on(Input.Submitted)
    def _named(self) -> None:
        name = self.query_one(Input).value.strip()
        if self._refused or not name:
            return
        problem = self._problem_of(name)
        if problem is None:
            self.dismiss(name)
        else:
            self._complain(f"{problem.message} {problem.hint}")
