"""The messages of a conversation. The newest answers are Markdown widgets, older ones a single picture of it each."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final

from rich.markdown import Markdown as RichMarkdown
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Markdown, Static

from tui.keymap import bind
from tui.stream import BlockSplitter
from tui.text import harmless

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

TAIL_LINES: Final = 200
"""The open block shows its last lines only: drawing a long one anew for every token would cost more than the model."""
LIVE_ANSWERS: Final = 6
"""So many answers are trees of widgets; a hundred of them take seconds to lay out."""


def plain_parser() -> "MarkdownIt":
    """Markdown in which HTML is text: a tag that a model writes must be seen, not swallowed."""
    from markdown_it import MarkdownIt

    return MarkdownIt("gfm-like", {"html": False})


class Message(Vertical, can_focus=True):
    """One message that can be reached and copied."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("message.copy", "screen.copy_message"),
        bind("message.before", "screen.message(-1)"),
        bind("message.next", "screen.message(1)"),
        bind("message.prompt", "screen.focus_prompt"),
    ]
    source = ""
    """What `copy` gives: the text as it was written, not as it is drawn."""


class Question(Message):
    """What the person wrote."""

    def __init__(self, text: str) -> None:
        """Keep the text."""
        super().__init__(classes="message question")
        self.source = text

    def compose(self) -> ComposeResult:
        """Show the text as it is."""
        yield Static("You", classes="who", markup=False)
        yield Static(harmless(self.source), classes="said", markup=False)


class Answer(Message):
    """What the model writes: complete blocks as Markdown, the open one as plain text below."""

    def __init__(self, model: str) -> None:
        """Begin empty."""
        super().__init__(classes="message answer")
        self._model = model
        self._pieces: list[str] = []
        self._splitter = BlockSplitter()
        self._shown_tail = ""

    def compose(self) -> ComposeResult:
        """Lay out the answer."""
        yield Static(self._model, classes="who", markup=False)
        yield Markdown(parser_factory=plain_parser, open_links=False, classes="blocks")
        yield Static(classes="tail", markup=False)
        yield Static(classes="note", markup=False)

    async def add(self, text: str) -> None:
        """Show more text."""
        self._pieces.append(text)
        blocks = self._splitter.feed(harmless(text))
        async with self.batch():  # a block is never on the screen twice, as Markdown and as the tail
            await self._append("".join(blocks))
            self._show_tail(self._splitter.tail)

    async def end(self, note: str) -> None:
        """Show what is left, however unfinished, and say how it ended."""
        await self._append(self._splitter.finish())
        self._show_tail("")
        self.source = "".join(self._pieces)
        self.query_one(".note", Static).update(note)
        self.add_class("-ended")

    async def demote(self) -> None:
        """Become one picture of the whole answer."""
        if self.is_live:
            async with self.batch():
                await self.query(Markdown).remove()
                await self.mount(Static(RichMarkdown(harmless(self.source)), classes="blocks"), after=0)

    @property
    def is_live(self) -> bool:
        """Whether it still is a tree of Markdown widgets."""
        return bool(self.query(Markdown))

    async def _append(self, blocks: str) -> None:
        if blocks:
            await self.query_one(Markdown).append(blocks)

    def _show_tail(self, tail: str) -> None:
        shown = "\n".join(tail.rstrip("\n").split("\n")[-TAIL_LINES:])
        if shown != self._shown_tail:
            self._shown_tail = shown
            widget = self.query_one(".tail", Static)
            widget.update(shown)
            widget.display = bool(shown)


class Transcript(VerticalScroll, can_focus=False):
    """All messages; it stays at the end until someone scrolls up."""

    def on_mount(self) -> None:
        """Hold on to the end."""
        self.anchor()

    async def add(self, widget: Static | Message) -> None:
        """Add a message or a remark, and spare the widgets of old answers."""
        await self.mount(widget)
        live = [answer for answer in self.query(Answer) if answer.is_live]
        for answer in live[:-LIVE_ANSWERS]:
            await answer.demote()
        self.anchor()

    async def empty(self) -> None:
        """Begin anew."""
        await self.remove_children()

    def messages(self) -> list[Message]:
        """All messages, oldest first."""
        return list(self.query(Message))

    def find(self, wanted: Callable[[Message], bool]) -> Message | None:
        """The newest message of that kind."""
        return next((message for message in reversed(self.messages()) if wanted(message)), None)
