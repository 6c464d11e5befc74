"""The app in a real terminal: nothing is printed behind it, and leaving is quick whatever goes on."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from deploy.errors import ExitCode

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 30.0
STYLE = re.compile(rb"\x1b\[([0-9;]*)m")
NO_COLOURS = frozenset(range(30))
"""Codes of a style that change no colour: 30 and above do, back to the terminal's own ones (39, 49) too."""


class Terminal:
    """A pseudo-terminal with the app in it. Standard output goes there, too, as in a shell."""

    def __init__(self, home: Path, does: str, **wishes: str) -> None:
        """Start the app; `wishes` go into its environment."""
        self.record = home / "record"
        self._master, slave = pty.openpty()
        os.set_blocking(self._master, False)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.tui.behind", str(home), str(self.record), does],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=ROOT,
            env={**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), "LINES": "24", "COLUMNS": "80"}
            | wishes,
        )
        os.close(slave)
        self.seen = b""

    def read_until(self, wanted: bytes) -> None:
        """Take what the app writes until this is among it."""
        deadline = time.monotonic() + LIMIT_S
        start = len(self.seen)
        while wanted not in self.seen[start:]:
            assert time.monotonic() < deadline, f"{wanted!r} never came"
            self._read(0.1)

    def read_to_the_end(self) -> None:
        """Take everything until the app is gone."""
        deadline = time.monotonic() + LIMIT_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "the app did not end"
            self._read(0.02)
        while self._read(0.1):
            pass

    def press(self, keys: bytes) -> None:
        """Send keys."""
        os.write(self._master, keys)

    def hang_up(self) -> None:
        """Close it without a word."""
        os.close(self._master)

    def _read(self, wait_s: float) -> bytes:
        ready, _, _ = select.select([self._master], [], [], wait_s)
        if not ready:
            return b""
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:
            return b""
        self.seen += data
        return data


def codes(seen: bytes) -> set[int]:
    """Every number in what sets the style of letters."""
    return {int(number or 0) for found in STYLE.findall(seen) for number in found.split(b";")}


def test_no_byte_comes_from_anything_but_the_screen(tmp_path: Path) -> None:
    """Install, load and a streaming answer: what the terminal got is what the driver wrote, byte for byte."""
    terminal = Terminal(tmp_path, "answers")
    terminal.read_until(b"Press Enter")
    terminal.press(b"\r")
    terminal.read_until(b"ready")
    terminal.press(b"Go.\r")
    terminal.read_until(b"writing")
    terminal.press(b"\x11")
    terminal.read_to_the_end()
    written = terminal.record.read_bytes()
    assert len(written) > 1000
    assert terminal.seen.replace(b"\r\n", b"\n") == written.replace(b"\r\n", b"\n")
    assert terminal.process.returncode == 0
    assert {38, 48} <= codes(terminal.seen)


def test_no_code_of_a_colour_goes_to_a_terminal_that_wants_none(tmp_path: Path) -> None:
    """NO_COLOR, through models, an answer, help and palette; bold and reversed letters say what matters."""
    terminal = Terminal(tmp_path, "answers", NO_COLOR="1")
    terminal.read_until(b"Press Enter")
    terminal.press(b"\r")
    terminal.read_until(b"ready")
    terminal.press(b"Go.\r")
    terminal.read_until(b"writing")
    for key, shown in ((b"\x1bOP", b"Back"), (b"\x1b", b"Attach"), (b"\x10", b"Search for")):
        terminal.press(key)
        terminal.read_until(shown)
    terminal.press(b"\x11")
    terminal.read_to_the_end()
    assert codes(terminal.seen) <= NO_COLOURS
    assert {1, 7} <= codes(terminal.seen)


@pytest.mark.parametrize(("does", "phase"), [("answers", b"writing"), ("loads", b"looking at the machine")])
def test_quitting_waits_for_nothing(tmp_path: Path, does: str, phase: bytes) -> None:
    """The process ends well while an answer comes, and while a load is stuck that never ends by itself."""
    terminal = Terminal(tmp_path, does)
    terminal.read_until(b"Press Enter")
    terminal.press(b"\r")
    if does == "answers":
        terminal.read_until(b"ready")
        terminal.press(b"Go.\r")
    terminal.read_until(phase)
    terminal.press(b"\x11")
    terminal.read_to_the_end()
    assert terminal.process.returncode == 0


def test_it_leaves_with_its_terminal(tmp_path: Path) -> None:
    """No signal comes to a program that the terminal does not control; it would wait for keys for ever."""
    terminal = Terminal(tmp_path, "answers")
    terminal.read_until(b"Press Enter")
    terminal.hang_up()
    assert terminal.process.wait(LIMIT_S) == ExitCode.INTERRUPTED


def test_importing_the_ui_brings_nothing_heavy() -> None:
    """The engine is never imported here; network, catalogue, commands and other places not before the first frame."""
    code = "import sys, tui.app, tui.screens.models, deploy.commands.context; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "textual" in loaded
    assert not loaded & {"llama_cpp", "huggingface_hub", "numpy", "pynvml", "pip", "markdown_it", "psutil", "jinja2"}
    ours = {name for name in loaded if name.startswith(("deploy.commands", "tui.screens", "deploy.catalog.loader"))}
    assert ours == {"deploy.commands", "deploy.commands.context", "tui.screens", "tui.screens.models"}
