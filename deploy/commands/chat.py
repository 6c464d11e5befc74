"""A conversation with a loaded model: the turns, kept in memory and nowhere else."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from deploy.engine.base import Session
from deploy.engine.protocol import ChatMessage, Done, Event, Generate, Sampling, Text, Thinking

ANSWER_ROOM_TOKENS: Final = 256
"""An answer needs so much room at least, or a quarter of the context where that is less."""


@dataclass(frozen=True, slots=True)
class Overflow:
    """A message that the context does not hold with all that was said before. It was not sent."""

    tokens: int
    """The whole prompt, as the model's template writes it."""
    room_tokens: int
    """What a prompt may have: the context, less room for an answer."""
    leave_out: int
    """So many of the oldest turns, those already left out included, must not be sent; 0 where that does not help."""


class Conversation:
    """Turns that grow. A turn that failed leaves no trace; one that was stopped keeps what was said."""

    def __init__(
        self,
        session: Session,
        *,
        system: str | None = None,
        sampling: Sampling | None = None,
        max_tokens: int = 2048,
        stop: tuple[str, ...] = (),
    ) -> None:
        """Begin with nothing said but the system prompt, if there is one."""
        self.session = session
        self.system = system
        self.sampling = sampling or Sampling()
        self.max_tokens = max_tokens
        self._stop = stop
        self.turns: tuple[ChatMessage, ...] = ()
        """User and assistant in turn, without the system prompt."""
        self.left_out = 0
        """So many of the oldest turns are not sent any more."""

    def say(self, text: str, images: tuple[bytes, ...] = ()) -> Iterator[Event]:
        """Send a message and give the events of the answer. Raises EngineFailed; the message is then not kept."""
        asked = (*self.turns, ChatMessage("user", text, images=images))
        request = Generate(
            messages=self._sent(asked), max_tokens=self.max_tokens, sampling=self.sampling, stop=self._stop
        )
        pieces: list[str] = []
        thoughts: list[str] = []
        try:
            for event in self.session.generate(request):
                if isinstance(event, Text):
                    pieces.append(event.text)
                elif isinstance(event, Thinking):
                    thoughts.append(event.text)
                elif isinstance(event, Done):
                    self._keep(asked, pieces, thoughts)
                yield event
        except KeyboardInterrupt:
            self._keep(asked, pieces, thoughts)
            raise

    def overflow(self, text: str, images: tuple[bytes, ...] = ()) -> Overflow | None:
        """Whether the context holds this message with what was said before, and what would have to go if not."""
        context = self.session.loaded.context_tokens
        room = context - min(ANSWER_ROOM_TOKENS, context // 4)
        asked = (*self.turns, ChatMessage("user", text, images=images))
        tokens = self.session.count_conversation(self._sent(asked))
        if tokens <= room:
            return None

        def fits(count: int) -> bool:
            return self.session.count_conversation((*self._opening(), *asked[count:])) <= room

        counts = range(self.left_out + 2, len(self.turns) + 1, 2)
        fewest = bisect_left(counts, 1, key=fits)  # every count goes over the whole conversation: few of them
        return Overflow(tokens, room, counts[fewest] if fewest < len(counts) else 0)

    def stop(self) -> None:
        """Stop the answer under way, from any thread."""
        self.session.cancel()

    def forget(self) -> None:
        """Begin anew with the same model."""
        self.take(())

    def take(self, turns: tuple[ChatMessage, ...], *, left_out: int = 0) -> None:
        """Go on from these turns, as after going back to an earlier one."""
        self.turns = turns
        self.left_out = left_out

    @property
    def said(self) -> tuple[ChatMessage, ...]:
        """All that the model sees: the system prompt and the turns that are not left out."""
        return self._sent(self.turns)

    @property
    def images(self) -> tuple[bytes, ...]:
        """All that the model sees again with every message: those of the turns that are not left out."""
        return tuple(image for turn in self.turns[self.left_out :] for image in turn.images)

    def go_on_from(self, said: tuple[ChatMessage, ...]) -> None:
        """Take up what `said` gave in an earlier session."""
        self.system = said[0].content if said and said[0].role == "system" else None
        self.take(said[1:] if self.system else said)

    def continue_with(self, session: Session) -> None:
        """Go on with another engine, as after a crash or with another model. The turns stay."""
        self.session = session

    def _keep(self, asked: tuple[ChatMessage, ...], pieces: list[str], thoughts: list[str]) -> None:
        self.turns = (*asked, ChatMessage("assistant", "".join(pieces), "".join(thoughts)))

    def _sent(self, turns: tuple[ChatMessage, ...]) -> tuple[ChatMessage, ...]:
        return (*self._opening(), *turns[self.left_out :])

    def _opening(self) -> tuple[ChatMessage, ...]:
        return (ChatMessage("system", self.system),) if self.system else ()
