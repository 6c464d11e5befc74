"""What went wrong, in a sentence, with the next step."""

from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from deploy.results import Problem
from tui.keymap import bind
from tui.text import harmless


class Banner(Static, can_focus=True):
    """A problem that stands until it is dealt with. It takes the focus, so that Enter is the next step."""

    HELP: ClassVar[str] = "Something went wrong, or needs a decision. The last line says what Enter does."
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("banner.retry", "screen.retry"),
        bind("banner.leave", "screen.leave_banner"),
    ]

    def __init__(self) -> None:
        """Begin unseen."""
        super().__init__(id="banner")
        self.display = False

    def tell(self, problem: Problem, next_step: str, *, mark: str = "✗") -> None:
        """Show a problem and what to press."""
        hint = f" {harmless(problem.hint)}" if problem.hint else ""
        sentence = Content(f"{harmless(problem.message)}{hint}")
        self.update(Content.assemble((f"{mark} ", "bold"), sentence, (f"\n  {next_step}", "bold")))
        self.set_class(mark == "!", "-warning")
        self.display = True
        self.focus()

    def clear(self) -> None:
        """It is dealt with."""
        self.display = False
