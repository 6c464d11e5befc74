"""The models: what this machine is, what fits on it, and why."""

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.screen import Screen
from textual.widgets import DataTable, Input, Static

from deploy.commands.context import Context
from deploy.quantities import gigabytes
from deploy.results import Problem, Result
from tui.command import CommandOver, begin
from tui.keymap import bind, places
from tui.rows import Narrowing, Row, rows_of
from tui.text import machine_lines, workload_words
from tui.widgets.hints import Hints
from tui.widgets.modeltable import ModelTable
from tui.widgets.textfield import TextField
from tui.widgets.topbar import TopBar
from tui.widgets.why import WhyPanel

if TYPE_CHECKING:
    from deploy.commands.models import RemoveData
    from deploy.commands.profile import ProfileData
    from tui.app import LandfastApp
    from tui.messages import Look
    from tui.screens.wishes import Wishes


WIDE: Final = 100
"""Columns from which the reasons stand beside the list."""
BREAKPOINTS: Final = [(0, "-narrow"), (WIDE, "-wide"), (130, "-very-wide")]
COMPARED: Final = 2
HOW_TO_COMPARE: Final = "Mark a model with Space, go to another one, and press v."


class FilterInput(TextField):
    """The field that finds rows of the list."""

    HELP: ClassVar[str] = "Only models stay that have every word in name, family, publisher or licence."
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("filter.leave", "screen.leave_filter"),
        bind("filter.done", "screen.focus_list"),
    ]


