"""A conversation with a loaded model: the turns, kept in memory and nowhere else."""

from collections.abc import Iterator

from deploy.engine.client import Session
from deploy.engine.protocol import ChatMessage, Done, Event, Generate, Sampling, Text


class Conversation:
    """Turns that grow. A turn that failed leaves no trace; one that was stopped keeps what was said."""

    def __init__(
        self, session: Session, *, system: str | None = None, sampling: Sampling | None = None, max_tokens: int = 2048
    ) -> None:
        """Begin with nothing said but the system prompt, if there is one."""
        self.session = session
        self._system = system
        self._sampling = sampling or Sampling()
        self._max_tokens = max_tokens
        self.turns: tuple[ChatMessage, ...] = ()
        """User and assistant in turn, without the system prompt."""

    def say(self, text: str) -> Iterator[Event]:
        """Send a message and give the events of the answer. Raises EngineFailed; the message is then not kept."""
        asked = (*self.turns, ChatMessage("user", text))
        request = Generate(messages=(*self._opening(), *asked), max_tokens=self._max_tokens, sampling=self._sampling)
        pieces: list[str] = []
        try:
            for event in self.session.generate(request):
                if isinstance(event, Text):
                    pieces.append(event.text)
                elif isinstance(event, Done):
                    self._keep(asked, pieces)
                yield event
        except KeyboardInterrupt:
            self._keep(asked, pieces)
            raise

    def stop(self) -> None:
        """Stop the answer under way, from any thread."""
        self.session.cancel()

    def forget(self) -> None:
        """Begin anew with the same model."""
        self.turns = ()

    def continue_with(self, session: Session) -> None:
        """Go on with another engine, as after a crash or with another model. The turns stay."""
        self.session = session

    def _keep(self, asked: tuple[ChatMessage, ...], pieces: list[str]) -> None:
        self.turns = (*asked, ChatMessage("assistant", "".join(pieces)))

    def _opening(self) -> tuple[ChatMessage, ...]:
        return (ChatMessage("system", self._system),) if self._system else ()
