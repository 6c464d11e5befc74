"""Commands that run beside the UI, each on a thread of its own.

They are daemon threads and not the toolkit's workers, because the toolkit waits at its end for every thread that
still runs, and a person who quits does not.
"""

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Generic, Literal, TypeVar

from deploy.commands.context import Context
from deploy.errors import Interrupted, LandfastError, of_the_machine
from deploy.results import Problem, Result
from deploy.sources.base import Progress, Report
from tui.steps import ORDER, Steps

if TYPE_CHECKING:
    from deploy.commands.install import InstallData, InstallRequest

T = TypeVar("T")

REPORT_THIS: Final = "This is an error inside Landfast: please report it with what you did."


def problem_of(error: Exception) -> Problem:
    """What went wrong as a sentence and a cure, for faults of our own too."""
    told = error if isinstance(error, LandfastError) else of_the_machine(error)
    if told is not None:
        return Problem(told.code, told.message, told.hint)
    return Problem("internal", f"{type(error).__name__}: {error}", REPORT_THIS)


class Job(Generic[T]):
    """One command under way. Its end is told once, from its thread, unless it was cancelled."""

    def __init__(
        self,
        context: Context,
        work: Callable[[Context], T],
        *,
        on_end: Callable[[T | Problem], None],
        on_progress: Report | None = None,
    ) -> None:
        """Prepare the command; `start` begins it."""
        self._context = dataclasses.replace(context, report=self._report)
        self._work = work
        self._on_end = on_end
        self._on_progress = on_progress
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="landfast-job")

    @property
    def cancelled(self) -> bool:
        """Whether it was asked to stop."""
        return self._cancelled.is_set()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def cancel(self) -> None:
        """Stop at the next report; commands report at least four times a second while they wait for others."""
        self._cancelled.set()

    def join(self, limit_s: float) -> None:
        """Wait for the thread, but not longer than this."""
        if self._thread.is_alive():
            self._thread.join(limit_s)

    def _report(self, progress: Progress) -> None:
        if self.cancelled:
            raise Interrupted("Stopped.")
        if self._on_progress is not None:
            self._on_progress(progress)

    def _run(self) -> None:
        outcome: T | Problem
        try:
            outcome = self._work(self._context)
        except Exception as error:  # noqa: BLE001 - a fault must reach the screen as a sentence, never stderr
            outcome = problem_of(error)
        self._on_end(outcome)


InstallState = Literal["asked", "queued", "running", "stopping", "stopped", "failed", "done"]


class InstallJob:
    """One install, with its steps for whoever looks. It belongs to the app: screens come and go."""

    def __init__(
        self, context: Context, request: "InstallRequest", title: str, question: str, *, then_chat: bool
    ) -> None:
        """Prepare the install of `request`; `title` is how people call the model."""
        self.title = title
        self.request = request
        self.question = question
        """What to say before it is started; empty where nothing needs to be asked."""
        self.then_chat = then_chat
        self.queued = False
        self.kept_bytes = 0
        """What an earlier run of Landfast left of it."""
        self.steps = Steps(ORDER if then_chat else ORDER[:-1])
        self.installed: InstallData | None = None
        self.problem: Problem | None = None
        self.started = False
        self.over = False
        self._on_end: Callable[[InstallJob], None] = lambda _: None
        self._job = Job(
            context,
            lambda own: _install(own, request),
            on_end=self._end,
            on_progress=lambda progress: self.steps.take(progress, time.monotonic()),
        )

    @property
    def stopped(self) -> bool:
        """Whether the person at the keyboard stopped it."""
        return self._job.cancelled

    @property
    def state(self) -> InstallState:
        """How it stands."""
        if not self.started:
            return "queued" if self.queued else "asked"
        if not self.over:
            return "stopping" if self.stopped else "running"
        if self.problem is None:
            return "done"
        return "stopped" if self.stopped else "failed"

    def start(self, on_end: "Callable[[InstallJob], None]") -> None:
        """Begin; `on_end` is called from the job's thread."""
        self._on_end = on_end
        self.started = True
        self._job.start()

    def cancel(self) -> None:
        """Stop. What has come stays staged, so that the next try goes on from there."""
        self._job.cancel()

    def join(self, limit_s: float) -> None:
        """Wait a little for the end, so that no child process is left behind."""
        self._job.join(limit_s)

    def _end(self, outcome: "Result[InstallData] | Problem") -> None:
        if isinstance(outcome, Problem):
            self.problem = outcome
            self.steps.end("stopped" if self.stopped else "failed")
        else:
            self.installed = outcome.data
            self.steps.end("done", "verify")
        self.over = True
        self._on_end(self)


def _install(context: Context, request: "InstallRequest") -> "Result[InstallData]":
    """Loaded in the job's thread: before the first frame it would cost a tenth of it."""
    from deploy.commands.install import install

    return install(context, request)
