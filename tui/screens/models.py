"""The models: what this machine is, what fits on it, and why."""

from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Input, Static

from deploy.commands.profile import ProfileData
from deploy.fit.fit import gigabytes
from deploy.results import Problem
from tui.keymap import bind, places
from tui.messages import Look
from tui.rows import Row, rows_of, visible
from tui.text import machine_lines
from tui.widgets.modeltable import ModelTable
from tui.widgets.topbar import TopBar
from tui.widgets.why import WhyPanel

if TYPE_CHECKING:
    from tui.app import LandfastApp


WIDE: Final = 100
"""Columns from which the reasons stand beside the list."""
BREAKPOINTS: Final = [(0, "-narrow"), (WIDE, "-wide"), (130, "-very-wide")]


class FilterInput(Input):
    """The filter over the list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("filter.leave", "screen.leave_filter"),
        bind("filter.done", "screen.focus_list"),
    ]


class ModelsScreen(Screen[None]):
    """The list of models with the machine above and the reasons beside it."""

    AUTO_FOCUS = "#models"
    HORIZONTAL_BREAKPOINTS = BREAKPOINTS
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("models.install", "install"),
        bind("models.filter", "filter"),
        bind("models.all", "all"),
        bind("models.why", "why"),
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
        self._show_all = False
        self._wide = False

    def compose(self) -> ComposeResult:
        """Lay out the place."""
        yield TopBar("models")
        yield Static("Looking at this machine …", id="machine")
        yield Static(id="advice")
        yield FilterInput(placeholder="name, family, publisher or licence", id="filter", compact=True)
        with Container(id="body"):
            with Vertical(id="list"):
                yield ModelTable()
                yield Static(id="count", markup=False)
            yield WhyPanel(id="why")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Show the last look, if there is one."""
        self.query_one("#advice").display = False
        self.query_one("#filter").display = False
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

    def show_machine(self, data: ProfileData) -> None:
        """Show the machine."""
        first, second = machine_lines(data.machine, data.budget)
        self.query_one("#machine", Static).update(_lines(first, second))

    def show_look(self, look: Look) -> None:
        """Show the list, and what to do first where nothing is installed."""
        self._look = look
        self._rows = rows_of(look.data.ranking, look.installed)
        self.show_machine(ProfileData(machine=look.data.machine, budget=look.data.budget))
        self._fill()
        self._advise(look)

    def show_problem(self, problem: Problem) -> None:
        """Say why there is no list."""
        self._say(Text.assemble(("✗ ", "bold"), f"{problem.message} {problem.hint}"))

    def _advise(self, look: Look) -> None:
        chosen = look.data.ranking.chosen
        if look.installed:
            remarks = [f"! {message.text}" for message in look.messages if message.level == "warning"]
            self._say(Text("\n".join(remarks), "dim", no_wrap=True, overflow="ellipsis") if remarks else None)
        elif chosen is None:
            problem = look.problem or Problem("nothing-fits", "No model fits this machine.")
            self._say(Text.assemble(("✗ ", "bold"), f"{problem.message} {problem.hint}"))
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
        wanted = self.query_one("#filter", Input).value
        rows = visible(self._rows, wanted, show_all=self._show_all)
        table = self.query_one(ModelTable)
        table.fill(rows)
        hidden = 0 if self._show_all else len(visible(self._rows, wanted, show_all=True)) - len(rows)
        more = f" · {hidden} too large or too slow: a shows them" if hidden else ""
        self.query_one("#count", Static).update(f"{len(rows)} models{more}")
        self._explain()

    def _explain(self) -> None:
        row = self.query_one(ModelTable).current
        self.query_one(WhyPanel).show(row, self._look.data.budget if self._look else None)

    @on(DataTable.RowHighlighted)
    def _moved(self) -> None:
        self._explain()

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
    def _filtered(self) -> None:
        self._fill()

    @on(Input.Submitted, "#filter")
    def _filter_done(self) -> None:
        self.action_focus_list()

    def action_install(self) -> None:
        """Install the model under the cursor, or show the install that runs."""
        row = self.query_one(ModelTable).current
        if self.app.installing:
            self.app.show_install()
        elif row is not None:
            self._install(row, then_chat=False)

    def _install(self, row: Row, *, then_chat: bool) -> None:
        if row.can_be_installed or self.app.installing:
            self.app.install(row, then_chat=then_chat)
        elif row.ranked is not None:
            self.notify(row.ranked.why, title=f"{row.name} cannot be installed here", severity="warning", markup=False)

    def action_filter(self) -> None:
        """Open the filter."""
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    def action_leave_filter(self) -> None:
        """Clear the filter and close it."""
        field = self.query_one("#filter", Input)
        field.value = ""
        field.display = False
        self.action_focus_list()

    def action_focus_list(self) -> None:
        """Go to the list."""
        field = self.query_one("#filter", Input)
        field.display = bool(field.value)
        self.query_one(ModelTable).focus()

    def action_all(self) -> None:
        """Show everything, or only what fits."""
        self._show_all = not self._show_all
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
        """Offer to unload only what is loaded."""
        if action == "unload":
            return self.app.driver.state != "empty"
        return True


def _lines(first: str, second: str) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    return text.append(first).append(f"\n{second}", "dim")
