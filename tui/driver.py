"""Drives one conversation from the UI: opens the model, asks, stops and closes, without ever blocking.

Everything that happens goes into one queue with its time; the screen drains it at its own pace. One call per
token across threads would cost more than the tokens of a small model.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Literal, TypeVar, cast

from deploy.commands import sessions
from deploy.commands.chat import Conversation, Overflow
from deploy.commands.context import Context
from deploy.commands.looking import image_tokens, open_to_look
from deploy.commands.session import Opened, open_model
from deploy.engine.protocol import ChatMessage, Done, Event
from deploy.engine.state_protocol import StateShape
from deploy.fit.fit import Workload
from deploy.results import Problem
from deploy.sources.base import Progress
from tui.jobs import Job
from tui.talk import Asking

if TYPE_CHECKING:
    from deploy.engine.state_file import StateFile

T = TypeVar("T")
DriverState = Literal["empty", "loading", "ready", "busy", "broken"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """The engine could not be opened, or did not finish its answer."""

    doing: Literal["load", "answer"]
    problem: Problem
    ended: bool
    """Whether the engine is gone, so that the model must be loaded again."""


@dataclass(frozen=True, slots=True)
class Held:
    """A message was not sent, because the context does not hold it."""

    overflow: Overflow


@dataclass(frozen=True, slots=True)
class TakenUp:
    """A kept session, with the model of it loaded."""

    opened: Opened
    resumed: sessions.Resumed
    messages: tuple[ChatMessage, ...]
    created: str


Happening = Progress | Opened | TakenUp | Event | Held | Trouble
Tell = Callable[[Happening], bool]
"""Passes on what happens; False says that nobody waits for it any more."""


class ChatDriver:
    """One model and one conversation at a time. All methods are for the UI's thread."""

    def __init__(self, context: Context, workload: Workload) -> None:
        """Hold nothing yet."""
        self._context = context
        self.workload = workload
        self._queue: SimpleQueue[tuple[Job[None], float, Happening]] = SimpleQueue()
        self._job: Job[None] | None = None
        self._speaking = threading.Lock()
        """One request at a time on the channel to the engine; every session has its own."""
        self._stopping = threading.Event()
        self._said: tuple[tuple[ChatMessage, ...], int] = ((), 0)
        self._heard: tuple[ChatMessage, ...] | None = None
        """What the engine has in memory, to the last word."""
        self.state: DriverState = "empty"
        self.name: str | None = None
        """The model that was asked for; None for the best installed one."""
        self.projector: Path | None = None
        """What a person named for it to look at images with; None for what was installed with it, if anything was."""
        self.opened: Opened | None = None
        self.conversation: Conversation | None = None
        self.asking = Asking()
        self.system = ""

    def open(self, name: str | None, projector: Path | None = None) -> None:
        """Load a model, in place of the one before. The turns stay."""
        self._let_go()
        if projector is not None or name != self.name:
            self.projector = projector
        self.name = name
        self.state = "loading"
        workload, looks_with = self.workload, self.projector

        def load(context: Context, tell: Tell) -> None:
            opened = open_to_look(context, name, workload, looks_with, lambda world: open_model(world, name, workload))
            if not tell(opened):
                opened.session.close()

        self._begin("load", load)

    def take_up(self, name: str, model: str) -> None:
        """Load the model of a kept session, with what it had in memory."""
        self._let_go()
        self.name, self.projector = model, None
        self.state = "loading"
        workload = self.workload

        def load(context: Context, tell: Tell) -> None:
            sessions.require_keepable(context, None, name)
            taken = _taken_up(context, name, workload)
            if not tell(taken):
                taken.opened.session.close()

        self._begin("load", load)

    def say(self, text: str, images: tuple[bytes, ...] = ()) -> None:
        """Ask, if the context holds it. Only while the state is "ready"."""
        conversation, speaking = self.conversation, self._speaking
        if conversation is None:
            return
        stopping = self._stopping = threading.Event()
        self.state = "busy"
        conversation.system = self.system
        conversation.sampling = self.asking.drawn()
        conversation.max_tokens = self.asking.max_tokens

        def answer(_: Context, tell: Tell) -> None:
            with speaking:
                overflow = conversation.overflow(text, images)
                if overflow is not None:
                    tell(Held(overflow))
                    return
                for event in conversation.say(text, images):
                    tell(event)
                    if stopping.is_set():  # it may have been asked for before the engine had heard the question
                        stopping.clear()
                        conversation.stop()

        self._begin("answer", answer)

    def take(self, turns: tuple[ChatMessage, ...], *, left_out: int = 0) -> None:
        """Go on from these turns. Not while the state is "busy"."""
        self._said = (turns, left_out)
        if self.conversation is not None:
            self.conversation.take(turns, left_out=left_out)

    @property
    def seed(self) -> int | None:
        """With which the last answer was drawn."""
        return None if self.conversation is None else self.conversation.sampling.seed

    @property
    def sees(self) -> bool:
        """Whether the model that is loaded can be shown images."""
        return self.opened is not None and self.opened.session.loaded.sees

    def count(self, what: str | bytes, tell: Callable[[int | Problem], None]) -> bool:
        """Have the tokens of a text or an image counted. False where no model is loaded."""
        return self._aside(
            lambda _, opened: (
                opened.session.count(what) if isinstance(what, str) else image_tokens(opened.session, what)
            ),
            tell,
        )

    @property
    def is_read(self) -> bool:
        """Whether the engine has this conversation in memory, to its last word, and nothing else."""
        return self.conversation is not None and self._heard == self.conversation.said

    def weigh(self, tell: Callable[[StateShape | Problem], None]) -> bool:
        """Have the model's state measured, as it would be kept."""
        return self._aside(lambda _, opened: opened.session.describe_state(), tell)

    def keep(self, name: str, tell: Callable[[sessions.Kept | Problem], None]) -> bool:
        """Have the model's state of the conversation written to the disk."""
        said = () if self.conversation is None else self.conversation.said
        return self._aside(lambda context, opened: sessions.keep(context, opened, name, said), tell)

    def _aside(self, work: Callable[[Context, Opened], T], tell: Callable[[T | Problem], None]) -> bool:
        """Ask the engine for something beside the conversation; `tell` is called from a thread."""
        opened, speaking = self.opened, self._speaking
        if opened is None:
            return False

        def asking(context: Context) -> T:
            with speaking:
                return work(context, opened)

        Job(self._context, asking, on_end=tell).start()
        return True

    def stop(self) -> None:
        """Stop the answer under way, and keep what was said; or give up the load under way."""
        if self.state == "loading":
            self.close()
        elif self.state == "busy" and self.conversation is not None:
            self._stopping.set()
            self.conversation.stop()

    def close(self) -> None:
        """End the engine process, whatever it does. The turns stay."""
        self._let_go()
        self.state = "empty"

    def join(self, limit_s: float) -> None:
        """Wait a little for the thread of the last job."""
        if self._job is not None:
            self._job.join(limit_s)

    def drain(self) -> list[tuple[float, Happening]]:
        """What has happened since the last call, oldest first."""
        happened: list[tuple[float, Happening]] = []
        while True:
            try:
                job, at_s, what = self._queue.get_nowait()
            except Empty:
                return happened
            if job is self._job:
                self._note(what)
                happened.append((at_s, what))
            elif isinstance(what, Opened):
                what.session.close()
            elif isinstance(what, TakenUp):
                what.opened.session.close()

    def _begin(self, doing: Literal["load", "answer"], work: Callable[[Context, Tell], None]) -> None:
        def tell(what: Happening) -> bool:
            self._queue.put((job, time.monotonic(), what))
            return not job.cancelled

        def end(outcome: Problem | None) -> None:
            if isinstance(outcome, Problem):
                tell(Trouble(doing, outcome, opened is None or opened.session.ended))

        def progress(report: Progress) -> None:
            tell(report)

        opened = self.opened
        job: Job[None] = Job(self._context, lambda own: work(own, tell), on_end=end, on_progress=progress)
        self._job = job
        job.start()

    def _note(self, what: Happening) -> None:
        """Follow the state, and take over a session that was opened."""
        match what:
            case Opened():
                self._take_over(what)
            case TakenUp():
                self._take_over(what.opened)
                self._heard = None if what.resumed.why_not else what.messages
            case Done():
                self.state = "ready"
                self._heard = None if self.conversation is None else self.conversation.said
            case Held():
                self.state = "ready"
            case Trouble():
                self.state = "broken" if what.ended else "ready"
                self._heard = None

    def _take_over(self, opened: Opened) -> None:
        self.opened = opened
        self.state = "ready"
        self._speaking = threading.Lock()
        if self.conversation is None:
            self.conversation = Conversation(opened.session)
            self.conversation.take(self._said[0], left_out=self._said[1])
        else:
            self.conversation.continue_with(opened.session)

    def _let_go(self) -> None:
        """Cancel what runs, and end the engine process."""
        if self._job is not None:
            self._job.cancel()
            self._job = None
        if self.opened is not None:
            self.opened.session.close()
            self.opened = None
        self._heard = None
        self.drain()


def _taken_up(context: Context, name: str, workload: Workload) -> TakenUp:
    """A kept session with its model. Raises what opening it raises."""
    with sessions.resuming(context, name) as found:
        kept = cast("StateFile", found)  # there is one, since it was named
        opened = sessions.open_like(context, kept, None, workload, ())
        try:
            resumed = cast("sessions.Resumed", sessions.take_over(context, opened, kept))
        except BaseException:
            opened.session.close()
            raise
        return TakenUp(opened, resumed, kept.header.messages, kept.header.created)
