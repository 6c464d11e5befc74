"""All conversations: those that are open in memory, and the saved ones."""

from collections.abc import Sequence
from typing import ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from deploy.commands.sessions import ListedSession
from deploy.conversations import Summary
from deploy.results import Problem
from tui.keeping import Keeper, Stored
from tui.keymap import bind, over_a_place
from tui.screens.confirm import ConfirmScreen
from tui.talk import LiveTalk
from tui.text import harmless
from tui.widgets.hints import Hints
from tui.widgets.textfield import TextField

Entry = LiveTalk | Stored
FALLBACK_WIDTH: Final = 64
DELETED_BY: Final = "landfast conversations delete NUMBER"


class TalkList(OptionList):
    """The list itself."""

    BINDINGS: ClassVar[list[BindingType]] = [bind("talks.open", "select")]


class TalkInput(TextField):
    """The field that narrows it."""

    BINDINGS: ClassVar[list[BindingType]] = [bind("talks.open", "screen.open")]


class TalksScreen(ModalScreen[Entry | None]):
    """The list. It gives the conversation to go on with."""

    HELP: ClassVar[str] = (
        "Conversations that are open in memory, those that you had saved, and sessions that you had kept with the "
        "model's state. What is in memory alone is gone when Landfast ends; what is saved or kept stays until you "
        "delete it. Saved text is then overwritten, a session's file is not."
    )
    twin = "landfast conversations list   and   landfast conversations search WORDS"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("talks.find", "find"),
        bind("talks.delete", "delete"),
        bind("talks.list", "list"),
        bind("talks.leave", "leave"),
        *over_a_place(),
    ]

    class Listed(Message):
        """The saved ones were read."""

        def __init__(self, words: str, outcome: tuple[Stored, ...] | Problem) -> None:
            """Carry them."""
            super().__init__()
            self.words = words
            self.outcome = outcome

    def __init__(self, keeper: Keeper, here: Sequence[LiveTalk], current: LiveTalk) -> None:
        """`here` are those in memory alone; `current` is the one on the screen."""
        super().__init__()
        self._keeper = keeper
        self._here = list(here)
        self._current = current
        self._saved: tuple[Stored, ...] = ()
        self._entries: list[Entry] = []

    @property
    def here(self) -> list[LiveTalk]:
        """What is left of those in memory."""
        return self._here

    def compose(self) -> ComposeResult:
        """A field, the list, and what there is to say."""
        with Vertical(classes="dialog wide") as box:
            box.border_title = "Conversations"
            yield TalkInput(placeholder="/ finds in titles and messages", compact=True)
            yield TalkList(id="talks", compact=True)
            yield Static(self._about(), classes="about", markup=False)
        yield Hints()

    def on_mount(self) -> None:
        """Show what is in memory at once, and what is saved when it is read."""
        self.query_one(OptionList).focus()
        self._show()
        self._read()

    @on(Input.Changed)
    def _read(self) -> None:
        words = self.query_one(Input).value

        def told(outcome: tuple[Stored, ...] | Problem) -> None:
            self.post_message(self.Listed(words, outcome))

        self._keeper.listed(words, told)

    @on(Listed)
    def _listed(self, event: Listed) -> None:
        if event.words != self.query_one(Input).value:
            return
        if isinstance(event.outcome, Problem):
            self.query_one(".about", Static).update(f"✗ {event.outcome.message} {event.outcome.hint}")
        else:
            self._saved = event.outcome
            self._show()

    def _show(self) -> None:
        wanted = self.query_one(Input).value.casefold().split()
        here = [talk for talk in self._here if _holds(talk, wanted)]
        self._entries = [*here, *self._saved]
        talks = self.query_one(OptionList)
        at = talks.highlighted or 0
        talks.clear_options()
        talks.add_options([Option(self._line(entry)) for entry in self._entries])
        if self._entries:
            talks.highlighted = min(at, len(self._entries) - 1)
        self.query_one(".about", Static).update(self._about())

    def _line(self, entry: Entry) -> Content:
        if isinstance(entry, ListedSession):
            return self._session_line(entry)
        if isinstance(entry, Summary):
            mark, when, count = "● saved    ", entry.changed[5:16].replace("T", " "), entry.messages
            is_open = entry.id == self._current.id
        else:
            mark, when, count = "○ not saved", "", len(entry.turns)
            is_open = entry is self._current
        about = f"{count:>5} {'message ' if count == 1 else 'messages'}  {when:<11}  {'open' * is_open:<4}"
        return self._assembled(mark, entry.title or "Empty", about)

    def _session_line(self, entry: ListedSession) -> Content:
        is_open = entry.name == self._current.session
        amount = f"{_short(entry.tokens):>5} tokens  " if entry.model else "cannot be used "
        about = f"{amount}  {entry.created[5:16].replace('T', ' '):<11}  {'open' * is_open:<4}"
        return self._assembled("◆ kept     ", f"{entry.name}: {entry.begins}" if entry.begins else entry.name, about)

    def _assembled(self, mark: str, title: str, about: str) -> Content:
        room = max(10, self._room - len(mark) - len(about) - 4)
        shown = Content(harmless(title)).truncate(room, ellipsis=True, pad=True)
        return Content.assemble(f"{mark}  ", (shown.plain, "bold"), "  ", (about, "dim"))

    @property
    def _room(self) -> int:
        return self.query_one(OptionList).content_size.width or FALLBACK_WIDTH

    def on_resize(self, _: events.Resize) -> None:
        """Use the new width."""
        self.call_after_refresh(self._show)

    def _about(self) -> str:
        if self._keeper.forbidden:
            return self._keeper.forbidden
        if not self._saved:
            return "No conversation is saved. F9 saves the one that is open."
        return "What is saved can be read by you alone."

    @on(OptionList.OptionSelected)
    def action_open(self) -> None:
        """Go on with the one under the cursor."""
        entry = self._under_cursor()
        if entry is not None:
            self.dismiss(entry)

    def action_find(self) -> None:
        """Go to the field."""
        self.query_one(Input).focus()

    def action_list(self) -> None:
        """Go to the list."""
        self.query_one(OptionList).focus()

    def action_leave(self) -> None:
        """From the field to the list, and from there back."""
        if self.query_one(Input).has_focus and self.query_one(Input).value:
            self.query_one(Input).value = ""
        else:
            self.dismiss(None)

    def action_delete(self) -> None:
        """Delete the one under the cursor, after a question."""
        entry = self._under_cursor()
        if entry is None:
            return
        if entry is self._current:
            self.notify("It is open. Ctrl+N leaves it for a new one.")
            return
        title = harmless(entry.name if isinstance(entry, ListedSession) else entry.title) or "Empty"
        where = "" if isinstance(entry, LiveTalk) else " from the disk"

        def answered(yes: bool | None) -> None:  # noqa: FBT001 - the toolkit's signature
            if yes:
                self._delete(entry)

        twin = f"landfast sessions remove {title}" if isinstance(entry, ListedSession) else DELETED_BY
        question = f'Delete "{title}"{where}? This cannot be undone.'
        self.app.push_screen(ConfirmScreen(question, "deletes it", twin), answered)

    def _delete(self, entry: Entry) -> None:
        if isinstance(entry, LiveTalk):
            self._here.remove(entry)
            self._show()
            return
        if isinstance(entry, ListedSession):
            self._forget_session(entry.name)
            return
        if entry.id == self._current.id:
            self._here.insert(0, self._current)
            self._keeper.forget(self._current, lambda _: self._read_again())
            return
        self._keeper.delete(entry.id, lambda _: self._read_again())

    def _forget_session(self, name: str) -> None:
        """The conversation on the screen may be the one that was kept so."""
        if self._current.session == name:
            self._current.session = ""
        self._keeper.remove(name, lambda _: self._read_again())

    def _read_again(self) -> None:
        """In a thread."""
        self.post_message(Input.Changed(self.query_one(Input), self.query_one(Input).value))

    def _under_cursor(self) -> Entry | None:
        at = self.query_one(OptionList).highlighted
        return self._entries[at] if at is not None and at < len(self._entries) else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - the toolkit's signature
        """Letters belong to the field while it has the focus."""
        in_field = isinstance(self.focused, Input)
        return not in_field if action in {"delete", "find"} else in_field if action == "list" else True


def _holds(talk: LiveTalk, words: Sequence[str]) -> bool:
    texts = [talk.title.casefold(), *(turn.text.casefold() for turn in talk.turns)]
    return any(all(word in text for word in words) for text in texts)


def _short(count: int) -> str:
    """A number of tokens in at most five letters."""
    return f"{count / 1000:.1f}k" if count >= 1000 else str(count)  # noqa: PLR2004 - thousands
