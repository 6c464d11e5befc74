"""Writes one answer: draws tokens until something ends it, and remembers what."""

from collections.abc import Iterator
from typing import Any, Literal

from deploy.engine.channels import Splitter
from deploy.engine.context import Context
from deploy.engine.figures import Figures
from deploy.engine.grammar import grammar_of
from deploy.engine.protocol import Drawing, Event, Generate
from deploy.engine.sampling import sampler
from deploy.engine.steps import Steps
from deploy.engine.text import Assembler
from deploy.engine.vocabulary import Vocabulary


class Writer:
    """The answer to one request, after its prompt was read."""

    def __init__(
        self, context: Context, vocabulary: Vocabulary, request: Generate, drawing: Drawing, splitter: Splitter
    ) -> None:
        """Prepare; nothing is drawn yet. Raises Refusal for a schema of which no grammar can be made."""
        self._context = context
        self._vocabulary = vocabulary
        self._max_tokens = request.max_tokens
        self._drawing = drawing
        self._grammar = None if request.schema is None else grammar_of(request.schema)
        self._text = Assembler(request.stop, splitter)
        self._ended = False
        self.reason: Literal["stop", "length", "cancelled", "context"] = "cancelled"
        """Why it ended; until it has, that nobody let it."""
        self.count = 0
        """Tokens of the answer."""

    def write(self, steps: Steps, figures: Figures) -> Iterator[Event]:
        """The answer, piece by piece, noting when."""
        while not self._ended:
            answering = self._text.answering
            with sampler(self._drawing, self._vocabulary, self._grammar if answering else None) as chain:
                yield from self._draw(steps, figures, chain, answering=answering)
        yield from self._text.finish(cut=self.reason != "stop")

    def _draw(self, steps: Steps, figures: Figures, chain: Any, *, answering: bool) -> Iterator[Event]:
        """To the end, or to where another chain must draw: a grammar rules the answer, not what is thought."""
        while not self._ended and (self._grammar is None or self._text.answering == answering):
            token = steps.draw(chain, self._max_tokens - self.count)
            if token is None:
                self._end("cancelled")
                return
            figures.drew()
            if self._vocabulary.ends(token):
                self._end("stop")
                return
            self.count += 1
            yield from self._text.feed(self._vocabulary.piece(token))
            self._look()

    def _look(self) -> None:
        """Whether something ends the answer after this token."""
        if self._text.stopped:
            self._end("stop")
        elif self._context.stopped:
            self._end("cancelled")
        elif not self._context.has_room:
            self._end("context")
        elif self.count >= self._max_tokens:
            self._end("length")

    def _end(self, reason: Literal["stop", "length", "cancelled", "context"]) -> None:
        self._ended, self.reason = True, reason
