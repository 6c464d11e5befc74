"""What went wrong, in a sentence, with the next step."""

from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.widgets import Static

from deploy.results import Problem
from tui.keymap import bind


class Banner(Static, can_focus=True):
    """A problem that stands until it is dealt with. It takes the focus, so that Enter is the next step."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("banner.retry", "screen.retry"),
        bind("banner.leave", "screen.focus_prompt"),
    ]

    def __init__(self) -> None:
        """Begin unseen."""
        super().__init__(id="banner")
        self.display = False

    def tell(self, problem: Problem, next_step: str) -> None:
        """Show a problem and what to press."""
        hint = f" {problem.hint}" if problem.hint else ""
        self.update(Text.assemble(("✗ ", "bold"), problem.message, hint, (f"\n  {next_step}", "bold")))
        self.display = True
        self.focus()

    def clear(self) -> None:
        """It is dealt with."""
        self.display = False
