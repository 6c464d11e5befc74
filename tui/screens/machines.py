"""Choosing a machine to plan for: the library, or a recording by its path."""

from typing import TYPE_CHECKING, Any, ClassVar, Final

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from deploy.commands.context import Context
from deploy.results import Problem, Result
from tui.command import CommandOver, begin
from tui.jobs import Job
from tui.keymap import bind, over_a_place
from tui.widgets.hints import Hints
from tui.widgets.textfield import TextField

if TYPE_CHECKING:
    from deploy.commands.machines import LibraryData, LibraryMachine
    from tui.app import LandfastApp

HERE: Final = "this-machine"
TITLE_WIDTH: Final = 44
Choice = tuple[str | None]
"""The machine that was chosen; (None,) is this one."""


class MachineInput(TextField):
    """The field that narrows the list, or takes the path of a recording."""

    HELP: ClassVar[str] = "Words narrow the list. A path names a recording of `landfast doctor --record FILE`."
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("simulate.take", "submit"),
        bind("simulate.list", "screen.focus_list"),
    ]


class MachineList(OptionList):
    """The machines."""

    BINDINGS: ClassVar[list[BindingType]] = [bind("simulate.take", "select")]


class MachinesScreen(ModalScreen[Choice | None]):
    """A list with a field above it."""

    AUTO_FOCUS = "#machine-words"
    HELP: ClassVar[str] = (
        "Plan for a machine other than this one: the list, the reasons and comparisons are then worked out for it, "
        "marked SIMULATED. Nothing is installed while a machine is simulated."
    )
    twin = "landfast profile --list   and   landfast select --machine NAME"
    BINDINGS: ClassVar[list[BindingType]] = [bind("simulate.leave", "dismiss"), *over_a_place()]
    app: "LandfastApp"

    def __init__(self, now: str | None) -> None:
        """Come from this machine, or from one that is simulated already."""
        super().__init__()
        self._now = now
        self._machines: tuple[LibraryMachine, ...] = ()
        self._job: Job[Any] | None = None

    def compose(self) -> ComposeResult:
        """Lay out the box."""
        with Vertical(id="machines-box") as box:
            box.border_title = "Simulate another machine"
            yield MachineInput(placeholder="words, or the path of a recording", id="machine-words", compact=True)
            yield MachineList(id="machine-list")
            yield Static("Reading the library …", id="machine-note", markup=False)
        yield Hints()

    def on_mount(self) -> None:
        """Have the library read."""
        self._job = begin(self, self.app.context, "library", _library)

    def on_unmount(self) -> None:
        """Nobody waits any more."""
        if self._job is not None:
            self._job.cancel()

    @on(CommandOver)
    def _listed(self, event: CommandOver) -> None:
        outcome: Result[LibraryData] | Problem = event.outcome
        if isinstance(outcome, Problem):
            self.query_one("#machine-note", Static).update(f"✗ {outcome.message} {outcome.hint}")
        elif outcome.data is not None:
            self._machines = outcome.data.machines
            self._fill("")

    def _fill(self, words: str) -> None:
        wanted = words.lower().split()
        found = [one for one in self._machines if all(w in f"{one.name} {one.title}".lower() for w in wanted)]
        options = self.query_one(OptionList)
        options.clear_options()
        if not wanted:
            options.add_option(Option(Text("This machine" + ("" if self._now else ", as now"), "bold"), id=HERE))
        options.add_options([Option(_line(one, here=one.name == self._now), id=one.name) for one in found])
        if options.option_count:
            options.highlighted = 0
        note = f"{len(found)} machines" if found or not wanted else f"No such machine. Enter reads the file {words!r}."
        self.query_one("#machine-note", Static).update(note)

    @on(Input.Changed, "#machine-words")
    def _narrowed(self, event: Input.Changed) -> None:
        self._fill(event.value)

    @on(Input.Submitted, "#machine-words")
    def _submitted(self, event: Input.Submitted) -> None:
        options = self.query_one(OptionList)
        if options.highlighted is not None:
            self._choose(options.get_option_at_index(options.highlighted).id)
        elif event.value.strip():
            self.dismiss((event.value.strip(),))

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self._choose(event.option.id)

    def _choose(self, name: str | None) -> None:
        self.dismiss((None if name == HERE else name,))

    def action_focus_list(self) -> None:
        """Go to the list."""
        self.query_one(OptionList).focus()


def _library(context: Context) -> "Result[LibraryData]":
    from deploy.commands.machines import list_library

    return list_library(context)


def _line(machine: "LibraryMachine", *, here: bool) -> Text:
    mark = " (now)" if here else ""
    title = Text(f"{machine.title}{mark}", no_wrap=True)
    title.truncate(TITLE_WIDTH, overflow="ellipsis", pad=True)
    host, *devices = machine.memory.split(", ")
    return title.append(f"  {', '.join([*devices, host])}", "dim")  # what is cut off at the end matters least
