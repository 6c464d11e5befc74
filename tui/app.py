"""The app: its places, the jobs that outlive them, and the one conversation."""

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import on
from textual.app import App, SystemCommand
from textual.binding import BindingType
from textual.screen import Screen

from deploy.commands.context import Context
from deploy.commands.install import InstallRequest
from deploy.commands.models import list_models
from deploy.commands.profile import profile
from deploy.commands.select import select
from deploy.errors import LandfastError
from deploy.fit.fit import Workload, gigabytes
from deploy.results import Problem
from deploy.sources.base import Progress
from tui.driver import ChatDriver
from tui.jobs import InstallJob, Job
from tui.keymap import KEYMAP, bind
from tui.messages import InstallOver, Look, LookDone, MachineSeen
from tui.rows import Row
from tui.screens.models import ModelsScreen

if TYPE_CHECKING:
    from tui.screens.install import InstallScreen

ASK_ABOVE_BYTES: Final = 1_000_000_000
"""A larger install is asked for once more."""
CHILDREN_LIMIT_S: Final = 0.6
"""How long quitting waits for jobs to end their child processes."""


def _models_screen() -> Screen[None]:
    return ModelsScreen()


def _chat_screen() -> Screen[None]:
    from tui.screens.chat import ChatScreen

    return ChatScreen()


