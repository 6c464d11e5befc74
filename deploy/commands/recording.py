"""Sessions that write down what they did: one journal line for each load and each answer, and never a word of it."""

import time
from collections.abc import Iterator

import msgspec

from deploy.engine.client import Session
from deploy.engine.protocol import Done, Event, Generate, Reading, Stats
from deploy.errors import LandfastError
from deploy.journal import Event as Entry
from deploy.journal import Journal


class Recorder:
    """Writes the events of one model. A journal that cannot be written is told once, and stops nothing."""

    def __init__(self, journal: Journal, model: str, sha256: tuple[str, ...]) -> None:
        """Record for this model."""
        self._journal = journal
        self._model = model
        self._sha256 = sha256
        self.problem = ""
        """Why the journal could not be written; empty when it could."""

    def record(self, event: Entry) -> None:
        """Add an event of this model."""
        try:
            self._journal.append(msgspec.structs.replace(event, model=self._model, sha256=self._sha256))
        except LandfastError as error:
            self.problem = error.message


class RecordedSession:
    """A session whose answers are in the journal."""

    def __init__(self, inner: Session, recorder: Recorder) -> None:
        """Stand in for a session that has just been opened."""
        self.inner = inner
        self.ready = inner.ready
        self.loaded = inner.loaded
        self._recorder = recorder
        recorder.record(self._entry("load", outcome="loaded", seconds=inner.loaded.load_s))

    def generate(self, request: Generate) -> Iterator[Event]:
        """Answer; how it ended is recorded, also when it failed or nobody waited for the end."""
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
                yield event
        except LandfastError as error:
            outcome = f"failed ({error.code})"
            raise
        finally:
            if stats is None:
                taken = round(time.monotonic() - started, 3)
                entry = self._entry("answer", outcome=outcome, seconds=taken)
                self._recorder.record(msgspec.structs.replace(entry, prompt_tokens=prompt_tokens))

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

    def _entry(self, kind: str, *, outcome: str, seconds: float) -> Entry:
        return Entry(
            kind="load" if kind == "load" else "answer",
            engine=self.ready.engine.partition(" (")[0],
            seal=self.ready.seal.level,
            outcome=outcome,
            seconds=round(seconds, 3),
        )
