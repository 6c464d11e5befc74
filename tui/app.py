"""The app: its places, the jobs that outlive them, and the one conversation."""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, runtime_checkable

from textual import on
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.screen import Screen

from deploy.commands.context import Context
from deploy.errors import Interrupted, UsageError
from deploy.fit.fit import Workload
from deploy.quantities import gigabytes
from deploy.results import Problem
from deploy.sources.base import Progress
from tui.installs import Installs
from tui.jobs import InstallJob, Job
from tui.keymap import KEYMAP, PLACES, bind
from tui.look import take_look
from tui.messages import InstallOver, Look, LookDone, MachineSeen
from tui.nocolor import NO_COLOUR, forget_empty_wish
from tui.rows import Row
from tui.screens.models import ModelsScreen
from tui.settings import read_settings
from tui.terminal import is_gone, terminal

if TYPE_CHECKING:
    from tui.driver import ChatDriver
    from tui.screens.install import InstallScreen

ASK_ABOVE_BYTES: Final = 1_000_000_000
"""A larger install is asked for once more."""
CHILDREN_LIMIT_S: Final = 0.6
"""How long quitting waits for jobs to end their child processes."""
TERMINAL_LOOK_S: Final = 1.0
BLIND: Final = frozenset({"", "dumb", "unknown"})
"""Terminals that cannot place a character."""


def _models_screen() -> Screen[None]:
    return ModelsScreen()


def _chat_screen() -> Screen[None]:
    from tui.screens.chat import ChatScreen

    return ChatScreen()


def _jobs_screen() -> Screen[None]:
    from tui.screens.jobs import JobsScreen

    return JobsScreen()


def _policy_screen() -> Screen[None]:
    from tui.screens.policy import PolicyScreen

    return PolicyScreen()


@runtime_checkable
class OffersMore(Protocol):
    """A place with commands for something that has not the focus."""

    def more_commands(self) -> Iterable[tuple[str, Callable[[], object]]]:
        """Ids of the keymap, and what each does."""


