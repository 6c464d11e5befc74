"""The chat: a conversation with a model on this machine, in memory unless the person has it saved."""

import time
from pathlib import Path
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.timer import Timer
from textual.widgets import Static

from deploy.commands.chat import Overflow
from deploy.commands.session import Opened
from deploy.engine.protocol import Done, Text, Thinking
from deploy.results import Problem
from deploy.sources.base import Progress
from tui.driver import Happening, Held, TakenUp, Trouble
from tui.keymap import bind, places
from tui.screens.chat_base import FORBIDDEN_GREETING, GREETING
from tui.screens.chat_files import NOT_SAVED
from tui.screens.chat_messages import ChatMessages
from tui.screens.chat_talks import ChatTalks
from tui.talk import LiveTalk
from tui.text import harmless
from tui.widgets.banner import Banner
from tui.widgets.files import Files
from tui.widgets.findbar import FindBar
from tui.widgets.head import Head
from tui.widgets.hints import Hints
from tui.widgets.prompt import Prompt
from tui.widgets.status import StatusLine, Vitals
from tui.widgets.topbar import TopBar
from tui.widgets.transcript import Answer, Question, Transcript

DRAIN_S: Final = 1 / 8
"""Each look costs some ten milliseconds of a processor that the engine computes on; more often reads no smoother."""
SHARE: Final = 0.02
"""Of one core: what following an answer may take. All threads of the engine wait for the one that lost its core."""
REST_MOST_S: Final = 0.75
STATUS_S: Final = 0.5
SAVE_LIMIT_S: Final = 0.4
"""How long leaving waits for what is being saved."""
NEW_BELOW: Final = "↓ there is more below (Ctrl+End)"
BROKEN_OFF: Final = "broken off, and not part of the conversation"
NOT_SHOWN: Final = Overflow(0, 0, 0)
"""A message that was not sent, because the model cannot be shown its images."""


