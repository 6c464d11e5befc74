"""Dialogs that ask for a file: one to attach, which is read and counted first, and one to write."""

import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.suggester import Suggester
from textual.widgets import Input, Static

from deploy.commands.attach import read_attachment, with_attachments
from deploy.conversations import Attachment
from deploy.results import Problem
from tui.jobs import Job
from tui.keymap import bind, over_a_place
from tui.text import harmless
from tui.widgets.files import Carried
from tui.widgets.hints import Hints
from tui.widgets.textfield import TextField

if TYPE_CHECKING:
    from tui.app import LandfastApp

LOOKED_AT: Final = 2000
"""Entries of a folder that are looked at for a suggestion."""
ATTACHES: Final = "Enter attaches it."


class PathSuggester(Suggester):
    """Completes the name of a file or folder."""

    def __init__(self) -> None:
        """Remember nothing: folders change."""
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        """The first entry that begins so."""
        return completed(value)


def completed(value: str) -> str | None:
    """A path whose last part is the first entry of its folder that begins so; None where there is none."""
    folder, _, start = value.rpartition("/")
    base = Path(f"{folder}/" if folder or value.startswith("/") else ".").expanduser()
    if not start:
        return None
    try:
        with os.scandir(base) as entries:
            looked_at = islice(entries, LOOKED_AT)
            names = sorted(found.name + "/" * found.is_dir() for found in looked_at if found.name.startswith(start))
    except OSError:
        return None
    return f"{value[: len(value) - len(start)]}{names[0]}" if names else None


class PathInput(TextField):
    """The field for the name of a file."""

    BINDINGS: ClassVar[list[BindingType]] = [bind("file.done", "submit"), bind("file.complete", "cursor_right")]


class ExportScreen(ModalScreen[str | None]):
    """Asks where to write the conversation."""

    HELP: ClassVar[str] = "The file is for your eyes alone. The key → takes the completion of a path."
    twin = "landfast conversations export NUMBER --out FILE"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("file.leave", "dismiss(None)"),
        *over_a_place(),
    ]

    def __init__(self, proposed: str) -> None:
        """Propose a name."""
        super().__init__()
        self._proposed = proposed

    def compose(self) -> ComposeResult:
        """A field and what it means."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Write the conversation to a file"
            yield PathInput(self._proposed, suggester=PathSuggester(), compact=True)
            yield Static("A name that ends in .json gives JSON, every other one Markdown.", classes="about")
        yield Hints()

    @on(Input.Submitted)
    def _done(self) -> None:
        """Give the name."""
        self.dismiss(self.query_one(Input).value.strip() or None)


class AttachScreen(ModalScreen[Carried | None]):
    """Asks for a text file; reads it and counts its tokens; gives it when Enter is pressed once more."""

    HELP: ClassVar[str] = (
        "The text of the file goes before your next message, and its size in tokens is known before anything is sent. "
        "The key → takes the completion of a path."
    )
    twin = "landfast run MODEL QUESTION < FILE"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("file.leave", "dismiss(None)"),
        *over_a_place(),
    ]
    app: "LandfastApp"

    class Read(Message):
        """A file was read, or could not be."""

        def __init__(self, name: str, outcome: Attachment | Problem) -> None:
            """Carry it."""
            super().__init__()
            self.name = name
            self.outcome = outcome

    class Counted(Message):
        """Its tokens were counted."""

        def __init__(self, carried: Carried) -> None:
            """Carry it."""
            super().__init__()
            self.carried = carried

    def __init__(self) -> None:
        """Begin with nothing read."""
        super().__init__()
        self._carried: Carried | None = None

    def compose(self) -> ComposeResult:
        """A field, and what is known of the file."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Attach a text file"
            yield PathInput(placeholder="Path of the file", suggester=PathSuggester(), compact=True)
            yield Static("It is read by the model on this machine, before your question.", classes="about")
        yield Hints()

    @on(Input.Changed)
    def _changed(self) -> None:
        self._carried = None

    @on(Input.Submitted)
    def _done(self) -> None:
        """Look at the file, or attach what was looked at."""
        if self._carried is not None:
            self.dismiss(self._carried)
            return
        name = self.query_one(Input).value.strip()
        if name:
            self._tell("reading …")
            Job(
                self.app.context,
                lambda _: read_attachment(name),
                on_end=lambda outcome: self._from_thread(self.Read(name, outcome)),
            ).start()

    def _from_thread(self, message: Message) -> None:
        self.post_message(message)

    @on(Read)
    def _read(self, event: Read) -> None:
        if event.name != self.query_one(Input).value.strip():
            return
        if isinstance(event.outcome, Problem):
            self._tell(f"✗ {harmless(event.outcome.message)} {event.outcome.hint}")
            return
        carried = self._carried = Carried(event.outcome)

        def told(outcome: int | Problem) -> None:
            carried.tokens = outcome if isinstance(outcome, int) else None
            self._from_thread(self.Counted(carried))

        counting = self.app.driver.count(with_attachments("", (carried.attachment,)), told)
        self._tell(
            "counting …" if counting else f"{self._bytes_of(carried)}, counted when a model is loaded. {ATTACHES}"
        )

    @on(Counted)
    def _counted(self, event: Counted) -> None:
        if event.carried is self._carried:
            self._tell(f"✓ {self._bytes_of(event.carried)}, {self._tokens(event.carried)}. {ATTACHES}")

    def _bytes_of(self, carried: Carried) -> str:
        return f"{harmless(carried.attachment.name)}: {len(carried.attachment.text.encode()):,} bytes"

    def _tokens(self, carried: Carried) -> str:
        opened = self.app.driver.opened
        if carried.tokens is None:
            return "and its tokens cannot be counted now"
        room = f"; the context holds {opened.session.loaded.context_tokens:,}" if opened else ""
        return f"{carried.tokens:,} tokens{room}"

    def _tell(self, about: str) -> None:
        self.query_one(".about", Static).update(about)
