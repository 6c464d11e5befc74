"""A command that a screen has run beside itself, and is told of when it is over."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from textual.message import Message
from textual.message_pump import MessagePump

from deploy.commands.context import Context
from deploy.results import Problem
from deploy.sources.base import Report
from tui.jobs import Job


@dataclass
class CommandOver(Message):
    """A command ended: with what it returned, or with a problem."""

    what: str
    outcome: Any


def begin(
    asker: MessagePump,
    context: Context,
    what: str,
    work: Callable[[Context], Any],
    on_progress: Report | None = None,
) -> Job[Any]:
    """Run `work` in a thread; `asker` gets CommandOver, unless the job was cancelled meanwhile."""

    def end(outcome: Any | Problem) -> None:
        if not job.cancelled:
            asker.post_message(CommandOver(what, outcome))

    job: Job[Any] = Job(context, work, on_end=end, on_progress=on_progress)
    job.start()
    return job
