"""The chat: a conversation with a model on this machine, kept in memory and nowhere else."""

import time
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Footer, Static

from deploy.commands.session import Opened
from deploy.engine.protocol import Done, Text
from deploy.results import Problem
from deploy.sources.base import Progress
from tui.driver import ChatDriver, Happening, Trouble
from tui.keymap import bind, places
from tui.text import harmless
from tui.widgets.banner import Banner
from tui.widgets.prompt import Prompt
from tui.widgets.status import StatusLine, Vitals
from tui.widgets.topbar import TopBar
from tui.widgets.transcript import Answer, Message, Question, Transcript

if TYPE_CHECKING:
    from tui.app import LandfastApp

DRAIN_S: Final = 1 / 12
STATUS_S: Final = 0.5
NOT_SAVED: Final = "not saved"
GREETING: Final = "The model runs on this machine. The conversation is kept in memory and is not saved."
NO_MODEL_HINT: Final = "Press F2 to choose one and install it."


class ChatScreen(Screen[None]):
    """Transcript, prompt and status."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("chat.stop", "stop"),
        bind("chat.new", "new"),
        bind("chat.retry", "retry"),
        *places(),
    ]
    app: "LandfastApp"

    def __init__(self) -> None:
        """Begin with nothing said."""
        super().__init__()
        self.vitals = Vitals()
        self._timer: Timer | None = None
        self._answer: Answer | None = None
        self._unanswered: str | None = None
        self._waiting = False
        self._renewing = False
        self._status_s = 0.0

    def compose(self) -> ComposeResult:
        """Lay out the place."""
        yield TopBar("chat")
        with Transcript(id="transcript"):
            yield Static(GREETING, classes="remark", markup=False)
        yield Banner()
        yield Prompt()
        yield StatusLine(id="status")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Prepare to follow the driver; the timer runs only while something happens."""
        self._timer = self.set_interval(DRAIN_S, self._follow, pause=True)
        self._show_status()
        self.query_one(Prompt).focus()

    @property
    def driver(self) -> ChatDriver:
        """The app's one conversation."""
        return self.app.driver

    async def enter(self, name: str | None) -> None:
        """Come here to chat with a model, or with the one that was here before."""
        driver = self.driver
        there = {driver.name, driver.opened.plan.id if driver.opened else None}
        if driver.state in {"loading", "ready", "busy"} and (name is None or name in there):
            return
        if driver.state == "broken" and name is None:
            return
        await self._open(name or driver.name)

    async def _open(self, name: str | None) -> None:
        """Load a model. An answer under way ends here; the turns stay."""
        if self._answer is not None:
            await self._answer.end("■ broken off, and not part of the conversation")
            self._answer = None
        self.query_one(Banner).clear()
        self.vitals = Vitals(phase="loading", detail="looking at the machine", used_tokens=self.vitals.used_tokens)
        self.driver.open(name)
        self.query_one(TopBar).tell(f"{name or 'best installed model'} · {NOT_SAVED}")
        self._begin_following()

    def _begin_following(self) -> None:
        self._show_status()
        if self._timer is not None:
            self._timer.resume()

    async def _follow(self) -> None:
        """Take what happened since the last time: text in one go, everything else one by one."""
        pieces: list[str] = []
        for at_s, what in self.driver.drain():
            if isinstance(what, Text):
                pieces.append(what.text)
                self.vitals.follow(what, at_s)
                continue
            await self._write(pieces)
            await self._handle(at_s, what)
        await self._write(pieces)
        if time.monotonic() - self._status_s >= STATUS_S:
            self._show_status()
        if self.driver.state not in {"loading", "busy"} and self._timer is not None:
            self._timer.pause()
            self._show_status()

    async def _write(self, pieces: list[str]) -> None:
        if pieces and self._answer is not None:
            await self._answer.add("".join(pieces))
        pieces.clear()

    async def _handle(self, at_s: float, what: Happening) -> None:
        match what:
            case Progress():
                self.vitals.loading(what)
            case Opened():
                await self._loaded(what)
            case Trouble():
                await self._troubled(what)
            case Done():
                self.vitals.follow(what, at_s)
                await self._answered()
            case _:
                self.vitals.follow(what, at_s)

    async def _loaded(self, opened: Opened) -> None:
        self.vitals.loaded(opened.session.loaded)
        self.query_one(TopBar).tell(f"{harmless(opened.plan.name)} · {NOT_SAVED}")
        for sentence in opened.warnings:
            await self._remark(f"! {sentence}")
        if not opened.session.loaded.has_chat_template:
            await self._remark(f"! {opened.plan.name} was not made to chat: it continues what it is given.")
        if self._waiting and self._unanswered is not None:
            await self._ask(self._unanswered)
        self._waiting = False

    async def _answered(self) -> None:
        if self._answer is not None:
            await self._answer.end(self.vitals.closing())
        self._answer = self._unanswered = None
        if self._renewing:
            await self._renew()

    async def _troubled(self, trouble: Trouble) -> None:
        self.vitals.broke()
        if self._answer is not None:
            await self._answer.end("✗ broken off, and not part of the conversation")
        problem, step = trouble.problem, "Press Enter to load the model again"
        if trouble.doing == "load" and problem.code == "not-found":
            problem = Problem(problem.code, problem.message, NO_MODEL_HINT)
        if self._unanswered is not None:
            step += " and ask again"
        self.query_one(Banner).tell(problem, f"{step}.")
        self._waiting = False

    @on(Prompt.Sent)
    async def _sent(self, event: Prompt.Sent) -> None:
        """Ask now, or as soon as the model is there."""
        if self.driver.state == "busy" or self._waiting:
            self.notify("Esc stops the answer; then send the next message.", title="One at a time")
            return
        self.query_one(Prompt).clear()
        await self.query_one(Transcript).add(Question(event.text))
        self._unanswered = event.text
        if self.driver.state == "ready":
            await self._ask(event.text)
            return
        self._waiting = True
        if self.driver.state != "loading":
            await self._open(self.driver.name)

    async def _ask(self, text: str) -> None:
        opened = self.driver.opened
        self._answer = Answer(harmless(opened.plan.name) if opened else "Model")
        await self.query_one(Transcript).add(self._answer)
        self.vitals.asked(time.monotonic())
        self.driver.say(text)
        self._begin_following()

    def action_stop(self) -> None:
        """Stop the answer."""
        self.driver.stop()

    async def action_new(self) -> None:
        """Begin a new conversation, after the answer under way was stopped."""
        if self.driver.state == "busy":
            self._renewing = True
            self.driver.stop()
        else:
            await self._renew()

    async def _renew(self) -> None:
        self._renewing = self._waiting = False
        self._answer = self._unanswered = None
        if self.driver.conversation is not None:
            self.driver.conversation.forget()
        self.vitals.used_tokens, self.vitals.done, self.vitals.first_s = 0, None, None
        transcript = self.query_one(Transcript)
        await transcript.empty()
        await self._remark(GREETING)
        self.action_focus_prompt()
        self._show_status()

    async def action_retry(self) -> None:
        """Load the model again, and ask again what had no answer."""
        if self.driver.state != "broken":
            return
        if self._answer is not None:
            await self._answer.remove()
            self._answer = None
        self._waiting = self._unanswered is not None
        self.action_focus_prompt()
        await self._open(self.driver.name)

    def action_focus_prompt(self) -> None:
        """Go back to writing."""
        self.query_one(Prompt).focus()

    def action_message(self, step: int) -> None:
        """Go to the newest message, or one up or down; below the last one is the prompt."""
        messages = self.query_one(Transcript).messages()
        if not messages:
            return
        at = messages.index(self.focused) if isinstance(self.focused, Message) else len(messages)
        to = len(messages) - 1 if step == 0 else at + step
        if to >= len(messages):
            self.action_focus_prompt()
        else:
            messages[max(0, to)].focus()

    def action_copy_message(self) -> None:
        """Copy the message that has the focus, as it was written."""
        if isinstance(self.focused, Message) and self.focused.source:
            self.app.copy_to_clipboard(self.focused.source)
            self.notify("Copied, if this terminal allows it.")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - the toolkit's signature
        """Offer to stop what runs, and to try again what broke."""
        if action == "stop":
            return self.driver.state == "busy"
        if action == "retry":
            return self.driver.state == "broken"
        return True

    async def _remark(self, sentence: str) -> None:
        await self.query_one(Transcript).add(Static(sentence, classes="remark", markup=False))

    def _show_status(self) -> None:
        self._status_s = time.monotonic()
        self.query_one(StatusLine).show(self.vitals, self._status_s)
        self.refresh_bindings()
