"""Saves conversations beside the UI, one after the other, so that nothing waits for a disk."""

import threading
from collections.abc import Callable

import msgspec

from deploy.commands import sessions
from deploy.commands.context import Context
from deploy.commands.conversations import forbidden, keep, shelf
from deploy.conversations import Summary, Talk
from deploy.results import Problem
from tui.jobs import Job
from tui.talk import LiveTalk

Stored = Summary | sessions.ListedSession
"""What is on the disk: a saved conversation, or a kept session."""


class Keeper:
    """The saved conversations, as the chat uses them. What it tells, it tells from a thread."""

    def __init__(self, context: Context) -> None:
        """Look at nothing yet."""
        self._context = context
        self._writing = threading.Lock()
        self._last: Job[int] | None = None

    @property
    def forbidden(self) -> str:
        """Why nothing may be saved; empty where the policy allows it."""
        return forbidden(self._context)

    def save(self, talk: LiveTalk, tell: Callable[[int | Problem], None]) -> None:
        """Save it as it is at this moment."""
        frozen = talk.frozen()

        def work(context: Context) -> int:
            with self._writing:
                if talk.kept:  # it may have been taken back meanwhile
                    talk.id = keep(context, msgspec.structs.replace(frozen, id=talk.id))
                return talk.id or 0

        self._last = Job(self._context, work, on_end=tell)
        self._last.start()

    def listed(self, words: str, tell: Callable[[tuple[Stored, ...] | Problem], None]) -> None:
        """All saved conversations and kept sessions, or those in which the words occur."""
        Job(self._context, lambda context: _listed(context, words), on_end=tell).start()

    def get(self, number: int, tell: Callable[[Talk | Problem], None]) -> None:
        """One of them, whole."""
        Job(self._context, lambda context: shelf(context).get(number), on_end=tell).start()

    def delete(self, number: int, tell: Callable[[int | Problem], None]) -> None:
        """Take one away."""

        def work(context: Context) -> int:
            with self._writing:
                shelf(context).delete(number)
                return number

        Job(self._context, work, on_end=tell).start()

    def remove(self, session: str, tell: Callable[[int | Problem], None]) -> None:
        """Take a kept session away."""

        def work(context: Context) -> int:
            done = sessions.remove(context, session)
            return 0 if done.data is None else done.data.freed_bytes

        Job(self._context, work, on_end=tell).start()

    def forget(self, talk: LiveTalk, tell: Callable[[int | Problem], None]) -> None:
        """Delete what was saved of a conversation that is open, also what is being saved just now."""
        talk.kept = False

        def work(context: Context) -> int:
            with self._writing:
                number, talk.id = talk.id, None
                if number is not None:
                    shelf(context).delete(number)
                return number or 0

        self._last = Job(self._context, work, on_end=tell)
        self._last.start()

    def join(self, limit_s: float) -> None:
        """Wait a little for what is being written."""
        if self._last is not None:
            self._last.join(limit_s)


def _listed(context: Context, words: str) -> tuple[Stored, ...]:
    return (*_saved(context, words), *_kept(context, words))


def _kept(context: Context, words: str) -> tuple[sessions.ListedSession, ...]:
    """Sessions in whose name, model or beginning the words occur."""
    data = sessions.list_sessions(context).data
    wanted = words.casefold().split()
    texts = () if data is None else ((one, f"{one.name} {one.begins} {one.model}".casefold()) for one in data.sessions)
    return tuple(one for one, text in texts if all(word in text for word in wanted))


def _saved(context: Context, words: str) -> tuple[Summary, ...]:
    saved = shelf(context)
    all_of_them = saved.summaries()
    wanted = words.casefold().split()
    if not wanted:
        return all_of_them
    hits = {found.id for found in saved.search(wanted)}
    return tuple(one for one in all_of_them if one.id in hits or all(word in one.title.casefold() for word in wanted))
