"""One install as steps, over the place from which it was begun. The job goes on when this is closed."""

from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.jobs import InstallJob
from tui.keymap import bind, over_a_place
from tui.widgets.hints import Hints
from tui.widgets.jobview import explain

if TYPE_CHECKING:
    from tui.app import LandfastApp

REFRESH_S: Final = 0.25


class InstallScreen(ModalScreen[None]):
    """An install of the app: asked for, waiting, running, done, stopped or failed."""

    HELP: ClassVar[str] = (
        "One install, step by step. A file enters the store only after its length, its SHA-256 and its structure were "
        "checked, and then in one rename. Stopped or interrupted at any point, the store is as before, and what has "
        "come is kept for the next try. Leaving this window stops nothing: F4 shows all installs."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("install.start", "go_on"),
        bind("install.cancel", "cancel"),
        bind("install.leave", "leave"),
        *over_a_place(),
    ]
    app: "LandfastApp"

    def __init__(self, job: InstallJob) -> None:
        """Show this job."""
        super().__init__()
        self.job = job

    @property
    def twin(self) -> str:
        """The same on the command line."""
        return f"landfast install {self.job.request.model}"

    def compose(self) -> ComposeResult:
        """Lay out the box."""
        with VerticalScroll(id="install-box", can_focus=False) as box:
            box.border_title = f"Install {self.job.title}"
            yield Static(id="install-text")
        yield Hints()

    def on_mount(self) -> None:
        """Look at the job four times a second."""
        self.set_interval(REFRESH_S, self.show)
        self.show()

    def show(self) -> None:
        """Show how far the job has come."""
        self.query_one("#install-text", Static).update(explain(self.job))
        self.refresh_bindings()

    def action_go_on(self) -> None:
        """Start, try again, or open the chat."""
        if self.job.state == "done":
            self.dismiss()
        self.job = self.app.go_on(self.job)

    def action_cancel(self) -> None:
        """Stop the job."""
        self.app.installs.cancel(self.job)

    def action_leave(self) -> None:
        """Go back; a job that was not started is dropped."""
        self.app.installs.drop(self.job)
        self.dismiss()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - the toolkit's signature
        """Offer only what the job's state allows."""
        if action == "cancel":
            return self.job.state in {"running", "queued"}
        if action == "go_on":
            return self.job.state in {"asked", "stopped", "failed", "done"}
        return True
