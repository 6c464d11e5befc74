"""The parent's side of the engine process: start it, ask it, survive it.

`Engine` is the seam: whatever opens a session of this shape can stand in for the real one.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

import msgspec

from deploy.engine.protocol import (
    Cancel,
    Channel,
    Done,
    Event,
    Failed,
    FrameTooLarge,
    Generate,
    Load,
    Loaded,
    Loading,
    LoadPlan,
    Ready,
    Rehearse,
    Rehearsed,
    Request,
    event_decoder,
)
from deploy.errors import EngineFailed

Wanted = TypeVar("Wanted", bound=Event)

START_LIMIT_S: Final = 60.0
"""A start takes a fifth of a second; a cold disk on a small board takes some seconds."""
CLOSE_LIMIT_S: Final = 1.0
STDERR_TAIL_BYTES: Final = 4096
SPIN_COUNT: Final = "300"
"""Turns that a thread waits at a barrier before it sleeps (GNU OpenMP). With the default of millions a thread that
waits for a core held by another program burns the core it has: 1.9 instead of 9.0 tokens a second (1.7B shape, two
cores, both busy), 3.5 instead of 51 (135M). On a quiet machine the short wait costs nothing that can be measured."""
PASSED_ON: Final = frozenset({"PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV"})
PASSED_ON_PREFIXES: Final = (
    "LC_",
    "DYLD_",
    "CUDA_",
    "HIP_",
    "ROCR_",
    "GGML_",
    "OMP_",
    "GOMP_",
    "COVERAGE_",
    "COV_CORE_",
)
"""What the engine may know of the user's environment. Tokens and proxies are not among it."""


class Session(Protocol):
    """A loaded model that answers."""

    ready: Ready
    loaded: Loaded

    def generate(self, request: Generate) -> Iterator[Event]:
        """Answer; the last event is Done. Raises EngineFailed when the request is refused or the process dies."""
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
        """Load a model. Raises EngineFailed."""
        ...

    def rehearse(self, files: Sequence[Path], plan: LoadPlan) -> Rehearsed:
        """Say what a load would take. Raises EngineFailed."""
        ...

    def describe(self) -> Ready:
        """Start, say what this engine is, and end. Raises EngineFailed."""
        ...


class LlamaEngine:
    """The real engine: every session is a process of its own."""

    def open(self, files: Sequence[Path], plan: LoadPlan, on_loading: Callable[[float], None]) -> "LlamaSession":
        """Start a process and load the model in it."""
        session = LlamaSession()
        try:
            session.load(tuple(str(file) for file in files), plan, on_loading)
        except BaseException:
            session.close()
            raise
        return session

    def rehearse(self, files: Sequence[Path], plan: LoadPlan) -> Rehearsed:
        """Ask a process of its own, since a bad file may abort it."""
        with LlamaSession() as session:
            return session.rehearse(tuple(str(file) for file in files), plan)

    def describe(self) -> Ready:
        """Start a process, hear its name and end it."""
        with LlamaSession() as session:
            return session.ready


