"""The line over a conversation: which model answers, what it is about, and whether it is saved."""

from typing import Final

from textual import events
from textual.content import Content
from textual.widgets import Static

from tui.talk import LiveTalk
from tui.text import harmless

LEAST_TITLE: Final = 8
"""A title of fewer letters says nothing."""


class Head(Static):
    """Model to the left; title and badge to the right, where the badge is never cut."""

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__(id="head")
        self._model = ""
        self._title = ""
        self._badge = ""

    def tell(self, model: str, talk: LiveTalk, *, forbidden: bool) -> None:
        """Say what is on the screen."""
        self._model = f"{model} · system prompt" if talk.system else model
        self._title = harmless(talk.title)
        self._badge = _badge(talk, forbidden=forbidden)
        self._show()

    def on_resize(self, _: events.Resize) -> None:
        """Use the new width."""
        self._show()

    def _show(self) -> None:
        width = max(20, self.size.width or self.app.size.width)
        badge = Content.styled(self._badge, "bold")
        model = Content(self._model).truncate(max(LEAST_TITLE, width - badge.cell_length - 5), ellipsis=True)
        room = width - model.cell_length - badge.cell_length - 7
        title = Content(self._title).truncate(room, ellipsis=True) if room >= LEAST_TITLE else Content()
        gap = " " * max(1, width - model.cell_length - title.cell_length - badge.cell_length - 5)
        self.update(Content.assemble(" ", model, gap, (title.plain, "dim"), "   ", badge))


def _badge(talk: LiveTalk, *, forbidden: bool) -> str:
    """What of it is on the disk."""
    if talk.kept:
        return "● saved"
    if talk.session:
        return f"◆ {'kept' if talk.session_turns == len(talk.turns) else 'kept in part'}: {harmless(talk.session)}"
    return "○ not saved, by policy" if forbidden else "○ not saved"
