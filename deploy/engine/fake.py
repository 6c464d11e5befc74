"""An engine that answers from a script, for tests of everything above the seam."""

import math
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Final

from deploy.engine.base import Trial
from deploy.engine.files import Projector
from deploy.engine.load_plan import LoadPlan
from deploy.engine.measure_protocol import Measured, Timing
from deploy.engine.protocol import (
    Adapter,
    ChatMessage,
    Done,
    Embedded,
    Event,
    Generate,
    Loaded,
    Reading,
    Ready,
    Rehearsed,
    Stats,
    Text,
    Thinking,
)
from deploy.engine.state_protocol import StateShape
from deploy.errors import EngineFailed

READY: Final = Ready(engine="fake engine", sealed=False)


class FakeEngine:
    """Opens sessions that give the same answer, word by word, at a chosen speed. A token is a word."""

    def __init__(
        self,
        answer: str = "Because nothing leaves.",
        *,
        thinking: str = "",
        tok_s: float = 0.0,
        dies_after: int | None = None,
    ) -> None:
        """Answer with `answer`, after `thinking`; `tok_s` 0 is as fast as possible; after `dies_after` words it fails.

        It fails once, and does not count the words that it thinks.
        """
        self.answer = answer
        self.thinking = thinking
        self.tok_s = tok_s
        self.dies_after = dies_after
        self.opened: list[tuple[tuple[Path, ...], LoadPlan]] = []
        self.adapters: tuple[Adapter, ...] = ()
        self.projector: Projector | None = None

    def open(self, files: Sequence[Path], plan: LoadPlan, on_loading: Callable[[float], None]) -> "FakeSession":
        """Load nothing, and remember that it was asked."""
        self.opened.append((tuple(files), plan))
        on_loading(1.0)
        return FakeSession(self, plan)

    def rehearse(self, files: Sequence[Path], plan: LoadPlan) -> Rehearsed:
        """Give figures in proportion to the file and the context."""
        return Rehearsed(
            weights_bytes=sum(file.stat().st_size for file in files),
            state_bytes=plan.context_tokens * 1024,
            compute_bytes=32 << 20,
            output_bytes=1 << 20,
        )

    def measure(self, trials: Sequence[Trial]) -> Generator[Measured, None, None]:
        """Take a millisecond for each token of a step."""
        for trial in trials:
            timings = tuple(Timing(step=step, seconds=(step.tokens / 1000,) * step.least) for step in trial.steps)
            yield Measured(load_s=0.0, graph_nodes=1, timings=timings)

    def describe(self) -> Ready:
        """Be the fake engine."""
        return READY

    def with_adapters(self, adapters: Sequence[Adapter], projector: Projector | None = None) -> "FakeEngine":
        """The same engine; it remembers them."""
        self.adapters, self.projector = tuple(adapters), projector or self.projector
        return self


class FakeSession:
    """One scripted conversation partner."""

    def __init__(self, engine: FakeEngine, plan: LoadPlan) -> None:
        """Be ready at once."""
        self.ready = READY
        self.loaded = Loaded(
            description="fake model",
            context_tokens=plan.context_tokens,
            has_chat_template=True,
            load_s=0.0,
            memory_bytes=1 << 20,
            thinks=bool(engine.thinking),
            sees=engine.projector is not None,
        )
        self.requests: list[Generate] = []
        self.closed = False
        self.ended = False
        self.restored: StateShape | None = None
        self._engine = engine
        self._cancelled = threading.Event()

    def generate(self, request: Generate) -> Iterator[Event]:
        """Give the answer word by word."""
        self.requests.append(request)
        self._cancelled.clear()
        started = time.perf_counter()
        asked = self.count_conversation(request.messages) or 1
        yield Reading(asked, asked, 0)
        count = 0
        for piece in _words(self._engine.thinking):
            if self._wait():
                break
            yield Thinking(piece)
        for count, piece in enumerate(_words(self._engine.answer), 1):
            if self._wait():
                break
            if count == self._engine.dies_after:
                self._engine.dies_after = None
                self.ended = True
                raise EngineFailed("The engine process was killed (SIGKILL) while it answered.", hint="Try again.")
            yield Text(piece)
        yield Done(
            reason="cancelled" if self._cancelled.is_set() else "stop",
            stats=_stats(asked, count, time.perf_counter() - started),
        )

    def count(self, text: str) -> int:
        """A word is a token."""
        return len(text.split())

    def count_conversation(self, messages: Sequence[ChatMessage]) -> int:
        """The words of all messages."""
        return sum(self.count(message.content) for message in messages)

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Vectors of length 1 that depend on the number of words alone."""
        vectors = tuple((math.cos(self.count(text)), math.sin(self.count(text))) for text in texts)
        return Embedded(vectors=vectors, tokens=sum(map(self.count, texts)), pooling="mean", made_for_it=True)

    def describe_state(self) -> StateShape:
        """Some of every word that was asked."""
        words = sum(self.count_conversation(request.messages) for request in self.requests)
        return StateShape(tokens=tuple(range(words)), size_bytes=words)

    def save_state(self, shape: StateShape) -> Iterator[bytes]:
        """Nothing of worth."""
        yield from (bytes(size) for size in shape.pieces_bytes)

    def restore_state(self, shape: StateShape, pieces: Iterator[bytes]) -> None:
        """Take it, and remember what it was."""
        self.restored = shape if sum(map(len, pieces)) == shape.total_bytes else None

    def cancel(self) -> None:
        """Stop before the next word."""
        self._cancelled.set()

    def close(self) -> None:
        """Be closed."""
        self.closed = True

    def _wait(self) -> bool:
        pause = 1 / self._engine.tok_s if self._engine.tok_s else 0.0
        return self._cancelled.wait(pause) if pause else self._cancelled.is_set()


def _words(text: str) -> list[str]:
    """The pieces that make up a text, each but the first with the space before it."""
    if not text:
        return []
    first, *rest = text.split(" ")
    return [first, *(f" {word}" for word in rest)]


def _stats(asked: int, count: int, seconds: float) -> Stats:
    return Stats(
        prompt_tokens=asked,
        reused_tokens=0,
        answer_tokens=count,
        prompt_eval_tokens=asked,
        prompt_eval_s=0.001,
        decode_tokens=count,
        decode_s=seconds,
        first_token_s=0.001,
        total_s=seconds,
        memory_bytes=1 << 20,
        peak_memory_bytes=1 << 20,
    )
