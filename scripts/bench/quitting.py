"""Seconds from the keys that quit to the end of the program and of its engine, while a model loads and while it writes.

    python -m scripts.bench.quitting MODEL.gguf ...

Over a pseudo-terminal, as a user has it. Every load begins with the file out of the page cache, so that there is
something to quit from.
"""

import fcntl
import os
import pty
import re
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from scripts.bench.report import table, write_section

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAM: Final = "import sys; sys.argv[0] = 'landfast'; from deploy.cli import main; sys.exit(main())"
QUESTION: Final = "Write a long story about the sea, with many chapters."
CTRL_C: Final = b"\x03"
CTRL_Q: Final = b"\x11"
CHAT: Final = b"\x1bOR"
"""F3 in the interface: a chat with the best model that is installed, which is the only one."""
BETWEEN_KEYS_S: Final = 0.1
LIMIT_S: Final = 60.0
RUNS: Final = 5


class Case(NamedTuple):
    """One way to leave, at one moment."""

    where: str
    words: tuple[str, ...]
    before: tuple[tuple[bytes, bytes], ...]
    """What is waited for, and the keys that are pressed then."""
    moment: bytes
    """What is on the screen when the user quits, as a pattern; empty: as soon as the engine's process is there."""
    when: str
    keys: tuple[bytes, ...]
    named: str


LOADING: Final = b""
AFTER_THE_QUESTION: Final = rb"chapters\.\r\n[^W][\s\S]{20}"
AFTER_THE_BAR: Final = rb"\x1b\[2K(?!load)[^\x1b]{20}"
"""Some letters of an answer, whatever they are: files of full size with random weights write no words."""
IN_CHAT: Final = ((b"installed", CHAT),)
ASKED: Final = (*IN_CHAT, (b"ready", QUESTION.encode() + b"\r"))
CASES: Final = (
    Case("interface", (), IN_CHAT, LOADING, "loads", (CTRL_Q,), "Ctrl-Q"),
    Case("interface", (), ASKED, b"writing", "writes", (CTRL_Q,), "Ctrl-Q"),
    Case(
        "`landfast chat`",
        ("chat",),
        ((b"You: ", QUESTION.encode() + b"\r"),),
        AFTER_THE_QUESTION,
        "writes",
        (CTRL_C, CTRL_C),
        "Ctrl-C twice",
    ),
    Case("`landfast run`", ("run", QUESTION), (), LOADING, "loads", (CTRL_C,), "Ctrl-C"),
    Case("`landfast run`", ("run", QUESTION), (), AFTER_THE_BAR, "writes", (CTRL_C,), "Ctrl-C"),
)


class Terminal:
    """A pseudo-terminal with the program in it."""

    def __init__(self, home: str, words: Sequence[str]) -> None:
        """Start it."""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.process = psutil.Popen(
            [sys.executable, "-c", PROGRAM, *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(home),
            cwd=ROOT,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)

    def press(self, keys: bytes) -> None:
        """Send keys."""
        os.write(self._master, keys)

    def read_until(self, wanted: bytes) -> None:
        """Take what it writes until this pattern came. Raises SystemExit where it does not."""
        seen, deadline = b"", time.perf_counter() + LIMIT_S
        while not re.search(wanted, seen):
            if time.perf_counter() > deadline or self.process.poll() is not None:
                raise SystemExit(f"{wanted!r} never came: {seen[-2000:]!r}")
            seen += self.read(0.005)

    def read(self, wait_s: float) -> bytes:
        """What it writes now."""
        ready, _, _ = select.select([self._master], [], [], wait_s)
        try:
            return os.read(self._master, 1 << 16) if ready else b""
        except OSError:  # it has gone
            time.sleep(wait_s)
            return b""

    def close(self) -> None:
        """Give the terminal back."""
        os.close(self._master)


def environment(home: str) -> dict[str, str]:
    """A home with one model, and no source that answers slowly."""
    nowhere = "http://127.0.0.1:9"
    shut = {"HF_ENDPOINT": nowhere, "PIP_INDEX_URL": nowhere, "PIP_RETRIES": "0", "NO_PROXY": "127.0.0.1"}
    return {**os.environ, **shut, "TERM": "xterm-256color", "LANDFAST_HOME": home}


def take(case: Case, home: str) -> tuple[float, float]:
    """Quit once: seconds until the program has ended, and until nothing of it is left."""
    forget(home)
    terminal = Terminal(home, case.words)
    for wanted, keys in case.before:
        terminal.read_until(wanted)
        terminal.press(keys)
    if case.moment:
        terminal.read_until(case.moment)
    else:
        _when(lambda: bool(terminal.process.children(recursive=True)), terminal)
    engines = terminal.process.children(recursive=True)
    began_s = time.perf_counter()
    terminal.press(case.keys[0])
    for number, key in enumerate(case.keys[1:], 1):
        _wait_until(began_s + number * BETWEEN_KEYS_S, terminal)
        with suppress(OSError):  # it may be gone already
            terminal.press(key)
    ended_s = _when(lambda: terminal.process.poll() is not None, terminal) - began_s
    gone_s = _when(lambda: not any(engine.is_running() for engine in engines), terminal) - began_s
    terminal.close()
    return ended_s, gone_s


def _wait_until(due_s: float, terminal: Terminal) -> None:
    _when(lambda: time.perf_counter() >= due_s, terminal)


def forget(home: str) -> None:
    """Have the system drop what it keeps of the model's file in memory."""
    for path in Path(home).rglob("*"):
        if path.is_file() and path.stat().st_size > 1 << 20:
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _when(happened: Callable[[], bool], terminal: Terminal) -> float:
    deadline = time.perf_counter() + LIMIT_S
    while not happened():
        if time.perf_counter() > deadline:
            raise SystemExit("It does not end.")
        terminal.read(0.005)
    return time.perf_counter()


def measure(model: Path) -> list[list[str]]:
    """All cases with one model, as rows."""
    with tempfile.TemporaryDirectory() as home:
        words = [sys.executable, "-c", PROGRAM, "install", str(model), "--yes"]
        subprocess.run(words, env=environment(home), cwd=ROOT, check=True, capture_output=True)
        rows = []
        for case in CASES:
            taken = [take(case, home) for _ in range(RUNS)]
            ended, gone = ([times[part] for times in taken] for part in (0, 1))
            figures = [f"{value:.2f}" for value in (statistics.median(ended), max(ended), max(gone))]
            rows.append([f"{model.stat().st_size / 1e9:.1f} GB", case.where, case.when, case.named, *figures])
            print(*rows[-1], flush=True)
    return rows


def main(models: Sequence[str]) -> None:
    """Measure with every file, and write the section."""
    rows = [row for model in models for row in measure(Path(model))]
    header = ("Model", "In", "While it", "Keys", "Ended: median, s", "Longest, s", "Engine gone: longest, s")
    intro = (
        f"`python -m scripts.bench.quitting MODEL.gguf ...`: from the first key to the end of the process, and to the "
        f"end of the last process of its engine, over a pseudo-terminal; {RUNS} runs each, with the model's file out "
        f"of the page cache at the start. Two keys come {BETWEEN_KEYS_S:g} s apart."
    )
    write_section("quitting", f"## Quitting\n\n{intro}\n\n{table(header, rows)}")


if __name__ == "__main__":
    main(sys.argv[1:])