class ModelsScreen(Screen[None]):
    """The list of models with the machine above and the reasons beside it."""

    AUTO_FOCUS = "#models"
    HORIZONTAL_BREAKPOINTS = BREAKPOINTS
    HELP: ClassVar[str] = (
        "The best form of every model of the catalogue on this machine: what it takes of the memory, whether it fits, "
        "and how fast it would write. ★ is the choice; it stands first. Enter on a model chats with it, and installs "
        "it first where needed. The panel of reasons adds up the memory term by term."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("models.back", "back"),
        bind("models.why", "why"),
        bind("models.filter", "filter"),
        bind("models.wishes", "wishes"),
        bind("models.simulate", "simulate"),
        bind("models.compare", "compare"),
        bind("models.install", "install"),
        bind("models.remove", "remove"),
        bind("models.all", "all"),
        bind("models.refresh", "refresh_all"),
        bind("models.unload", "unload"),
        *places(),
    ]
    app: "LandfastApp"

    def __init__(self) -> None:
        """Begin without data; the app brings it."""
        super().__init__()
        self._look: Look | None = None
        self._rows: tuple[Row, ...] = ()
        self._narrowing = Narrowing()
        self._marked: list[str] = []
        self._wide = False

    @property
    def twin(self) -> str:
        """The same on the command line."""
        wanted = self.app.workload
        options = [f"--for {wanted.purpose}", f"--context {wanted.context_tokens}"]
        options += [f"--machine {self.app.machine}"] if self.app.machine else []
        row = self.query_one(ModelTable).current
        plan = f"   and   landfast plan {row.id}" if row is not None else ""
        return f"landfast select {' '.join(options)}{plan}"

    def compose(self) -> ComposeResult:
        """Lay out the place."""
        yield TopBar("models")
        yield Static(id="simulated", markup=False)
        yield Static("Looking at this machine …", id="machine")
        yield Static(id="advice")
        yield FilterInput(placeholder="name, family, publisher or licence", id="filter", compact=True)
        with Container(id="body"):
            with Vertical(id="list"):
                yield ModelTable()
                yield Static(id="count", markup=False)
            yield WhyPanel(id="why")
        yield Hints()

    def on_mount(self) -> None:
        """Show the last look, if there is one."""
        for name in ("#simulated", "#advice", "#filter"):
            self.query_one(name).display = False
        if self.app.look is not None:
            self.show_look(self.app.look)

    def on_screen_resume(self) -> None:
        """Say what is loaded; it may have changed while another place was shown."""
        self.say_loaded()

    def on_resize(self, event: events.Resize) -> None:
        """Between one pane and two, forget whether the reasons were shown or hidden by hand."""
        wide = event.size.width >= WIDE
        if wide != self._wide:
            self._wide = wide
            self.remove_class("-why", "-no-why")

    def say_loaded(self) -> None:
        """Name the loaded model in the top line."""
        self.query_one(TopBar).tell(self.app.loaded_words())
        self.refresh_bindings()

    def show_machine(self, data: "ProfileData") -> None:
        """Show the machine, and loudly where it is another one than this."""
        first, second = machine_lines(data.machine, data.budget)
        self.query_one("#machine", Static).update(_lines(first, second))
        mark = self.query_one("#simulated", Static)
        mark.display = data.machine.simulated
        mark.update(f"SIMULATED: {data.machine.origin} · Esc: back to this machine")
        self.refresh_bindings()

    def show_look(self, look: "Look") -> None:
        """Show the list, and what to do first where nothing is installed."""
        from deploy.commands.profile import ProfileData

        self._look = look
        self._rows = rows_of(look.data.ranking, look.installed)
        known = {row.id for row in self._rows}
        self._marked = [name for name in self._marked if name in known]
        self.show_machine(ProfileData(machine=look.data.machine, budget=look.data.budget))
        self._fill()
        self._advise(look)

    def show_problem(self, problem: Problem) -> None:
        """Say why there is no list."""
        self._say(Text.assemble(("✗ ", "bold"), f"{problem.message} {problem.hint}"))
        if self.app.machine is not None and self._look is not None and not self._look.simulated:
            self.app.machine = None

    def _advise(self, look: "Look") -> None:
        chosen = look.data.ranking.chosen
        if look.installed or look.simulated:
            remarks = [f"! {m.text}" for m in look.messages if m.level == "warning" and not look.simulated]
            self._say(Text("\n".join(remarks), "dim", no_wrap=True, overflow="ellipsis") if remarks else None)
        elif chosen is None:
            problem = look.problem or Problem("nothing-fits", "No model fits this machine.")
            forbidden = sum(1 for row in self._rows if row.forbidden)
            rules = f" The policy refuses {forbidden} models: F6 shows its rules." if forbidden else ""
            self._say(Text.assemble(("✗ ", "bold"), f"{problem.message} {problem.hint}{rules}"))
        else:
            size = gigabytes(chosen.fit.size_bytes)
            self._say(
                Text.assemble(
                    ("★ ", "bold"),
                    (f"{chosen.fit.name} {chosen.fit.quant}", "bold"),
                    " is the choice for this machine. ",
                    (chosen.why.removesuffix(chosen.fit.reason), "dim"),
                    ("\n  Press Enter", "bold"),
                    f" to install it ({size}, {chosen.obtain}) and chat.",
                )
            )

    def _say(self, what: Text | None) -> None:
        advice = self.query_one("#advice", Static)
        advice.display = what is not None
        if what is not None:
            advice.update(what)

    def _fill(self) -> None:
        rows = [row for row in self._rows if self._narrowing.admits(row)]
        self.query_one(ModelTable).fill(rows, self._marked)
        everything = Narrowing(self._narrowing.words, "all", self._narrowing.publisher, self._narrowing.licence)
        hidden = sum(1 for row in self._rows if everything.admits(row)) - len(rows)
        self.query_one("#count", Static).update(" · ".join(self._count_words(len(rows), hidden)))
        self._explain()

    def _count_words(self, count: int, hidden: int) -> list[str]:
        """What the list shows, and what the figures in it were worked out for."""
        said = [f"{count} models" if count != 1 else "1 model"]
        if hidden:
            said.append(f"{hidden} too large or slow: a" if self._narrowing.show == "fits" else f"{hidden} more")
        said += [name for name in (self._narrowing.publisher, self._narrowing.licence) if name]
        return [*said, workload_words(self._look.data.workload if self._look else self.app.workload)]

    def _explain(self) -> None:
        row = self.query_one(ModelTable).current
        self.query_one(WhyPanel).show(row, self._look.data.budget if self._look else None)

    @on(DataTable.RowHighlighted)
    def _moved(self) -> None:
        self._explain()
        self.refresh_bindings()

    @on(DataTable.RowSelected)
    def _chosen(self) -> None:
        row = self.query_one(ModelTable).current
        if row is None:
            return
        if row.installed:
            self.app.open_chat(row.id)
        else:
            self._install(row, then_chat=True)

    @on(Input.Changed, "#filter")
    def _filtered(self, event: Input.Changed) -> None:
        self._narrow(words=event.value)

    @on(Input.Submitted, "#filter")
    def _filter_done(self) -> None:
        self.action_focus_list()

    def _narrow(self, *, words: str | None = None) -> None:
        now = self._narrowing
        self._narrowing = Narrowing(now.words if words is None else words, now.show, now.publisher, now.licence)
        self._fill()

    def action_install(self) -> None:
        """Install the model under the cursor, or show its install."""
        row = self.query_one(ModelTable).current
        if row is not None:
            self._install(row, then_chat=False)

    def _install(self, row: Row, *, then_chat: bool) -> None:
        if self.app.machine is not None:
            title, why = "Nothing is installed on a simulated machine", "Press Esc to come back to this one first."
            self.notify(why, title=title, severity="warning", markup=False)
        elif row.can_be_installed or self.app.installs.of(row.id) is not None:
            self.app.install(row, then_chat=then_chat)
        elif row.ranked is not None:
            self.notify(row.ranked.why, title=f"{row.name} cannot be installed here", severity="warning", markup=False)

    def action_remove(self) -> None:
        """Take the installed model under the cursor off this machine, after a question."""
        row = self.query_one(ModelTable).current
        if row is not None and row.installed:
            from tui.screens.confirm import ConfirmScreen

            question = f"Remove {row.name} {row.quant} ({gigabytes(row.size_bytes)}) from this machine?"
            dialog = ConfirmScreen(question, "removes it", f"landfast models remove {row.id}")
            self.app.push_screen(dialog, partial(self._remove, row))

    def _remove(self, row: Row, yes: bool | None) -> None:  # noqa: FBT001 - the toolkit's signature
        if yes:
            self.app.let_go_of(row.id)
            begin(self, self.app.context, "remove", lambda own: _removal(own, row.id))

    @on(CommandOver)
    def _removed(self, event: CommandOver) -> None:
        outcome: Result[RemoveData] | Problem = event.outcome
        if isinstance(outcome, Problem):
            self.notify(f"{outcome.message} {outcome.hint}", title="Not removed", severity="error", markup=False)
        elif outcome.data is not None:
            freed = gigabytes(outcome.data.freed_bytes)
            self.notify(f"{outcome.data.id} is removed, {freed} freed.", markup=False)
        self.say_loaded()
        self.app.look_again()

    def action_filter(self) -> None:
        """Open the field that finds."""
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    def action_leave_filter(self) -> None:
        """Clear the field and close it."""
        field = self.query_one("#filter", Input)
        field.value = ""
        field.display = False
        self.action_focus_list()

    def action_focus_list(self) -> None:
        """Go to the list."""
        field = self.query_one("#filter", Input)
        field.display = bool(field.value)
        self.query_one(ModelTable).focus()

    def action_wishes(self) -> None:
        """Ask what the model is wanted for and what the list is to show."""
        from tui.screens.wishes import Wishes, WishesScreen

        now = Wishes(self.app.workload, self._narrowing)
        self.app.push_screen(WishesScreen(now, self._rows), self._wished)

    def _wished(self, wishes: "Wishes | None") -> None:
        if wishes is not None:
            self._narrowing = wishes.narrowing
            self._fill()
            self.app.wish(wishes.workload)

    def action_mark(self) -> None:
        """Mark the model under the cursor, or take its mark away; a third mark takes the place of the first."""
        row = self.query_one(ModelTable).current
        if row is None:
            return
        if row.id in self._marked:
            self._marked.remove(row.id)
        else:
            self._marked = [*self._marked, row.id][-COMPARED:]
        self._fill()
        self.refresh_bindings()

    def action_compare(self) -> None:
        """Put two models side by side: the marked ones, or the marked one and that under the cursor."""
        row = self.query_one(ModelTable).current
        names = list(self._marked)
        if len(names) == 1 and row is not None and row.id not in names:
            names.append(row.id)
        if len(names) != COMPARED:
            self.notify(HOW_TO_COMPARE, title="Two models are needed", markup=False)
            return
        from tui.screens.compare import CompareScreen

        self.app.push_screen(CompareScreen((names[0], names[1]), self.app.workload, self.app.machine))

    def action_simulate(self) -> None:
        """Choose another machine to plan for."""
        from tui.screens.machines import MachinesScreen

        self.app.push_screen(MachinesScreen(self.app.machine), self._simulated)

    def _simulated(self, choice: "tuple[str | None] | None") -> None:
        if choice is not None:
            self.query_one("#machine", Static).update("Looking at the machine …")
            self.app.simulate(choice[0])

    def action_back(self) -> None:
        """Come back to this machine."""
        self.app.simulate(None)

    def action_all(self) -> None:
        """Show everything, or only what fits."""
        now = self._narrowing
        show: Final = "all" if now.show == "fits" else "fits"
        self._narrowing = Narrowing(now.words, show, now.publisher, now.licence)
        self._fill()

    def action_why(self) -> None:
        """Show or hide the reasons."""
        why = self.query_one(WhyPanel)
        wanted = not why.display
        self.set_class(wanted, "-why")
        self.set_class(not wanted, "-no-why")

    def action_refresh_all(self) -> None:
        """Look again."""
        self.app.look_again()

    def action_unload(self) -> None:
        """End the engine."""
        self.app.driver.close()
        self.say_loaded()
        self.app.look_again()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - the toolkit's signature
        """Offer only what can be done now."""
        if action == "unload":
            return self.app.engine_runs
        if action == "back":
            return self.app.machine is not None
        if action == "remove":
            rows = (table.current for table in self.query(ModelTable))
            return self.app.machine is None and any(row is not None and row.installed for row in rows)
        return True


def _removal(context: Context, name: str) -> "Result[RemoveData]":
    from deploy.commands.models import remove

    return remove(context, name)


def _lines(first: str, second: str) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    return text.append(first).append(f"\n{second}", "dim")
