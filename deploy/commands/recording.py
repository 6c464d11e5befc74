"""Sessions that write down what they did: one journal line for each load and each answer, and never a word of it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import msgspec

from deploy.engine.base import Session
from deploy.engine.protocol import ChatMessage, Done, Embedded, Event, Generate, Reading, Stats
from deploy.engine.state_protocol import StateShape
from deploy.errors import LandfastError, PolicyRefused
from deploy.journal import Event as Entry
from deploy.journal import Journal
from deploy.policy.policy import Refusal

Kind = Literal["load", "answer", "keep", "resume"]


class Recorder:
    """Writes the events of one model. A journal that cannot be written is told once, and stops nothing by itself."""

    def __init__(self, journal: Journal, model: str, sha256: tuple[str, ...], required: Refusal | None = None) -> None:
        """Record for this model; `required` is the rule of a policy that lets nothing run unrecorded."""
        self._journal = journal
        self._model = model
        self._sha256 = sha256
        self._required = required
        self.problem = ""
        """Why the journal could not be written; empty when it could."""

    def record(self, event: Entry) -> None:
        """Add an event of this model. Raises PolicyRefused where that cannot be done and a policy requires it."""
        try:
            self._journal.append(msgspec.structs.replace(event, model=self._model, sha256=self._sha256))
        except LandfastError as error:
            self.problem = error.message
            if self._required is not None:
                raise PolicyRefused(
                    f"The policy requires the journal, which cannot be written: {error.message}",
                    hint=f"Rule {self._required.rule} in {self._required.file}. {error.hint}".strip(),
                ) from error

    def announce(self, kind: Kind) -> None:
        """Where a policy requires the journal, write down what begins, so that it does not begin unrecorded."""
        if self._required is not None:
            self.record(Entry(kind=kind, outcome="begun"))


class RecordedSession:
    """A session whose answers are in the journal."""

    def __init__(self, inner: Session, recorder: Recorder) -> None:
        """Stand in for a session that has just been opened."""
        self.on_answer: Callable[[Stats], None] = lambda _stats: None
        self.inner = inner
        self.ready = inner.ready
        self.loaded = inner.loaded
        self._recorder = recorder
        try:
            recorder.record(self._entry("load", outcome="loaded", seconds=inner.loaded.load_s))
        except PolicyRefused:
            inner.close()
            raise

    def generate(self, request: Generate) -> Iterator[Event]:
        """Answer; how it ended is recorded, also when it failed or nobody waited for the end."""
        self._recorder.announce("answer")
        started = time.monotonic()
        prompt_tokens, outcome = 0, "abandoned"
        stats: Stats | None = None
        try:
            for event in self.inner.generate(request):
                if isinstance(event, Reading):
                    prompt_tokens = event.total
                elif isinstance(event, Done):
                    outcome, stats = event.reason, event.stats
                    self._record(outcome, stats)
                    self.on_answer(stats)
                yield event
        except LandfastError as error:
            outcome = f"failed ({error.code})"
            raise
        finally:
            if stats is None:
                taken = round(time.monotonic() - started, 3)
                entry = self._entry("answer", outcome=outcome, seconds=taken)
                self._recorder.record(msgspec.structs.replace(entry, prompt_tokens=prompt_tokens))

    def count(self, text: str) -> int:
        """How many tokens a text has; nothing ran that would be recorded."""
        return self.inner.count(text)

    def count_conversation(self, messages: Sequence[ChatMessage]) -> int:
        """How many tokens a conversation has; likewise."""
        return self.inner.count_conversation(messages)

    def embed(self, texts: Sequence[str]) -> Embedded:
        """One vector for each text; recorded as an answer without tokens of its own."""
        self._recorder.announce("answer")
        started = time.monotonic()
        outcome = "abandoned"
        tokens = 0
        try:
            embedded = self.inner.embed(texts)
            outcome, tokens = "embedded", embedded.tokens
        except LandfastError as error:
            outcome = f"failed ({error.code})"
            raise
        finally:
            entry = self._entry("answer", outcome=outcome, seconds=round(time.monotonic() - started, 3))
            self._recorder.record(msgspec.structs.replace(entry, prompt_tokens=tokens))
        return embedded

    def describe_state(self) -> StateShape:
        """What a copy of the state would be; nothing ran that would be recorded."""
        return self.inner.describe_state()

    def save_state(self, shape: StateShape) -> Iterator[bytes]:
        """The state, piece by piece; recorded, since what was read leaves the memory."""
        with self._moving("keep", shape):
            yield from self.inner.save_state(shape)

    def restore_state(self, shape: StateShape, pieces: Iterator[bytes]) -> None:
        """Take over a state; recorded."""
        with self._moving("resume", shape):
            self.inner.restore_state(shape, pieces)

    @contextmanager
    def _moving(self, kind: Kind, shape: StateShape) -> Iterator[None]:
        """A line for a state that leaves the memory or comes back into it, when that is over."""
        started = time.monotonic()
        outcome = "failed"
        self._recorder.announce(kind)
        try:
            yield
            outcome = "kept" if kind == "keep" else "resumed"
        finally:
            entry = self._entry(kind, outcome=outcome, seconds=round(time.monotonic() - started, 3))
            self._recorder.record(msgspec.structs.replace(entry, prompt_tokens=len(shape.tokens)))

    @property
    def ended(self) -> bool:
        """Whether the engine is gone."""
        return self.inner.ended

    @property
    def journal_problem(self) -> str:
        """Why the journal could not be written; empty when it could."""
        return self._recorder.problem

    def cancel(self) -> None:
        """Stop the answer under way."""
        self.inner.cancel()

    def close(self) -> None:
        """End the process."""
        self.inner.close()

    def _record(self, outcome: str, stats: Stats) -> None:
        entry = self._entry("answer", outcome=outcome, seconds=round(stats.total_s, 3))
        counted = msgspec.structs.replace(entry, prompt_tokens=stats.prompt_tokens, answer_tokens=stats.answer_tokens)
        self._recorder.record(counted)

    def _entry(self, kind: Kind, *, outcome: str, seconds: float) -> Entry:
        return Entry(
            kind=kind,
            engine=self.ready.engine.partition(" (")[0],
            seal=self.ready.seal.level,
            outcome=outcome,
            seconds=round(seconds, 3),
        )
