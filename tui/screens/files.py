"""Dialogs that ask for a file: one to attach, which is read and counted first, and one to write."""

import os
from collections.abc import Callable
from itertools import chain, islice
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

from deploy.commands.attach import with_attachments
from deploy.commands.looking import Shown, file_from
from deploy.conversations import Attachment
from deploy.errors import NotFound
from deploy.paths import named_path
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
ABOUT: Final = (
    "The model on this machine reads it before your question. An image needs a model with its projector (mmproj file); "
    "name that file here to load the model with it."
)
Found = Attachment | Shown | Path
"""A text, an image, or the path of a projector."""


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
    if not start:
        return None
    try:
        base = named_path(f"{folder}/" if folder or value.startswith("/") else ".")
        with os.scandir(base) as entries:
            looked_at = islice(entries, LOOKED_AT)
            names = sorted(found.name + "/" * found.is_dir() for found in looked_at if found.name.startswith(start))
    except (OSError, NotFound):
        return None
    return f"{value[: len(value) - len(start)]}{names[0]}" if names else None


def unused(name: str) -> str:
    """This name, or the first with a number that no file has: nothing is written over."""
    path = Path(name)
    numbered = (f"{path.stem}-{number}{path.suffix}" for number in range(2, LOOKED_AT))
    return next((one for one in chain((name,), numbered) if not Path(one).exists()), name)


class PathInput(TextField):
    """The field for the name of a file."""

    BINDINGS: ClassVar[list[BindingType]] = [bind("file.done", "submit"), bind("file.complete", "cursor_right")]


class ExportScreen(ModalScreen[str | None]):
    """Asks where to write the conversation."""

    HELP: ClassVar[str] = "Only you can read the file. The key → completes a path."
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


class AttachScreen(ModalScreen[Carried | Path | None]):
    """Asks for a text or an image; reads it and counts its tokens; gives it when Enter is pressed once more.

    A projector is taken, too: its path is given.
    """

    HELP: ClassVar[str] = (
        "The text of the file, or the image (PNG or JPEG), goes before your next message, and its size in tokens is "
        "known before anything is sent. Images are decoded in the sealed engine alone, are never saved, and need the "
        "model's projector: name its mmproj file here, too. The key → completes a path."
    )
    twin = "landfast run MODEL QUESTION < FILE   and   landfast chat MODEL --projector FILE, then /image FILE"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("file.leave", "dismiss(None)"),
        *over_a_place(),
    ]
    app: "LandfastApp"

    class Read(Message):
        """A file was read, or could not be."""

        def __init__(self, name: str, outcome: Found | Problem) -> None:
            """Carry it."""
            super().__init__()
            self.name = name
            self.outcome = outcome

    class Counted(Message):
        """Its tokens were counted, or could not be."""

        def __init__(self, carried: Carried, outcome: int | Problem) -> None:
            """Carry it."""
            super().__init__()
            self.carried = carried
            self.outcome = outcome

    def __init__(self, refusal_of: Callable[[Shown], Problem | None]) -> None:
        """Begin with nothing read; `refusal_of` says why an image cannot be shown."""
        super().__init__()
        self._refusal_of = refusal_of
        self._found: Carried | Path | None = None

    def compose(self) -> ComposeResult:
        """A field, and what is known of the file."""
        with Vertical(classes="dialog") as box:
            box.border_title = "Attach a text or an image"
            yield PathInput(placeholder="Path of the file", suggester=PathSuggester(), compact=True)
            yield Static(ABOUT, classes="about", markup=False)
        yield Hints()

    @on(Input.Changed)
    def _changed(self) -> None:
        """What was said of another file holds no more."""
        self._found = None
        self._tell(ABOUT)

    @on(Input.Submitted)
    def _done(self) -> None:
        """Look at the file, or attach what was looked at."""
        if self._found is not None:
            self.dismiss(self._found)
            return
        name = self.query_one(Input).value.strip()
        if name:
            self._tell("reading …")
            Job(
                self.app.context,
                lambda _: file_from(name),
                on_end=lambda outcome: self._from_thread(self.Read(name, outcome)),
            ).start()

    def _from_thread(self, message: Message) -> None:
        self.post_message(message)

    @on(Read)
    def _read(self, event: Read) -> None:
        found = event.outcome
        if event.name != self.query_one(Input).value.strip():
            return
        problem = self._refusal_of(found) if isinstance(found, Shown) else None
        if isinstance(found, Problem):
            self._refuse(found)
        elif problem is not None:
            self._refuse(problem)
        elif isinstance(found, Path):
            self._offer(found)
        else:
            self._count(Carried(found))

    def _refuse(self, problem: Problem) -> None:
        self._tell(f"✗ {harmless(problem.message)} {problem.hint}")

    def _offer(self, projector: Path) -> None:
        """A projector, for the model that is loaded."""
        opened = self.app.driver.opened
        if opened is None:
            self._tell("✗ This is a projector, and no model is loaded that could look at images with it.")
            return
        self._found = projector
        name = harmless(opened.plan.name)
        self._tell(f"✓ {harmless(projector.name)} is a projector. Enter loads {name} again with it, to look at images.")

    def _count(self, carried: Carried) -> None:
        self._found = carried
        file = carried.file

        def told(outcome: int | Problem) -> None:
            self._from_thread(self.Counted(carried, outcome))

        what = file.data if isinstance(file, Shown) else with_attachments("", (file,))
        counting = self.app.driver.count(what, told)
        self._tell("counting …" if counting else f"{_size(carried)}, counted when a model is loaded. {ATTACHES}")

    @on(Counted)
    def _counted(self, event: Counted) -> None:
        carried, outcome = event.carried, event.outcome
        if carried is not self._found:
            return
        if isinstance(outcome, Problem) and isinstance(carried.file, Shown):
            self._found = None
            self._refuse(outcome)
            return
        carried.tokens = outcome if isinstance(outcome, int) else None
        self._tell(f"✓ {_size(carried)}, {self._tokens(carried)}. {ATTACHES}")

    def _tokens(self, carried: Carried) -> str:
        opened = self.app.driver.opened
        if carried.tokens is None:
            return "and its tokens cannot be counted now"
        room = f"; the context holds {opened.session.loaded.context_tokens:,}" if opened else ""
        return f"{carried.tokens:,} tokens{room}"

    def _tell(self, about: str) -> None:
        self.query_one(".about", Static).update(about)


def _size(carried: Carried) -> str:
    file = carried.file
    return (
        harmless(file.words) if isinstance(file, Shown) else f"{harmless(file.name)}: {len(file.text.encode()):,} bytes"
    )
