"""Drives one conversation from the UI: opens the model, asks, stops and closes, without ever blocking.

Everything that happens goes into one queue with its time; the screen drains it at its own pace. One call per
token across threads would cost more than the tokens of a small model.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Literal

from deploy.commands.chat import Conversation, Overflow
from deploy.commands.context import Context
from deploy.commands.session import Opened, open_model
from deploy.engine.protocol import ChatMessage, Done, Event
from deploy.fit.fit import Workload
from deploy.results import Problem
from deploy.sources.base import Progress
from tui.jobs import Job
from tui.talk import Asking

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


Happening = Progress | Opened | Event | Held | Trouble
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
        self.state: DriverState = "empty"
        self.name: str | None = None
        """The model that was asked for; None for the best installed one."""
        self.opened: Opened | None = None
        self.conversation: Conversation | None = None
        self.asking = Asking()
        self.system = ""

    def open(self, name: str | None) -> None:
        """Load a model, in place of the one before. The turns stay."""
        self._let_go()
        self.name = name
        self.state = "loading"
        workload = self.workload

        def load(context: Context, tell: Tell) -> None:
            opened = open_model(context, name, workload)
            if not tell(opened):
                opened.session.close()

        self._begin("load", load)

    def say(self, text: str) -> None:
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
                overflow = conversation.overflow(text)
                if overflow is not None:
                    tell(Held(overflow))
                    return
                for event in conversation.say(text):
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

    def count(self, text: str, tell: Callable[[int | Problem], None]) -> bool:
        """Have the tokens of a text counted; `tell` is called from a thread. False where no model is loaded."""
        opened, speaking = self.opened, self._speaking
        if opened is None:
            return False

        def work(_: Context) -> int:
            with speaking:
                return opened.session.count(text)

        Job(self._context, work, on_end=tell).start()
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
            case Done() | Held():
                self.state = "ready"
            case Trouble():
                self.state = "broken" if what.ended else "ready"

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
        self.drain()