class ChatScreen(ChatTalks, ChatMessages):
    """Transcript, prompt and status."""

    HELP: ClassVar[str] = (
        "A conversation with a model in a sealed process on this machine. It is kept in memory, and saved only if you "
        "say so and the policy allows it. The line below the prompt names what the engine does, how fast, and how "
        "much of context and memory it takes. Esc stops an answer and keeps what was said."
    )
    twin = "landfast chat"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c,super+c", "screen.copy_text", show=False),  # goes before: a selection is copied, as everywhere
        bind("chat.stop", "stop"),
        bind("chat.new", "new"),
        bind("chat.attach", "attach"),
        bind("chat.find", "find"),
        bind("chat.settings", "settings(False)"),
        bind("chat.system", "settings(True)"),
        bind("chat.model", "model"),
        bind("chat.keep", "keep"),
        bind("chat.session", "session"),
        bind("chat.talks", "talks"),
        bind("chat.export", "export"),
        bind("chat.end", "end"),
        bind("chat.retry", "retry"),
        *places(),
    ]

    def __init__(self) -> None:
        """Begin with nothing said."""
        super().__init__()
        self._timer: Timer | None = None
        self._renewing = False
        self._status_s, self._phase = 0.0, ""
        self._cpu_s = self._next_s = 0.0
        self._lacks_model = False
        """The model that was to be loaded is not installed: the next step is the list of models."""

    def compose(self) -> ComposeResult:
        """Lay out the place."""
        yield TopBar("chat")
        yield Head()
        with Transcript(id="transcript"):
            yield Static(FORBIDDEN_GREETING if self.keeper.forbidden else GREETING, classes="remark", markup=False)
        yield Static(NEW_BELOW, id="below", markup=False)
        yield Banner()
        yield FindBar()
        yield Files()
        yield Prompt()
        yield StatusLine()
        yield Hints()

    def on_mount(self) -> None:
        """Prepare to follow the driver; the timer runs only while something happens."""
        self._timer = self.set_interval(DRAIN_S, self._follow, pause=True)
        self._show_status()
        self.show_head()
        self.watch(self.query_one(Transcript), "scroll_y", self._show_more_below, init=False)
        self.query_one(Prompt).focus()

    def on_unmount(self) -> None:
        """Save what was written of an answer, if the conversation is to be saved."""
        if self._answer is not None and self._open_question is not None and self.talk.kept and self._answer.text:
            self.add_exchange(self._open_question, self._answer, stopped=True)
            self.save()
        self.keeper.join(SAVE_LIMIT_S)

    async def enter(self, name: str | None) -> None:
        """Come here to chat with a model, or with the one that was here before."""
        driver = self.driver
        there = {driver.name, driver.opened.plan.id if driver.opened else None}
        if driver.state in {"loading", "ready", "busy"} and (name is None or name in there):
            return
        if driver.state == "broken" and name is None and not self._lacks_model:
            return
        self._waiting = self._answer is None and self._open_question is not None
        await self.open_model(name or driver.name)

    async def open_model(self, name: str | None, projector: Path | None = None) -> None:
        """Load a model. An answer under way ends here; the turns stay."""
        await self.begin_load()
        self.driver.open(name, projector)
        self.show_head()
        self.begin_following()

    async def look_with(self, projector: Path) -> None:
        """Load the model again, with a projector."""
        opened = self.driver.opened
        await self.open_model(self.driver.name or (opened.asked if opened is not None else None), projector)

    async def begin_load(self) -> None:
        """Make the screen ready for a load. What one model had no room for, or did not see, the next one is asked."""
        if self._answer is not None:
            await self._answer.end(f"■ {BROKEN_OFF}")
            self._answer = self._open_question = None
        if self._held is not None:
            self._held, self._waiting = None, True
        self._lacks_model = False
        self.query_one(Banner).clear()
        self.vitals = Vitals(phase="loading", detail="looking at the machine", used_tokens=self.vitals.used_tokens)

    def begin_following(self) -> None:
        """Look at what the driver tells, until it rests."""
        self._cpu_s, self._next_s = time.thread_time(), 0.0
        self._show_status()
        if self._timer is not None:
            self._timer.resume()

    async def _follow(self) -> None:
        """Take what happened since the last time: text in one go, everything else one by one."""
        if time.monotonic() < self._next_s:
            return
        self._pace()
        pieces: list[Text | Thinking] = []
        for at_s, what in self.driver.drain():
            if isinstance(what, (Text, Thinking)):
                if pieces and type(pieces[-1]) is not type(what):
                    await self._write(pieces)
                pieces.append(what)
                self.vitals.follow(what, at_s)
                continue
            await self._write(pieces)
            await self._handle(at_s, what)
        await self._write(pieces)
        self.call_after_refresh(self._show_more_below)
        if self.vitals.phase != self._phase or time.monotonic() - self._status_s >= STATUS_S:
            self._show_status()
        if self.driver.state not in {"loading", "busy"} and self._timer is not None:
            self._timer.pause()
            self._show_status()

    def _pace(self) -> None:
        """Look again the later, the more the last look has cost: a fast answer moves the whole screen each time."""
        cpu_s = time.thread_time()
        begun = self._answer is not None and bool(self._answer.text)
        rest_s = min(REST_MOST_S, (cpu_s - self._cpu_s) / SHARE) if begun else 0.0
        self._cpu_s, self._next_s = cpu_s, time.monotonic() + rest_s - DRAIN_S / 2

    async def _write(self, pieces: list[Text | Thinking]) -> None:
        """Pieces of one kind."""
        if pieces and self._answer is not None:
            text = "".join(piece.text for piece in pieces)
            if isinstance(pieces[0], Thinking):
                await self._answer.think(text, sum(piece.tokens for piece in pieces))
            else:
                await self._answer.add(text)
        pieces.clear()

    async def _handle(self, at_s: float, what: Happening) -> None:
        match what:
            case Progress():
                self.vitals.loading(what)
            case Opened():
                await self._loaded(what)
            case TakenUp():
                await self.taken_up(what)
                await self._loaded(what.opened)
            case Trouble():
                await self._troubled(what)
            case Held(overflow):
                await self._not_sent(overflow)
            case Done():
                self.vitals.follow(what, at_s)
                await self._answered(what)
            case _:
                self.vitals.follow(what, at_s)

    async def _loaded(self, opened: Opened) -> None:
        self.vitals.loaded(opened.session.loaded, opened.plan.room_bytes)
        self.tell_driver()
        self.show_head()
        for sentence in opened.warnings:
            await self.remark(f"! {sentence}")
        if not opened.session.loaded.has_chat_template:
            await self.remark(f"! {opened.plan.name} was not made to chat: it continues what it is given.")
        if self.talk.turns and self.talk.turns[-1].model != opened.plan.id:
            await self.remark(f"{harmless(opened.plan.name)} answers from here on, and reads what was said before.")
        if self.talk.seen and not self.driver.sees:
            await self.remark(f"{harmless(opened.plan.name)} reads text only, and does not see the images above.")
        for carried in tuple(self.query_one(Files).carried):
            self.count(carried)
        if self._waiting and self._open_question is not None:
            await self._ask(self._open_question)
        self._waiting = False

    async def _answered(self, done: Done) -> None:
        answer, question = self._answer, self._open_question
        self._answer = self._open_question = None
        if answer is not None:
            await answer.end(self.vitals.closing())
            if question is not None:
                self.add_exchange(question, answer, stopped=done.reason != "stop")
                self.save()
                self.show_head()
        if self._renewing:
            await self._renew()

    async def _troubled(self, trouble: Trouble) -> None:
        """The engine is gone, or it lives and refused."""
        if trouble.ended:
            self.vitals.broke("the engine stopped" if trouble.doing == "answer" else "no model is loaded")
        else:
            self.vitals.rested()
        if self._answer is not None:
            await self._answer.end(f"✗ {BROKEN_OFF}")
        problem = trouble.problem
        self._lacks_model = trouble.doing == "load" and problem.code == "not-found" and self.driver.projector is None
        if self._lacks_model:
            problem = Problem(problem.code, problem.message, "")
        self.query_one(Banner).tell(problem, f"Press Enter to {self._next_step(trouble)}.")
        if trouble.doing == "load":
            self.driver.projector = None
        self.show_head()
        self._waiting = self._renewing = False

    def _next_step(self, trouble: Trouble) -> str:
        if not trouble.ended:
            return "ask again"
        if self._lacks_model:
            return "choose and install one"
        step = "try again" if trouble.doing == "load" else "load the model again"
        if trouble.doing == "load" and self.driver.projector is not None:
            step = "load the model without the projector"
        return f"{step} and ask again" if self._open_question is not None else step

    async def _not_sent(self, overflow: Overflow) -> None:
        """The context does not hold the message: say so, and what would have to go, before anything is dropped."""
        if self._answer is not None:
            await self._answer.remove()
            self._answer = None
        self._held = overflow
        self.vitals.rested()
        before = "With what was said before, this" if self.talk.turns else "This"
        message = (
            f"{before} message takes {overflow.tokens:,} tokens. "
            f"The context has room for {overflow.room_tokens:,} beside an answer. Nothing was sent."
        )
        step = "Esc takes it back into the prompt, to be made shorter."
        if overflow.leave_out:
            count = overflow.leave_out
            step = f"Enter sends it without the first {count} messages; they stay here to read. Esc takes it back."
        self.query_one(Banner).tell(Problem("context", message), step, mark="!")

    @on(Prompt.Sent)
    async def _sent(self, event: Prompt.Sent) -> None:
        """Ask now, or as soon as the model is there."""
        if not self.is_free:
            self.notify("Esc stops the answer; then send the next message.", title="One at a time")
            return
        files, prompt = self.query_one(Files), self.query_one(Prompt)
        attachments, images = files.attachments, files.images
        self._leave_held()
        await self.begin_edited()
        self.talk.images |= {one.picture.sha256: one.data for one in images}
        question = Question(event.text, attachments, [one.picture for one in images], self.talk.images)
        if images and self.talk.kept:
            self.notify(NOT_SAVED, title="This conversation is saved")
        self.leave_files()
        prompt.clear()
        await self.query_one(Transcript).add(question)
        await self.ask_again(question)

    async def ask_again(self, question: Question) -> None:
        """Ask a question that stands on the screen, as soon as the model is there."""
        self._open_question, self._answer = question, None
        self.query_one(Banner).clear()
        if self.driver.state == "ready":
            await self._ask(question)
            return
        self._waiting = True
        if self.driver.state != "loading":
            await self.open_model(self.driver.name)

    async def _ask(self, question: Question) -> None:
        opened = self.driver.opened
        blind = self.blindness()
        if blind is not None and any(shown.sha256 in self.talk.images for shown in question.images):
            self._held = NOT_SHOWN
            self.query_one(Banner).tell(
                blind, "Nothing was sent. Esc takes the message back into the prompt.", mark="!"
            )
            return
        self._answer = Answer(harmless(opened.plan.name) if opened else "Model")
        await self.query_one(Transcript).add(self._answer)
        self.vitals.asked(time.monotonic())
        message = self.talk.message(question.turn(""), sees=self.driver.sees)
        self.driver.say(message.content, message.images)
        self.begin_following()

    def action_stop(self) -> None:
        """Stop the answer, or give up the load; a message that waited for it comes back into the prompt."""
        gives_up = self.driver.state == "loading"
        self.driver.stop()
        if not gives_up:
            return
        self.vitals.given_up()
        self._show_status()
        question, self._open_question = self._open_question, None
        if self._waiting and question is not None:
            self._waiting = False
            question.remove()
            self.into_prompt(question)
            begun = self.query_one(Prompt).text
            self.query_one(Prompt).put(f"{question.source}\n{begun}" if begun else question.source)

    async def action_new(self) -> None:
        """Begin a new conversation, after the answer under way was stopped."""
        if self.driver.state == "busy":
            self._renewing = True
            self.driver.stop()
        else:
            await self._renew()

    async def _renew(self) -> None:
        self._renewing = False
        self.shelve()
        await self.show_talk(LiveTalk(system=self.talk.system))
        self._show_status()

    async def action_retry(self) -> None:
        """The next step of what went wrong: load the model again, ask again, or send without the oldest messages."""
        if self._held is not None:
            await self._send_without(self._held)
        elif self.query_one(Banner).display or self.driver.state == "broken":
            await self._retry()

    async def _send_without(self, overflow: Overflow) -> None:
        question = self._open_question
        if not overflow.leave_out or question is None:
            return
        self._held = None
        self.talk.left_out = overflow.leave_out
        self.tell_driver()
        await self.mark_unseen()
        self.action_focus_prompt()
        await self.ask_again(question)

    async def _retry(self) -> None:
        if self._lacks_model:
            self.action_focus_prompt()
            await self.app.action_place("models")
            return
        if self._answer is not None:
            await self._answer.remove()
            self._answer = None
        self.action_focus_prompt()
        if self.driver.state == "ready" and self._open_question is not None:
            await self.ask_again(self._open_question)
        elif self.driver.state == "broken":
            self._waiting = self._open_question is not None
            await self.open_model(self.driver.name)
        else:
            self.query_one(Banner).clear()

    def action_leave_banner(self) -> None:
        """Go back to writing; a message that was not sent comes back into the prompt."""
        question = self._open_question
        if self._held is not None and question is not None:
            self._leave_held()
            self.query_one(Banner).clear()
            self.into_prompt(question)
            self.query_one(Prompt).put(question.source)
        elif self.driver.state == "ready":
            self.query_one(Banner).clear()
        self.action_focus_prompt()

    def _leave_held(self) -> None:
        """Give up a message that was not sent."""
        if self._held is not None and self._open_question is not None:
            self._open_question.remove()
            self._open_question = None
        self._held = None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - the toolkit's signature
        """Offer to stop what runs, and to try again what broke."""
        if action == "stop":
            return self.driver.state in {"busy", "loading"}
        if action == "retry":
            if self._held is not None:
                return self._held.leave_out > 0
            return self.driver.state == "broken" or any(banner.display for banner in self.query(Banner))
        return True

    def _show_more_below(self) -> None:
        self.query_one("#below").display = self.query_one(Transcript).is_left

    def _show_status(self) -> None:
        if self._phase != self.vitals.phase:
            self._phase = self.vitals.phase
            self.refresh_bindings()
        self._status_s = time.monotonic()
        self.query_one(StatusLine).show(self.vitals, self._status_s)
