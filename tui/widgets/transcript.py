"""The messages of a conversation. The newest answers are Markdown widgets, older ones a single picture of it each."""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from rich.console import Group
from rich.markdown import Markdown as RichMarkdown
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Markdown, Static

from deploy.conversations import Attachment, Picture, Turn
from tui.keymap import bind
from tui.stream import BlockSplitter
from tui.text import harmless
from tui.widgets.thinking import ThinkingFold

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

TAIL_LINES: Final = 200
"""The open block shows its last lines only: drawing a long one anew for every token would cost more than the model."""
LIVE_ANSWERS: Final = 6
"""So many answers are trees of widgets; a hundred of them take seconds to lay out."""
FOLDED_LINES: Final = 12
FOLDED_LETTERS: Final = 1500
"""A longer question is folded to so much."""


def plain_parser() -> "MarkdownIt":
    """Markdown in which HTML is text: a tag that a model writes must be seen, not swallowed."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("gfm-like", {"html": False})
    parser.core.ruler.push("lines", lambda state: keep_lines(state.tokens))
    return parser


def keep_lines(tokens: "Iterable[Token]") -> None:
    """Let a new line be one. Markdown would join the lines of a poem or an address as soon as they are complete."""
    for token in tokens:
        for child in token.children or ():
            if child.type == "softbreak":
                child.type, child.tag = "hardbreak", "br"


class Message(Vertical, can_focus=True):
    """One message that can be reached and copied."""

    HELP: ClassVar[str] = "One message. What is copied is its text as it was written, not as it is drawn."
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("message.copy", "screen.copy_message"),
        bind("message.code", "screen.copy_code"),
        bind("message.all", "screen.copy_all"),
        bind("message.again", "screen.again"),
        bind("message.edit", "screen.edit"),
        bind("message.fork", "screen.fork"),
        bind("message.fold", "screen.fold"),
        bind("message.before", "screen.message(-1)"),
        bind("message.next", "screen.message(1)"),
        bind("message.prompt", "screen.focus_prompt"),
    ]
    source = ""
    """What `copy` gives: the text as it was written, not as it is drawn."""
    place: int | None = None
    """Which turn of the conversation it is; None for one that is not, or not yet, part of it."""

    @property
    def text(self) -> str:
        """What can be searched; of an answer that is still written, what there is."""
        return self.source

    def fold(self) -> None:
        """Show more or less of it."""


class Question(Message):
    """What the person wrote. A long text is folded."""

    def __init__(
        self,
        text: str,
        attachments: Sequence[Attachment] = (),
        images: Sequence[Picture] = (),
        here: Container[str] = (),
    ) -> None:
        """Keep the text and what goes with it; `here` are the hashes of the images that are still in memory."""
        super().__init__(classes="message question")
        self.source = text
        self.attachments = tuple(attachments)
        self.images = tuple(images)
        self._here = here
        self._folded = True

    def compose(self) -> ComposeResult:
        """Show the text as it is, in one widget: a long conversation has many of them."""
        yield Static(self._shown(), classes="said", markup=False)

    def turn(self, moment: str) -> Turn:
        """The same as a part of a conversation."""
        return Turn(role="user", text=self.source, time=moment, attachments=self.attachments, images=self.images)

    def fold(self) -> None:
        """Show all of it, or its beginning."""
        self._folded = not self._folded
        self.query_one(".said", Static).update(self._shown())

    def _shown(self) -> Content:
        names = "  ".join(f"[{harmless(name)}]" for name in self._names())
        files = Content.styled(f"{names}\n" if names else "", "$text-muted")
        return Content.assemble(("You\n", "bold $text-primary"), files, self._text_or_start())

    def _names(self) -> Iterable[str]:
        yield from (attached.name for attached in self.attachments)
        for shown in self.images:
            kept = "" if shown.sha256 in self._here else " · not kept"
            yield f"{shown.name} · {shown.width:,} x {shown.height:,}{kept}"

    def _text_or_start(self) -> str:
        whole = harmless(self.source)
        start = "\n".join(whole.split("\n")[:FOLDED_LINES])[:FOLDED_LETTERS]
        if not self._folded or len(whole) - len(start) < FOLDED_LETTERS // 10:
            return whole
        return f"{start} …\n▸ {len(whole) - len(start):,} characters more (alt+↑, then space shows them)"


class Answer(Message):
    """What the model writes: complete blocks as Markdown, the open one as plain text below."""

    def __init__(self, model: str) -> None:
        """Begin empty."""
        super().__init__(classes="message answer")
        self.model = model
        self._pieces: list[str] = []
        self._splitter = BlockSplitter()
        self._shown_tail = ""
        self._fold: ThinkingFold | None = None

    def compose(self) -> ComposeResult:
        """Lay out the answer."""
        yield Static(self.model, classes="who", markup=False)
        yield Markdown(parser_factory=plain_parser, open_links=False, classes="blocks")
        yield Static(classes="tail", markup=False)
        yield Static(classes="note", markup=False)

    @property
    def thoughts(self) -> str:
        """What the model said to itself."""
        return self._fold.thoughts if self._fold is not None else ""

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._pieces)

    async def think(self, text: str, tokens: int) -> None:
        """The model said more to itself."""
        if self._fold is None:
            self._fold = ThinkingFold()
            await self.mount(self._fold, after=self.query_one(".who"))
        self._fold.add(text, tokens)

    async def add(self, text: str) -> None:
        """Show more text."""
        self._pieces.append(text)
        if self._fold is not None:
            self._fold.end()
        blocks = self._splitter.feed(harmless(text))
        async with self.batch():  # a block is never on the screen twice, as Markdown and as the tail
            await self._append("".join(blocks))
            self._show_tail(self._splitter.tail)

    async def end(self, note: str) -> None:
        """Show what is left, however unfinished, and say how it ended."""
        if self._fold is not None:
            self._fold.end()
        await self._append(self._splitter.finish())
        self._show_tail("")
        self.source = self.text
        self.query_one(".note", Static).update(note)
        self.add_class("-ended")

    def fold(self) -> None:
        """Show what the model thought, or hide it."""
        if self._fold is not None:
            self._fold.toggle()

    async def demote(self) -> None:
        """Become one picture of the whole answer."""
        if self.is_live:
            async with self.batch():
                await self.query(Markdown).remove()
                await self.mount(picture(self.source), before=self.query_one(".tail"))

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
            widget.update(shown, layout=not _keeps_its_height(widget, shown))
            widget.display = bool(shown)


class OldAnswer(Answer):
    """An answer of before, as one picture."""

    def __init__(self, turn: Turn, model: str) -> None:
        """Show this turn, as of this model."""
        super().__init__(harmless(model) or "Model")
        self._pieces = [turn.text]
        self.source = turn.text
        self._stopped = turn.stopped
        self._fold = ThinkingFold(turn.thinking) if turn.thinking else None

    def compose(self) -> ComposeResult:
        """As few widgets as it can be."""
        if self._fold is None:
            yield Static(self._picture(self.model), classes="blocks")
            return
        yield Static(self.model, classes="who", markup=False)
        yield self._fold
        yield Static(self._picture(""), classes="blocks")

    def _picture(self, who: str) -> Group:
        """All of it in one."""
        head = [Text(who, "bold dim")] if who else []
        foot = [Text("■ stopped", "dim")] if self._stopped else []
        return Group(*head, drawn(self.source), *foot)


def _keeps_its_height(widget: Static, text: str) -> bool:
    """Whether a text takes as many lines as the widget has now: then nothing else moves, and nothing is laid out."""
    width, height = widget.content_size
    return widget.display and width > 0 and Content(text).get_height({}, width) == height


def drawn(source: str) -> RichMarkdown:
    """Markdown as one picture."""
    markdown = RichMarkdown(harmless(source))
    keep_lines(markdown.parsed)
    return markdown


def picture(source: str) -> Static:
    """The same as a widget."""
    return Static(drawn(source), classes="blocks")


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

    @property
    def is_left(self) -> bool:
        """Whether somebody scrolled away from the end."""
        return self._anchor_released and self.max_scroll_y - self.scroll_y > 1

    async def restore(self, turns: Sequence[Turn], names: Mapping[str, str], here: Container[str]) -> None:
        """Show an earlier conversation; `names` are those of the models, `here` the hashes of images in memory."""
        messages: list[Message] = []
        for place, turn in enumerate(turns):
            message = (
                OldAnswer(turn, names.get(turn.model, turn.model))
                if turn.role == "assistant"
                else Question(turn.text, turn.attachments, turn.images, here)
            )
            message.place = place
            messages.append(message)
        await self.mount_all(messages)
        self.anchor()

    async def empty(self) -> None:
        """Begin anew."""
        await self.remove_children()

    def messages(self) -> list[Message]:
        """All messages, oldest first."""
        return [child for child in self.children if isinstance(child, Message)]
