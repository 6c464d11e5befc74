"""All installs since the start, and those that an earlier run left half done."""

from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, VerticalScroll
from textual.screen import Screen
from textual.widgets import DataTable, Static

from tui.jobs import InstallJob
from tui.keymap import bind, places
from tui.widgets.hints import Hints
from tui.widgets.jobview import explain, progress_of, state_of
from tui.widgets.topbar import TopBar

if TYPE_CHECKING:
    from tui.app import LandfastApp

REFRESH_S: Final = 0.25
NOTHING: Final = (
    "Nothing is being installed.\n\n"
    "Go to the models with F2, choose one, and press Enter to install it and chat, or i to install it only. "
    "Several can wait: they run one after another, and continue while you chat."
)


class JobTable(DataTable[Text]):
    """One row an install."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("jobs.go_on", "screen.go_on"),
        bind("jobs.down", "cursor_down"),
        bind("jobs.up", "cursor_up"),
    ]

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__(cursor_type="row", id="jobs", cell_padding=1)


class JobsScreen(Screen[None]):
    """The list of installs, and the steps of the one under the cursor."""

    AUTO_FOCUS = "#jobs"
    HELP: ClassVar[str] = (
        "Every install is one transaction: find a source, download, verify, and rename into the store. They run one "
        "after another, belong to the program and not to this screen, and continue while you chat. Stop one, and what "
        "has come is kept; it continues from there, today or after a restart."
    )
    twin = "landfast install MODEL   and   landfast models gc, which clears what was left half done"
    BINDINGS: ClassVar[list[BindingType]] = [bind("jobs.cancel", "cancel"), bind("jobs.clear", "clear"), *places()]
    app: "LandfastApp"

    def __init__(self) -> None:
        """Begin with nothing shown."""
        super().__init__()
        self._shown: tuple[tuple[InstallJob, tuple[str, ...]], ...] = ()

    def compose(self) -> ComposeResult:
        """Lay out the place."""
        yield TopBar("jobs")
        yield Static(NOTHING, id="no-jobs", classes="empty", markup=False)
        with Container(id="jobs-body"):
            yield JobTable()
            with VerticalScroll(id="job-box", can_focus=False):
                yield Static(id="job-text")
        yield Hints()

    def on_mount(self) -> None:
        """Follow the jobs four times a second."""
        table = self.query_one(JobTable)
        for key, label, width in (("job", "Install", 34), ("state", "State", 14), ("progress", "Progress", 18)):
            table.add_column(label, key=key, width=width)
        self.set_interval(REFRESH_S, self.show)
        self.show()

    def on_screen_resume(self) -> None:
        """Show what changed while another place was shown."""
        self.show()

    def show(self) -> None:
        """Show how far the jobs have come."""
        if not self.is_current and self._shown:
            return
        jobs = self.app.installs.jobs
        self.query_one("#no-jobs").display = not jobs
        self.query_one("#jobs-body").display = bool(jobs)
        self._fill(jobs)
        current = self.current
        if current is not None:
            self.query_one("#job-box").border_title = f" {current.title} "
            self.query_one("#job-text", Static).update(explain(current))
        self.query_one(TopBar).show()
        self.refresh_bindings()

    def _fill(self, jobs: tuple[InstallJob, ...]) -> None:
        rows = tuple((job, (job.title, state_of(job), progress_of(job))) for job in jobs)
        if rows == self._shown:
            return
        table = self.query_one(JobTable)
        same = [job for job, _ in rows] == [job for job, _ in self._shown]
        self._shown = rows
        if not same:
            at = table.cursor_row
            with table.prevent(DataTable.RowHighlighted):
                table.clear()
                for index, (_, cells) in enumerate(rows):
                    table.add_row(*map(_cell, cells), key=str(index))
                table.move_cursor(row=min(at, len(rows) - 1))
            return
        for index, (_, cells) in enumerate(rows):
            for column, cell in zip(("job", "state", "progress"), cells, strict=True):
                table.update_cell(str(index), column, _cell(cell))

    @property
    def current(self) -> InstallJob | None:
        """The job under the cursor."""
        jobs, at = self.app.installs.jobs, self.query_one(JobTable).cursor_row
        return jobs[at] if 0 <= at < len(jobs) else None

    @on(DataTable.RowHighlighted)
    def _moved(self) -> None:
        self.show()

    def action_go_on(self) -> None:
        """Start, try again, go on, or chat."""
        if self.current is not None:
            self.app.go_on(self.current)
            self.show()

    def action_cancel(self) -> None:
        """Stop the job, or take it out of the line."""
        if self.current is not None:
            self.app.installs.cancel(self.current)
            self.show()

    def action_clear(self) -> None:
        """Remove from the list what has ended."""
        self.app.installs.clear()
        self.show()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - the toolkit's signature
        """Offer only what the state of the job under the cursor allows."""
        if not self.is_mounted:
            return True
        state = self.current.state if self.current is not None else None
        if action == "go_on":
            return state in {"asked", "stopped", "failed", "done"}
        if action == "cancel":
            return state in {"running", "queued"}
        if action == "clear":
            return any(job.state in {"done", "failed", "stopped", "asked"} for job in self.app.installs.jobs)
        return True


def _cell(value: str) -> Text:
    return Text(value, no_wrap=True, overflow="ellipsis")
