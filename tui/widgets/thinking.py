"""What a model says to itself before it answers: one line, which unfolds."""

from typing import Final

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from tui.text import harmless

TAIL_LINES: Final = 200


class ThinkingFold(Vertical):
    """A line that counts while the model thinks. Unfolded, the thoughts stand below it as plain text."""

    def __init__(self, thoughts: str = "", tokens: int = 0) -> None:
        """Begin folded, with what was thought before."""
        super().__init__(classes="thinking")
        self._pieces = [thoughts] if thoughts else []
        self._tokens = tokens
        self._over = bool(thoughts)
        self._open = False

    @property
    def thoughts(self) -> str:
        """All that was thought."""
        return "".join(self._pieces)

    @property
    def is_open(self) -> bool:
        """Whether the thoughts are shown."""
        return self._open

    def compose(self) -> ComposeResult:
        """One line, and the thoughts below it."""
        yield Static(self._head(), classes="thinking-head", markup=False)
        yield Static(classes="thoughts", markup=False)

    def add(self, text: str, tokens: int) -> None:
        """More was thought."""
        self._pieces.append(text)
        self._tokens += tokens
        self._show()

    def end(self) -> None:
        """The answer begins, or everything is over."""
        if not self._over:
            self._over = True
            self._show()

    def toggle(self) -> None:
        """Unfold, or fold."""
        self._open = not self._open
        self._show()

    def _show(self) -> None:
        self.query_one(".thinking-head", Static).update(self._head(), layout=False)
        body = self.query_one(".thoughts", Static)
        body.display = self._open
        if self._open:
            shown = harmless(self.thoughts.strip())
            body.update(shown if self._over else "\n".join(shown.split("\n")[-TAIL_LINES:]))

    def _head(self) -> str:
        mark = "▾" if self._open else "▸"
        word = "thought" if self._over else "thinking"
        tokens = f", {self._tokens:,} tokens" if self._tokens else ""
        return f"{mark} {word}{tokens} (alt+↑, then space {'folds' if self._open else 'shows'} it)"
