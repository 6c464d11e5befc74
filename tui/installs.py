"""The installs of the app: they outlive the screens that show them, and run one after another."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from deploy.commands.context import Context
from tui.jobs import InstallJob

if TYPE_CHECKING:
    from deploy.commands.install import InstallRequest


class Installs:
    """All installs since the start, oldest first. All methods are for the UI's thread."""

    def __init__(self, context: Context, on_end: Callable[[InstallJob], None]) -> None:
        """Hold none; `on_end` is called from the thread of the job that ended."""
        self._context = context
        self._on_end = on_end
        self.jobs: tuple[InstallJob, ...] = ()

    @property
    def running_count(self) -> int:
        """How many are under way or wait for their turn."""
        return sum(1 for job in self.jobs if job.state in {"running", "stopping", "queued"})

    def of(self, model: str) -> InstallJob | None:
        """The install of a model that is asked for, waits, runs or can go on."""
        return next((job for job in reversed(self.jobs) if job.request.model == model and job.state != "done"), None)

    def prepare(self, request: "InstallRequest", title: str, question: str, *, then_chat: bool) -> InstallJob:
        """Add an install that is not started yet."""
        job = InstallJob(self._context, request, title, question, then_chat=then_chat)
        self.jobs = (*self.jobs, job)
        return job

    def start(self, job: InstallJob) -> None:
        """Begin, or wait until those before are over."""
        job.queued = True
        self.advance()

    def again(self, job: InstallJob) -> InstallJob:
        """Try again, from where the last try ended. The new job stands in the place of the old one."""
        fresh = InstallJob(self._context, job.request, job.title, "", then_chat=job.then_chat)
        self.jobs = tuple(fresh if other is job else other for other in self.jobs)
        self.start(fresh)
        return fresh

    def cancel(self, job: InstallJob) -> None:
        """Stop an install, or take it out of the line."""
        if job.state == "queued":
            job.queued = False
        else:
            job.cancel()

    def drop(self, job: InstallJob) -> None:
        """Forget an install that was not started."""
        if job.state == "asked":
            self.jobs = tuple(other for other in self.jobs if other is not job)

    def clear(self) -> None:
        """Forget what is over."""
        self.jobs = tuple(job for job in self.jobs if job.state in {"running", "stopping", "queued"})

    def advance(self) -> None:
        """Begin the next one when none runs."""
        if any(job.state in {"running", "stopping"} for job in self.jobs):
            return
        waiting = next((job for job in self.jobs if job.state == "queued"), None)
        if waiting is not None:
            waiting.start(self._on_end)

    def remember(self, interrupted: Iterable[tuple[str, str, int]]) -> None:
        """Add what earlier runs of Landfast left half done: model, title and how much of it has come."""
        from deploy.commands.install import InstallRequest

        known = {job.request.model for job in self.jobs}
        for model, title, kept_bytes in interrupted:
            if model not in known:
                job = self.prepare(InstallRequest(model=model), title, "", then_chat=False)
                job.kept_bytes = kept_bytes

    def close(self, limit_s: float) -> None:
        """Stop everything, and wait a little, so that no child process is left behind."""
        for job in self.jobs:
            job.queued = False
            job.cancel()
        for job in self.jobs:
            job.join(limit_s)
