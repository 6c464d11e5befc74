"""The parent's side of the engine process: start it, ask it, survive it."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from deploy.engine.attack_protocol import Attack, Attacked, Targets
from deploy.engine.base import Trial
from deploy.engine.files import HeldFiles, Projector
from deploy.engine.load_plan import LoadPlan
from deploy.engine.measure_protocol import Measure, Measured
from deploy.engine.plain import plain
from deploy.engine.process import EngineProcess
from deploy.engine.protocol import (
    Adapter,
    Cancel,
    ChatMessage,
    Count,
    Counted,
    Devices,
    Done,
    Embed,
    Embedded,
    Event,
    Failed,
    Generate,
    ListDevices,
    Load,
    Loaded,
    Loading,
    Ready,
    Rehearse,
    Rehearsed,
    Request,
    Start,
    Text,
    Thinking,
)
from deploy.engine.state_protocol import (
    BeginState,
    DescribeState,
    EndState,
    SaveState,
    StateDescribed,
    StateEnded,
    StatePiece,
    StateShape,
)
from deploy.engine.watch import HANG_LIMIT_S, LOOK_EVERY_S, Watch
from deploy.engine.wire import Channel, FrameTooLarge, event_decoder
from deploy.errors import EngineFailed
from profiles.machine import EngineDevice

Wanted = TypeVar("Wanted", bound=Event)


@dataclass(frozen=True, slots=True)
class LlamaEngine:
    """The real engine: every session is a process of its own, sealed unless its owner says otherwise."""

    unsealed: bool = False
    """Whether an administrator allowed it to run without the seal, and the user asked for that."""
    audit: bool = False
    landlock_abi_at_most: int | None = None
    hang_limit_s: float = HANG_LIMIT_S
    adapters: tuple[Adapter, ...] = ()
    projector: Projector | None = None

    def open(self, files: Sequence[Path], plan: LoadPlan, on_loading: Callable[[float], None]) -> "LlamaSession":
        """Start a process that sees nothing but these files, and load the model in it."""
        beside: list[Adapter | Projector] = [*self.adapters, *([self.projector] if self.projector else [])]
        with HeldFiles([*files, *(Path(one.path) for one in beside)]) as held:
            for number, one in enumerate(beside, len(files)):
                if one.sha256:
                    held.require_hash(number, one.sha256)
            session = LlamaSession(self._start(held, plan), held, hang_limit_s=self.hang_limit_s)
            try:
                session.load(self._request(plan, held.names, len(files)), on_loading)
                held.require_unchanged()
            except BaseException:
                session.close()
                raise
        return session

    def rehearse(self, files: Sequence[Path], plan: LoadPlan) -> Rehearsed:
        """Ask a process of its own, since a bad file may abort it."""
        with HeldFiles(files) as held, LlamaSession(self._start(held, plan), held) as session:
            return session.rehearse(held.names, plan)

    def measure(self, trials: Sequence[Trial]) -> Generator[Measured, None, None]:
        """Let a process of its own see the models and nothing else."""
        with HeldFiles([trial.file for trial in trials]) as held:
            gpu = next((trial.plan for trial in trials if trial.plan.gpu_layers), LoadPlan(context_tokens=0))
            with LlamaSession(self._start(held, gpu), held) as session:
                for name, trial in zip(held.names, trials, strict=True):
                    yield session.measure(Measure(paths=(name,), plan=trial.plan, steps=trial.steps))

    def describe(self) -> Ready:
        """Start a process, hear its name and end it."""
        with self.start() as session:
            return session.ready

    def with_adapters(self, adapters: Sequence[Adapter], projector: Projector | None = None) -> "LlamaEngine":
        """The same engine with them; without a projector it keeps the one that it has."""
        return replace(self, adapters=tuple(adapters), projector=projector or self.projector)

    def _request(self, plan: LoadPlan, names: Sequence[str], parts: int) -> Load:
        """To load all under the names by which the engine process opens them."""
        last = parts + len(self.adapters)
        scaled = zip(names[parts:last], self.adapters, strict=True)
        adapters = tuple(Adapter(path=name, scale=adapter.scale) for name, adapter in scaled)
        projector = names[last] if self.projector else None
        return Load(paths=tuple(names[:parts]), plan=plan, adapters=adapters, projector=projector)

    def devices(self) -> tuple[EngineDevice, ...]:
        """Start a process that may open graphics devices, hear what it finds, and end it. Raises EngineFailed."""
        with LlamaSession(Start(gpu=True, unsealed=self.unsealed)) as session:
            return session.devices()

    def start(self, files: Sequence[Path] = ()) -> "LlamaSession":
        """Start a process that holds these files and has loaded nothing."""
        with HeldFiles(files) as held:
            return LlamaSession(self._start(held, LoadPlan(context_tokens=0)), held)

    def _start(self, held: HeldFiles, plan: LoadPlan) -> Start:
        if not self.unsealed:
            held.require_readable()
        return Start(
            files=held.descriptors,
            paths=held.names,
            gpu=plan.gpu_layers != 0,
            sees=self.projector is not None,
            data_limit_bytes=plan.data_limit_bytes,
            unsealed=self.unsealed,
            audit=self.audit,
            landlock_abi_at_most=self.landlock_abi_at_most,
        )


class LlamaSession:
    """One engine process and the channel to it."""

    ready: Ready
    loaded: Loaded

    def __init__(
        self, start: Start | None = None, held: HeldFiles | None = None, *, hang_limit_s: float = HANG_LIMIT_S
    ) -> None:
        """Start the process, which seals itself, and wait until it is up; without files it can load nothing."""
        start, held = start or Start(), held or HeldFiles(())
        self._process = EngineProcess(start)
        self._channel = Channel(self._process.connection, hang_limit_s)
        self._named = held.named
        self._hang_limit_s = hang_limit_s
        self._sending = threading.Lock()
        self._doing = "started"
        try:
            self.ready = self._expect(Ready)
        except BaseException:
            self.close()
            raise

    @property
    def process_id(self) -> int:
        """The engine's process, for those who look at it from outside."""
        return self._process.id

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.ended

    def load(self, request: Load, on_loading: Callable[[float], None]) -> None:
        """Load a model, telling how far it has come (0 to 1)."""
        self._doing = "loaded the model"
        self._send(request)
        while True:
            event = self._receive()
            if isinstance(event, Loading):
                on_loading(event.fraction)
            elif isinstance(event, Loaded):
                self.loaded = event
                return

    def rehearse(self, paths: tuple[str, ...], plan: LoadPlan) -> Rehearsed:
        """Ask what a load would take."""
        return self._ask("looked at the model", Rehearse(paths=paths, plan=plan), Rehearsed)

    def measure(self, request: Measure) -> Measured:
        """Time steps on a model."""
        return self._ask("measured its speed", request, Measured)

    def generate(self, request: Generate) -> Iterator[Event]:
        """Answer; an iterator that is dropped early cancels and reads to the end."""
        self._doing = "answered"
        self._send(request)
        over = False
        try:
            while not over:
                event = self._receive_or_end()
                over = isinstance(event, (Done, Failed))
                if isinstance(event, Failed):
                    raise self._refusal(event)
                yield event
        finally:
            if not over:
                self._abandon()

    def count(self, text: str) -> int:
        """How many tokens a text has."""
        return self._ask("counted tokens", Count(text=text), Counted).tokens

    def count_conversation(self, messages: Sequence[ChatMessage]) -> int:
        """How many tokens a conversation has."""
        return self._ask("counted tokens", Count(messages=tuple(messages)), Counted).tokens

    def embed(self, texts: Sequence[str]) -> Embedded:
        """One vector for each text."""
        return self._ask("made vectors", Embed(tuple(texts)), Embedded)

    def describe_state(self) -> StateShape:
        """What a copy of the session's state would be."""
        return self._ask("looked at its state", DescribeState(), StateDescribed).shape

    def save_state(self, shape: StateShape) -> Iterator[bytes]:
        """The state that was described, piece by piece; what nobody takes is read and thrown away."""
        self._doing = "handed over its state"
        self._send(SaveState())
        sizes = iter(shape.pieces_bytes)
        try:
            for _ in sizes:
                yield self._expect(StatePiece).data
        except (GeneratorExit, KeyboardInterrupt):
            for _ in sizes:
                self._expect(StatePiece)
            raise

    def restore_state(self, shape: StateShape, pieces: Iterator[bytes]) -> None:
        """Hand over a state that an earlier session saved. Raises what `pieces` raises; memory is then as before."""
        self._doing = "took over a kept state"
        self._send(BeginState(shape))
        whole = False
        try:
            for piece in pieces:
                self._send(StatePiece(piece))
            whole = True
        finally:
            self._send(EndState(whole))
            self._expect(StateEnded)

    def devices(self) -> tuple[EngineDevice, ...]:
        """Ask which devices the engine can compute on."""
        return self._ask("looked for devices", ListDevices(), Devices).devices

    def attack(self, targets: Targets, *, while_loading: bool = False) -> Attacked:
        """Have the process attack its own seal; it obeys when it was started for an audit."""
        return self._ask("attacked its seal", Attack(targets, while_loading), Attacked)

    def cancel(self) -> None:
        """Stop the answer under way."""
        with suppress(EngineFailed):
            self._send(Cancel())

    def close(self) -> None:
        """Close the channel, which ends the process; kill it if it does not end by itself."""
        self._channel.close()
        self._process.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _abandon(self) -> None:
        if self._process.ended:
            return
        self.cancel()
        try:
            with suppress(EngineFailed):
                while not isinstance(self._receive_or_end(), (Done, Failed)):
                    pass
        except BaseException:  # stopped again meanwhile: what still comes would be taken for the next answer
            self._process.kill()
            raise

    def _ask(self, doing: str, request: Request, kind: type[Wanted]) -> Wanted:
        """Send a request that has one answer, and wait for it; `doing` is said where the process dies of it."""
        self._doing = doing
        self._send(request)
        return self._expect(kind)

    def _expect(self, kind: type[Wanted]) -> Wanted:
        event = self._receive()
        if not isinstance(event, kind):
            raise EngineFailed(
                f"The engine process answered out of turn ({type(event).__name__}).",
                hint="Try again; if it happens again, please report it.",
            )
        return event

    def _send(self, request: Request) -> None:
        try:
            with self._sending:
                self._channel.send(request)
        except FrameTooLarge as error:
            raise EngineFailed("The request is too long for the engine.", hint="Shorten the prompt.") from error
        except UnicodeEncodeError as error:
            raise EngineFailed("The text is not UTF-8.", hint="Convert it first, such as with iconv.") from error
        except BlockingIOError as error:  # it has not read for as long as the socket's own limit
            raise self._hung() from error
        except OSError as error:
            raise self._process.death(self._doing) from error

    def _receive(self) -> Event:
        event = self._receive_or_end()
        if isinstance(event, Failed):
            raise self._refusal(event)
        return event

    def _refusal(self, event: Failed) -> EngineFailed:
        return EngineFailed(plain(self._named(event.message)), hint=plain(event.hint))

    def _receive_or_end(self) -> Event:
        try:
            event: Event = event_decoder.decode(self._next_frame())
        except EOFError as error:
            raise self._process.death(self._doing) from error
        except msgspec.DecodeError as error:
            raise EngineFailed(
                "The engine process sent something that cannot be understood.",
                hint="Try again; if it happens again, please report it.",
            ) from error
        return type(event)(plain(event.text)) if isinstance(event, (Text, Thinking)) else event

    def _next_frame(self) -> bytes:
        """Wait for as long as the process works. Raises EngineFailed when it hangs."""
        watch = Watch(self.process_id)
        while True:
            try:
                return self._channel.receive_raw(min(LOOK_EVERY_S, self._hang_limit_s))
            except TimeoutError:
                if watch.idle_s() >= self._hang_limit_s:
                    raise self._hung() from None

    def _hung(self) -> EngineFailed:
        self._process.kill()
        return EngineFailed(
            f"The engine process did nothing for {self._hang_limit_s:.0f} s while it {self._doing}; it was ended.",
            hint="Try again. If it happens again, check the disk that holds the model.",
        )
