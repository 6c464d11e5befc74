"""An install as steps, over the place from which it was begun. The job goes on when this is closed."""

from typing import TYPE_CHECKING, ClassVar, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from deploy.fit.fit import gigabytes
from tui import text
from tui.jobs import InstallJob
from tui.keymap import bind
from tui.steps import Step

if TYPE_CHECKING:
    from tui.app import LandfastApp

GLYPHS: Final = {"waiting": "·", "running": "▸", "done": "✓", "failed": "✗", "stopped": "■"}
NAMES: Final = {"reach": "find", "download": "download", "verify": "verify", "load": "open chat"}
REFRESH_S: Final = 0.25
BAR_WIDTH: Final = 24


class InstallScreen(ModalScreen[None]):
    """The install of the app: asked for, running, done, stopped or failed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("install.start", "go_on"),
        bind("install.cancel", "cancel"),
        bind("install.leave", "leave"),
    ]
    app: "LandfastApp"

    def __init__(self, job: InstallJob) -> None:
        """Show this job."""
        super().__init__()
        self.job = job

    def compose(self) -> ComposeResult:
        """Lay out the box."""
        with Vertical(id="install-box") as box:
            box.border_title = f"Install {self.job.title}"
            yield Static(id="install-text")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Look at the job four times a second."""
        self.set_interval(REFRESH_S, self.show)
        self.show()

    def show(self) -> None:
        """Show how far the job has come."""
        self.query_one("#install-text", Static).update(Group(*_parts(self.job)))
        self.refresh_bindings()

    def action_go_on(self) -> None:
        """Start, try again, or open the chat."""
        if not self.job.started:
            self.app.start_install()
        elif self.job.problem is not None:
            self.app.install_again()
        elif self.job.installed is not None:
            self.dismiss()
            self.app.open_chat(self.job.installed.installed.id)

    def action_cancel(self) -> None:
        """Stop the job."""
        self.job.cancel()

    def action_leave(self) -> None:
        """Go back; a job that was not started is dropped."""
        self.dismiss()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - the toolkit's signature
        """Offer only what the job's state allows."""
        running = self.job.started and not self.job.over
        if action == "cancel":
            return running and not self.job.stopped
        if action == "go_on":
            return not running
        return True


def _parts(job: InstallJob) -> list[RenderableType]:
    if not job.started:
        return [
            Text(job.question),
            Text(),
            Text("Press Enter to install it, Esc to leave it.", "bold"),
        ]
    parts: list[RenderableType] = [_table(job.steps.rows)]
    if job.steps.note and not job.over:
        parts += [Text(), Text(job.steps.note, "dim")]
    return [*parts, Text(), _closing(job)]


def _closing(job: InstallJob) -> Text:
    if job.problem is not None and job.stopped:
        return Text("■ Stopped. What has come is kept: enter goes on from there.")
    if job.problem is not None:
        hint = f"\n  {job.problem.hint}" if job.problem.hint else ""
        return Text.assemble(("✗ ", "bold"), job.problem.message, (hint, "dim"), "\n\n  Press Enter to try again.")
    if job.over:
        return Text("✓ Installed, and every byte is verified. Press Enter to chat.")
    if job.stopped:
        return Text("Stopping …", "dim")
    after = "The chat opens when it is done." if job.then_chat else "It goes on when you leave this window."
    return Text(after, "dim")


def _table(rows: tuple[Step, ...]) -> Table:
    table = Table.grid(padding=(0, 1))
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for row in rows:
        style = "bold" if row.state in {"running", "failed"} else ("dim" if row.state == "waiting" else "")
        table.add_row(Text(GLYPHS[row.state], style), Text(f"{NAMES[row.name]:<10}", style), _detail(row))
    return table


def _detail(row: Step) -> Text:
    if row.state == "waiting":
        return Text()
    if row.state == "done" or not row.done_bytes:
        return Text(row.text or ("…" if row.state == "running" else ""), "dim", overflow="ellipsis")
    total = row.total_bytes
    share = f"{text.bar(row.done_bytes / total, BAR_WIDTH)} " if total else ""
    of = f" of {gigabytes(total)}" if total else ""
    detail = Text(f"{share}{gigabytes(row.done_bytes)}{of}")
    if row.state == "running" and row.rate_bytes_s:
        left = f" · {text.duration(row.left_s)} left" if row.left_s is not None else ""
        detail.append(f"\n{gigabytes(round(row.rate_bytes_s))}/s{left}", "dim")
    return detail
