"""Drives one conversation from the UI: opens the model, asks, stops and closes, without ever blocking.

Everything that happens goes into one queue with its time; the screen drains it at its own pace. One call per
token across threads would cost more than the tokens of a small model.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Literal

from deploy.commands.chat import Conversation
from deploy.commands.context import Context
from deploy.commands.session import Opened, open_model
from deploy.engine.protocol import Done, Event
from deploy.fit.fit import Workload
from deploy.results import Problem
from deploy.sources.base import Progress
from tui.jobs import Job

DriverState = Literal["empty", "loading", "ready", "busy", "broken"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """The engine could not be opened, or did not finish its answer."""

    doing: Literal["load", "answer"]
    problem: Problem


Happening = Progress | Opened | Event | Trouble
Tell = Callable[[Happening], bool]
"""Passes on what happens; False says that nobody waits for it any more."""


class ChatDriver:
    """One model and one conversation at a time. All methods are for the UI's thread."""

    def __init__(self, context: Context, workload: Workload) -> None:
        """Hold nothing yet."""
        self._context = context
        self._workload = workload
        self._queue: SimpleQueue[tuple[Job[None], float, Happening]] = SimpleQueue()
        self._job: Job[None] | None = None
        self.state: DriverState = "empty"
        self.name: str | None = None
        """The model that was asked for; None for the best installed one."""
        self.opened: Opened | None = None
        self.conversation: Conversation | None = None

    def open(self, name: str | None) -> None:
        """Load a model, in place of the one before. The turns stay."""
        self._let_go()
        self.name = name
        self.state = "loading"
        workload = self._workload

        def load(context: Context, tell: Tell) -> None:
            opened = open_model(context, name, workload)
            if not tell(opened):
                opened.session.close()

        self._begin("load", load)

    def say(self, text: str) -> None:
        """Ask. Only while the state is "ready"."""
        conversation = self.conversation
        if conversation is None:
            return
        self.state = "busy"

        def answer(_: Context, tell: Tell) -> None:
            for event in conversation.say(text):
                tell(event)

        self._begin("answer", answer)

    def stop(self) -> None:
        """Stop the answer under way; what was said stays."""
        if self.state == "busy" and self.conversation is not None:
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
                tell(Trouble(doing, outcome))

        def progress(report: Progress) -> None:
            tell(report)

        job: Job[None] = Job(self._context, lambda own: work(own, tell), on_end=end, on_progress=progress)
        self._job = job
        job.start()

    def _note(self, what: Happening) -> None:
        """Follow the state, and take over a session that was opened."""
        match what:
            case Opened():
                self.opened = what
                self.state = "ready"
                if self.conversation is None:
                    self.conversation = Conversation(what.session)
                else:
                    self.conversation.continue_with(what.session)
            case Done():
                self.state = "ready"
            case Trouble():
                self.state = "broken"

    def _let_go(self) -> None:
        """Cancel what runs, and end the engine process."""
        if self._job is not None:
            self._job.cancel()
            self._job = None
        if self.opened is not None:
            self.opened.session.close()
            self.opened = None
        self.drain()