class LandfastApp(App[int]):
    """Landfast in the terminal. It shows what the commands return and computes nothing itself."""

    TITLE = "Landfast"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {"models": _models_screen, "chat": _chat_screen}
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("app.models", "place('models')"),
        bind("app.chat", "place('chat')"),
        bind("app.help", "help"),
        bind("app.quit", "quit", priority=True),
    ]

    def __init__(self, context: Context, workload: Workload | None = None) -> None:
        """Take the world to work with; nothing of it is touched before the first frame."""
        super().__init__()
        self.context = context
        self.workload = workload or Workload()
        self.driver = ChatDriver(context, self.workload)
        self.look: Look | None = None
        self.install_job: InstallJob | None = None
        self._look_job: Job[Look] | None = None

    def on_mount(self) -> None:
        """Show the first place, and look at the machine when it is painted."""
        self.switch_mode("models")
        self.call_after_refresh(self.look_again)

    def on_unmount(self) -> None:
        """Leave nothing running: no engine, no download."""
        jobs = [job for job in (self.install_job, self._look_job) if job is not None]
        for job in jobs:
            job.cancel()
        self.driver.close()
        for job in jobs:
            if isinstance(job, InstallJob):
                job.join(CHILDREN_LIMIT_S)

    def look_again(self) -> None:
        """Look at machine, sources and store beside the UI."""
        if self._look_job is not None:
            self._look_job.cancel()

        def end(outcome: Look | Problem) -> None:
            if not job.cancelled:
                self.post_message(LookDone(outcome))

        job = Job(self.context, self._take_look, on_end=end)
        self._look_job = job
        job.start()

    def _take_look(self, context: Context) -> Look:
        """In the job's thread: first the machine, since it is there at once, then the rest."""
        seen = profile(context).data
        if seen is not None:
            self.post_message(MachineSeen(seen))
        found = select(context, self.workload)
        if found.data is None:
            raise LandfastError(found.errors[0].message, hint=found.errors[0].hint)
        listed = list_models(context)
        return Look(
            data=found.data,
            messages=(*found.messages, *listed.messages),
            problem=found.errors[0] if found.errors else None,
            installed=listed.data.installed if listed.data else (),
        )

    @on(MachineSeen)
    def _machine_seen(self, event: MachineSeen) -> None:
        self._on_models(lambda screen: screen.show_machine(event.data))

    @on(LookDone)
    def _look_done(self, event: LookDone) -> None:
        outcome = event.outcome
        if isinstance(outcome, Problem):
            self._on_models(lambda screen: screen.show_problem(outcome))
        else:
            self.look = outcome
            self._on_models(lambda screen: screen.show_look(outcome))

    def _on_models(self, change: Callable[[ModelsScreen], None]) -> None:
        for screen in self._screen_stacks.get("models", []):
            if isinstance(screen, ModelsScreen):
                change(screen)

    def loaded_words(self) -> str:
        """What the top line says of the engine."""
        opened = self.driver.opened
        if opened is None:
            return "loading a model" if self.driver.state == "loading" else ""
        return f"● {opened.plan.name} is loaded"

    async def action_place(self, place: str) -> None:
        """Go to a place."""
        if place == "chat":
            await self._enter_chat(None)
        else:
            await self.switch_mode(place)

    @property
    def installing(self) -> bool:
        """Whether an install is under way."""
        job = self.install_job
        return job is not None and job.started and not job.over

    def install(self, row: Row, *, then_chat: bool) -> None:
        """Install a model and show how it goes; one at a time."""
        if not self.installing:
            request = InstallRequest(model=row.id, workload=self.workload)
            title, question = f"{row.name} {row.quant}", _question(row)
            self.install_job = InstallJob(self.context, request, title, question, then_chat=then_chat)
            if not question:
                self.start_install()
        self.show_install()

    def start_install(self) -> None:
        """Begin the install that was prepared."""
        if self.install_job is not None and not self.install_job.started:
            self.install_job.start(self._tell_install_over)

    def _tell_install_over(self) -> None:
        """In the job's thread."""
        self.post_message(InstallOver())

    def install_again(self) -> None:
        """Try the install again, from where the last try ended."""
        old = self.install_job
        if old is None or self.installing:
            return
        self.install_job = InstallJob(self.context, old.request, old.title, "", then_chat=old.then_chat)
        self.start_install()
        screen = self._install_screen()
        if screen is not None:
            screen.job = self.install_job

    def show_install(self) -> None:
        """Show the install that runs."""
        from tui.screens.install import InstallScreen

        if self.install_job is not None and self._install_screen() is None:
            self.push_screen(InstallScreen(self.install_job))

    def _install_screen(self) -> "InstallScreen | None":
        from tui.screens.install import InstallScreen

        return next((s for s in self.screen_stack if isinstance(s, InstallScreen)), None)

    @on(InstallOver)
    async def _install_over(self) -> None:
        """Go on to the chat where that was wanted and the person still waits for it; else tell."""
        job, screen = self.install_job, self._install_screen()
        self.look_again()
        if job is None:
            return
        if screen is None:
            self._tell_install(job)
        elif job.installed is not None and job.then_chat:
            screen.dismiss()
            await self._enter_chat(job.installed.installed.id)
        else:
            screen.show()

    def _tell_install(self, job: InstallJob) -> None:
        if job.problem is None:
            self.notify(f"{job.title} is installed.", markup=False)
        elif not job.stopped:
            self.notify(job.problem.message, title="Not installed", severity="error", markup=False)

    def open_chat(self, name: str) -> None:
        """Chat with an installed model."""
        self.call_later(self._enter_chat, name)

    async def _enter_chat(self, name: str | None) -> None:
        from tui.screens.chat import ChatScreen

        await self.switch_mode("chat")
        screen = self.screen_stack[0]
        if isinstance(screen, ChatScreen):
            await screen.enter(name)

    def action_help(self) -> None:
        """Show the keys of the place."""
        from tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Offer every key of the place by name, and the theme."""
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.id in KEYMAP and active.enabled:
                entry = KEYMAP[binding.id]
                yield SystemCommand(entry.label, entry.help, self._runner(binding.action, active.node))
        yield SystemCommand("Theme", "Change the colours", self.action_change_theme)

    def _runner(self, action: str, node: object) -> Callable[[], object]:
        return lambda: self.call_later(self.run_action, action, node)


def _question(row: Row) -> str:
    """What to ask before an install: of a large one, and of a model that does not suit."""
    size = f"{gigabytes(row.size_bytes)} will be brought here and stored."
    if row.remark:
        return f"{row.remark} {size}"
    return size if row.size_bytes > ASK_ABOVE_BYTES else ""


def main() -> int:
    """Open the UI on this machine. The exit code is that of a command."""
    from deploy.commands.context import real_context

    app = LandfastApp(real_context(_unheard))
    app.run()
    return app.return_code or 0


def _unheard(_: Progress) -> None:
    """Every job of the UI listens for itself."""


if __name__ == "__main__":
    sys.exit(main())
