"""The engine process as the parent holds it: how it is started, how it ends, and what it said last."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from deploy.engine.plain import plain
from deploy.engine.protocol import Start
from deploy.errors import EngineFailed

CLOSE_LIMIT_S: Final = 1.0
WORDS_BYTES: Final = 64 << 10
"""What a pipe holds: an engine that complains more is not listened to, and does not wait."""
SPIN_COUNT: Final = "300000"
"""Turns that a thread waits at a barrier before it sleeps (GNU OpenMP's own default): about five milliseconds. Waking
one costs more than drawing and sending a token: with 300 turns a quiet machine writes 5 to 7 % slower, with 30,000 2 %
(1.7B shape, two threads). The price is that a thread which waits for a core held by another program burns the core it
has: a step of that shape then takes some seconds. So the engine gives up threads when others take their cores
(deploy.engine.crew), and begins a step anew that got stuck."""
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
)
"""What the engine may know of the user's environment. Tokens and proxies are not among it."""
LEFT_OUT: Final = frozenset({"OMP_PROC_BIND", "OMP_PLACES", "OMP_STACKSIZE", "GOMP_CPU_AFFINITY", "GOMP_STACKSIZE"})
"""Threads that bind themselves to cores need a call that the seal forbids, and large stacks count as its memory."""
CAUSES: Final = {
    "SIGKILL": (
        "The engine process was killed (SIGKILL) while it {doing}.",
        "Try again. If it happens again, memory is short: choose a smaller model or a shorter context.",
    ),
    "SIGBUS": (
        "The engine process ended by signal SIGBUS while it {doing}: its file became shorter, or the disk failed.",
        "Run `landfast models verify`, then try again.",
    ),
    "SIGXCPU": (
        "The engine ran out of processor time while it {doing}: the chat template has no end, or a limit was met.",
        "Choose another model, or raise the limit of this system (ulimit -t).",
    ),
}
"""By the name of the signal: not every system has all of them."""

START_HINT: Final = f"Check that this user may run {sys.executable} and start one more process (ulimit -u)."

_BUILD_FOLDER: Final = re.compile(r"^\S*/(?=[^/\s]+:\d+: )")
"""Where the engine was compiled: of no use to anybody."""


class EngineProcess:
    """A worker away from the terminal: no standard streams, no signals meant for the parent, no file to write to."""

    def __init__(self, start: Start) -> None:
        """Start it with the model's descriptors and one end of a pair of sockets. Raises EngineFailed."""
        if sys.platform == "win32":
            raise EngineFailed("The engine cannot run on Windows yet.", hint="Run Landfast in WSL 2.")
        self.connection, theirs = socket.socketpair()
        self._words, complaints = os.pipe()
        os.set_blocking(self._words, False)
        os.set_blocking(complaints, False)
        try:
            self._process = _popen(theirs.fileno(), complaints, start)
        except OSError as error:
            self.connection.close()
            os.close(self._words)
            raise EngineFailed(f"The engine process cannot be started: {error.strerror}.", hint=START_HINT) from error
        finally:
            theirs.close()
            os.close(complaints)

    @property
    def id(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._process.poll() is not None

    def end(self) -> None:
        """Wait for the end that follows its channel's, and kill it if that does not come. May be called twice."""
        try:
            self._process.wait(CLOSE_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        if self._words >= 0:
            os.close(self._words)
            self._words = -1

    def kill(self) -> None:
        """End it now."""
        self._process.kill()
        self._process.wait()

    def death(self, doing: str) -> EngineFailed:
        """Say how it ended while it was `doing` something, from its status and its last words."""
        try:
            status = self._process.wait(CLOSE_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return EngineFailed(
                f"The engine process closed its channel without a word while it {doing}.",
                hint="Try again; if it happens again, please report it.",
            )
        return _obituary(status, doing, self._last_words())

    def _last_words(self) -> str:
        words = b""
        with suppress(OSError):  # closed, or nothing was said
            words = os.read(self._words, WORDS_BYTES)
        lines = words.decode("utf-8", "replace").strip().splitlines()
        telling = [line for line in lines if "GGML_ASSERT" in line or "error" in line.lower()]
        return plain(_BUILD_FOLDER.sub("", (telling or lines or [""])[-1].strip()))


def _obituary(status: int, doing: str, last_words: str) -> EngineFailed:
    name = signal.Signals(-status).name if status < 0 else ""
    if name in CAUSES:
        message, hint = CAUSES[name]
        return EngineFailed(message.format(doing=doing), hint=hint)
    how = f"signal {name}" if name else f"status {status}"
    words = f": {last_words}" if last_words else ""
    return EngineFailed(
        f"The engine process ended by {how} while it {doing}{words}.",
        hint="Try again; if it happens again, try another model and report this one.",
    )


def _popen(connection: int, complaints: int, start: Start) -> "subprocess.Popen[bytes]":
    settings = msgspec.json.encode(start).decode()
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "deploy.engine.worker", str(connection), settings],
        pass_fds=[connection, *start.files],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=complaints,
        env=_environment(os.environ),
        start_new_session=True,
    )


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in environment.items()
        if name in PASSED_ON or (name.startswith(PASSED_ON_PREFIXES) and name not in LEFT_OUT)
    }
    kept["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    kept["GGML_NO_BACKTRACE"] = "1"  # an abort would start a debugger
    kept.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    return kept