class LlamaSession:
    """One engine process and the channel to it."""

    ready: Ready
    loaded: Loaded

    def __init__(self) -> None:
        """Start the process and wait until it is up."""
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the session
        ours, theirs = socket.socketpair()
        self._process = _start(theirs, self._complaints.fileno())
        theirs.close()
        self._channel = Channel(ours)
        self._sending = threading.Lock()
        self._doing = "started"
        ours.settimeout(START_LIMIT_S)
        try:
            self.ready = self._expect(Ready)
        except TimeoutError as error:
            self.close()
            raise EngineFailed(f"The engine process did not start within {START_LIMIT_S:.0f} s.") from error
        except BaseException:
            self.close()
            raise
        ours.settimeout(None)

    @property
    def process_id(self) -> int:
        """The engine's process, for those who look at it from outside."""
        return self._process.pid

    def load(self, paths: tuple[str, ...], plan: LoadPlan, on_loading: Callable[[float], None]) -> None:
        """Load a model, telling how far it has come (0 to 1)."""
        self._doing = "loaded the model"
        self._send(Load(paths=paths, plan=plan))
        while True:
            event = self._receive()
            if isinstance(event, Loading):
                on_loading(event.fraction)
            elif isinstance(event, Loaded):
                self.loaded = event
                return

    def rehearse(self, paths: tuple[str, ...], plan: LoadPlan) -> Rehearsed:
        """Ask what a load would take."""
        self._doing = "looked at the model"
        self._send(Rehearse(paths=paths, plan=plan))
        return self._expect(Rehearsed)

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
                    raise EngineFailed(event.message, hint=event.hint)
                yield event
        finally:
            if not over:
                self._abandon()

    def cancel(self) -> None:
        """Stop the answer under way."""
        with suppress(EngineFailed):
            self._send(Cancel())

    def close(self) -> None:
        """Close the channel, which ends the process; kill it if it does not end by itself."""
        self._channel.close()
        try:
            self._process.wait(CLOSE_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._complaints.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _abandon(self) -> None:
        if self._process.poll() is not None:
            return
        self.cancel()
        with suppress(EngineFailed):
            while not isinstance(self._receive_or_end(), (Done, Failed)):
                pass

    def _expect(self, kind: type[Wanted]) -> Wanted:
        event = self._receive()
        if not isinstance(event, kind):
            raise EngineFailed(f"The engine process answered out of turn ({type(event).__name__}).")
        return event

    def _send(self, request: Request) -> None:
        try:
            with self._sending:
                self._channel.send(request)
        except FrameTooLarge as error:
            raise EngineFailed("The request is too long for the engine.", hint="Shorten the prompt.") from error
        except OSError as error:
            raise self._death() from error

    def _receive(self) -> Event:
        event = self._receive_or_end()
        if isinstance(event, Failed):
            raise EngineFailed(event.message, hint=event.hint)
        return event

    def _receive_or_end(self) -> Event:
        try:
            event: Event = event_decoder.decode(self._channel.receive_raw())
        except EOFError as error:
            raise self._death() from error
        except msgspec.DecodeError as error:
            raise EngineFailed("The engine process sent something that is not understood.") from error
        return event

    def _death(self) -> EngineFailed:
        """Say how the process ended, from its status and its last words."""
        try:
            status = self._process.wait(CLOSE_LIMIT_S)
        except (subprocess.TimeoutExpired, ValueError):
            return EngineFailed("The engine process closed its channel without a word.")
        return _obituary(status, self._doing, self._last_words())

    def _last_words(self) -> str:
        if self._complaints.closed:
            return ""
        size = self._complaints.seek(0, os.SEEK_END)
        self._complaints.seek(max(0, size - STDERR_TAIL_BYTES))
        lines = self._complaints.read().decode("utf-8", "replace").strip().splitlines()
        telling = [line for line in lines if "GGML_ASSERT" in line or "error" in line.lower()]
        return (telling or lines or [""])[-1].strip()


def _obituary(status: int, doing: str, last_words: str) -> EngineFailed:
    if status == -signal.SIGKILL:
        return EngineFailed(
            f"The engine process was killed (SIGKILL) while it {doing}.",
            hint="Try again. If it happens again, memory is short: choose a smaller model or a shorter context.",
        )
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
    words = f": {last_words}" if last_words else ""
    return EngineFailed(
        f"The engine process ended by {how} while it {doing}{words}.",
        hint="Try again; if it happens again, try another model and report this one.",
    )


def _start(theirs: socket.socket, complaints: int) -> "subprocess.Popen[bytes]":
    """Start the worker away from the terminal: no standard streams, no signals meant for the parent."""
    command = [sys.executable, "-P", "-m", "deploy.engine.worker", str(theirs.fileno())]
    try:
        return subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            env=_environment(os.environ),
            start_new_session=True,
        )
    except OSError as error:
        raise EngineFailed(f"The engine process cannot be started: {error.strerror}.") from error


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value for name, value in environment.items() if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)
    }
    kept["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    kept["GGML_NO_BACKTRACE"] = "1"  # an abort would start a debugger
    kept.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    return kept