class LandfastApp(App[int]):
    """Landfast in the terminal. It shows what the commands return and computes nothing itself."""

    TITLE = "Landfast"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    DEFAULT_MODE = "models"
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "models": _models_screen,
        "chat": _chat_screen,
        "jobs": _jobs_screen,
        "policy": _policy_screen,
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        *(bind(f"app.{place}", f"place('{place}')", priority=True) for place in PLACES),  # text fields want F6
        bind("app.help", "help"),
        bind("app.quit", "quit", priority=True),
    ]

    def __init__(self, context: Context, workload: Workload | None = None) -> None:
        """Take the world to work with; nothing of it is touched before the first frame."""
        forget_empty_wish()
        super().__init__()
        self.context = context
        self.workload = workload or Workload()
        self.machine: str | None = None
        """The machine of the library or of a file that is simulated; None for this one."""
        self.look: Look | None = None
        self.installs = Installs(context, self._tell_install_over)
        self._conversation: ChatDriver | None = None
        self._look_job: Job[Look] | None = None
        self._settings = read_settings(context.paths.config)

    @property
    def driver(self) -> "ChatDriver":
        """The one conversation; made when it is first asked for."""
        if self._conversation is None:
            from tui.driver import ChatDriver

            self._conversation = ChatDriver(self.context, self.workload)
        return self._conversation

    def on_mount(self) -> None:
        """Take over what the person has set, and look at the machine when the first frame is painted."""
        if self._settings.keys:
            self.set_keymap(dict(self._settings.keys))
        if self._settings.theme in self.available_themes:
            self.theme = self._settings.theme
        for remark in self._settings.remarks:
            self.notify(remark, title="Settings", severity="warning", markup=False)
        if (descriptor := terminal()) is not None and not self.is_headless:
            self.set_interval(TERMINAL_LOOK_S, lambda: self._leave_with_terminal(descriptor))
        self.call_after_refresh(self.look_again)

    def _leave_with_terminal(self, descriptor: int) -> None:
        if is_gone(descriptor):
            self.exit(return_code=Interrupted.exit_code)

    def on_unmount(self) -> None:
        """Leave nothing running: no engine, no download."""
        if self._look_job is not None:
            self._look_job.cancel()
        if self._conversation is not None:
            self._conversation.close()
        self.installs.close(CHILDREN_LIMIT_S)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """What changes all that is painted: with NO_COLOR, no colour is left."""
        return (NO_COLOUR,) if self.no_color else super().get_line_filters()

    def keys_of(self, identifier: str) -> str:
        """The keys that mean this now."""
        return self._settings.keys.get(identifier, KEYMAP[identifier].keys)

    def get_key_display(self, binding: Binding) -> str:
        """Keys as they are printed on keyboards."""
        shown = super().get_key_display(binding)
        return {"⏎": "enter"}.get(
            shown, shown.upper() if binding.key.startswith("f") and shown[1:].isdigit() else shown
        )

    def look_again(self) -> None:
        """Look at machine, sources and store beside the UI."""
        if self._look_job is not None:
            self._look_job.cancel()
        machine, workload = self.machine, self.workload

        def end(outcome: Look | Problem) -> None:
            if not job.cancelled:
                self.post_message(LookDone(outcome))

        def work(context: Context) -> Look:
            return take_look(context, machine, workload, lambda seen: self.post_message(MachineSeen(seen)))

        job = Job(self.context, work, on_end=end)
        self._look_job = job
        job.start()

    @on(MachineSeen)
    def _machine_seen(self, event: MachineSeen) -> None:
        self._on_models(lambda screen: screen.show_machine(event.data))

    @on(LookDone)
    def _look_done(self, event: LookDone) -> None:
        outcome = event.outcome
        if isinstance(outcome, Problem):
            self._on_models(lambda screen: screen.show_problem(outcome))
            return
        self.look = outcome
        self.installs.remember((left.name, left.name, left.size_bytes) for left in outcome.interrupted)
        self._on_models(lambda screen: screen.show_look(outcome))

    def _on_models(self, change: Callable[[ModelsScreen], None]) -> None:
        for screen in self._screen_stacks.get("models", []):
            if isinstance(screen, ModelsScreen):
                change(screen)

    def simulate(self, machine: str | None) -> None:
        """Plan for another machine, or come back to this one."""
        self.machine = machine
        self.look_again()

    def wish(self, workload: Workload) -> None:
        """Choose for another use from now on."""
        if workload == self.workload:
            return
        self.workload = workload
        if self._conversation is not None:
            self._conversation.workload = workload
        self.look_again()

    def loaded_words(self) -> str:
        """What the top line says of the engine."""
        if self._conversation is None:
            return ""
        opened = self._conversation.opened
        if opened is None:
            return "loading a model" if self._conversation.state == "loading" else ""
        return f"● {opened.plan.name}"

    def let_go_of(self, model: str) -> None:
        """Unload a model that is to be removed, and do not come back to it."""
        driver = self._conversation
        if driver is not None and model in {driver.name, driver.opened.plan.id if driver.opened else None}:
            driver.close()
            driver.name = None

    @property
    def engine_runs(self) -> bool:
        """Whether there is an engine to unload."""
        return self._conversation is not None and self._conversation.state != "empty"

    async def action_place(self, place: str) -> None:
        """Go to a place."""
        if place == "chat":
            await self._enter_chat(None)
        else:
            await self.switch_mode(place)

    def install(self, row: Row, *, then_chat: bool) -> None:
        """Install a model and show how it goes, or show the install of it that there is."""
        job = self.installs.of(row.id)
        if job is None:
            from deploy.commands.install import InstallRequest

            request = InstallRequest(model=row.id, workload=self.workload)
            question = _question(row)
            job = self.installs.prepare(request, f"{row.name} {row.quant}", question, then_chat=then_chat)
            if not question:
                self.installs.start(job)
        self.show_install(job)

    def go_on(self, job: InstallJob) -> InstallJob:
        """Take the next step with an install: start it, try it again, or chat with what it brought."""
        if job.installed is not None:
            self.open_chat(job.installed.installed.id)
        elif job.state == "asked":
            self.installs.start(job)
        elif job.state in {"stopped", "failed"}:
            job = self.installs.again(job)
        self._show_installs()
        return job

    def _tell_install_over(self, job: InstallJob) -> None:
        """In the job's thread."""
        self.post_message(InstallOver(job))

    def show_install(self, job: InstallJob) -> None:
        """Show one install over the place where one is."""
        from tui.screens.install import InstallScreen

        if self._install_screen() is None:
            self.push_screen(InstallScreen(job))
        self._show_installs()

    def _install_screen(self) -> "InstallScreen | None":
        from tui.screens.install import InstallScreen

        return next((s for s in self.screen_stack if isinstance(s, InstallScreen)), None)

    def _show_installs(self) -> None:
        """Tell the top lines how many run."""
        from tui.widgets.topbar import TopBar

        for stack in self._screen_stacks.values():
            for bar in (bar for screen in stack for bar in screen.query(TopBar)):
                bar.show()

    @on(InstallOver)
    async def _install_over(self, event: InstallOver) -> None:
        """Go on to the chat where that was wanted and the person still waits for it; else tell."""
        job, screen = event.job, self._install_screen()
        self.installs.advance()
        self._show_installs()
        self.look_again()
        if screen is None or screen.job is not job:
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

    def action_help_quit(self) -> None:
        """Ctrl+C where nothing runs that it could stop."""
        quits = self.keys_of("app.quit").split(",")[0]
        self.notify(f"{quits} quits Landfast.", title="Ctrl+C stops an answer", markup=False)

    def action_help(self) -> None:
        """Explain the place and what has the focus."""
        from tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Offer every key of the place by name, and the theme."""
        found: dict[str, tuple[Binding, object]] = {}
        for active in screen.active_bindings.values():
            if active.binding.id in KEYMAP and active.enabled:
                found.setdefault(active.binding.id, (active.binding, active.node))
        for identifier, (binding, node) in found.items():
            entry = KEYMAP[identifier]
            yield SystemCommand(entry.label, entry.help, self._runner(binding.action, node))
        if isinstance(screen, OffersMore):
            for identifier, run in screen.more_commands():
                if identifier not in found:
                    yield SystemCommand(KEYMAP[identifier].label, KEYMAP[identifier].help, run)
        yield SystemCommand("Theme", "Change the colours", self.action_change_theme)

    def _runner(self, action: str, node: object) -> Callable[[], object]:
        return lambda: self.call_later(self.run_action, action, node)


def _question(row: Row) -> str:
    """What to ask before an install: of a large one, and of a model that does not suit."""
    size = f"{gigabytes(row.size_bytes)} will be installed here."
    if row.remark:
        return f"{row.remark} {size}"
    return size if row.size_bytes > ASK_ABOVE_BYTES else ""


def main() -> int:
    """Open the UI on this machine. The exit code is that of a command.

    Raises UsageError in a terminal that cannot show it.
    """
    if os.environ.get("TERM", "") in BLIND and sys.platform != "win32":
        raise UsageError(
            "This terminal cannot show the interface: by TERM it cannot place text.",
            hint="The same in plain lines: `landfast select`, `landfast install`, `landfast chat`.",
        )
    from deploy.commands.context import real_context

    app = LandfastApp(real_context(_unheard))
    app.run()
    return app.return_code or 0


def _unheard(_: Progress) -> None:
    """Every job of the UI listens for itself."""


if __name__ == "__main__":
    sys.exit(main())
