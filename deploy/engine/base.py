"""What every engine does: the seam. Whatever opens sessions of this shape can stand in for the real engine."""

from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from deploy.engine.files import Projector
from deploy.engine.load_plan import LoadPlan
from deploy.engine.measure_protocol import Measured, Step
from deploy.engine.protocol import Adapter, ChatMessage, Embedded, Event, Generate, Loaded, Ready, Rehearsed
from deploy.engine.state_protocol import StateShape


class Trial(NamedTuple):
    """A model file, how it is loaded for a measurement, and what is timed on it."""

    file: Path
    plan: LoadPlan
    steps: tuple[Step, ...]


class Session(Protocol):
    """A loaded model that answers."""

    ready: Ready
    loaded: Loaded

    @property
    def ended(self) -> bool:
        """Whether the engine is gone, so that another session is needed."""
        ...

    def generate(self, request: Generate) -> Iterator[Event]:
        """Answer; the last event is Done. Raises EngineFailed when the request is refused or the process dies."""
        ...

    def count(self, text: str) -> int:
        """How many tokens a text has. Raises EngineFailed."""
        ...

    def count_conversation(self, messages: Sequence[ChatMessage]) -> int:
        """How many tokens a conversation has, with all that the model's template adds. Raises EngineFailed."""
        ...

    def embed(self, texts: Sequence[str]) -> Embedded:
        """One vector for each text. Raises EngineFailed."""
        ...

    def describe_state(self) -> StateShape:
        """What a copy of all that is in memory would be. Raises EngineFailed where there is nothing."""
        ...

    def save_state(self, shape: StateShape) -> Iterator[bytes]:
        """The copy that was described, piece by piece. Raises EngineFailed."""
        ...

    def restore_state(self, shape: StateShape, pieces: Iterator[bytes]) -> None:
        """Take over a copy. Raises EngineFailed where it cannot be, and what `pieces` raises."""
        ...

    def cancel(self) -> None:
        """Stop the answer under way, from any thread; its last event is still Done."""
        ...

    def close(self) -> None:
        """End the process and give back its memory. May be called twice."""
        ...


class Engine(Protocol):
    """Something that can open sessions."""

    def open(self, files: Sequence[Path], plan: LoadPlan, on_loading: Callable[[float], None]) -> Session:
        """Load a model. Raises EngineFailed, and IntegrityError when a file changed meanwhile."""
        ...

    def rehearse(self, files: Sequence[Path], plan: LoadPlan) -> Rehearsed:
        """Say what a load would take. Raises EngineFailed."""
        ...

    def measure(self, trials: Sequence[Trial]) -> Generator[Measured, None, None]:
        """Time the engine on models, one after the other in one process. Raises EngineFailed."""
        ...

    def describe(self) -> Ready:
        """Start, say what this engine is, and end. Raises EngineFailed."""
        ...

    def with_adapters(self, adapters: Sequence[Adapter], projector: Projector | None = None) -> "Engine":
        """This engine, which opens every model with these adapters and this projector, or the one that it has."""
        ...
