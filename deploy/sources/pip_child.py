"""Runs pip as a child process: its progress becomes numbers, its talk is kept, and it never outlives the caller."""

import contextlib
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Final

import msgspec

HEARTBEAT_S: Final = 0.25
"""The longest silence between two calls of `on_bytes`, so that a caller can stop a download that stalls."""
GRACE_S: Final = 3.0
"""How long pip may take to end when asked to."""
KEPT_LINES: Final = 200

PROGRESS: Final = re.compile(r"Progress (\d+) of \d+")
COMPLAINT: Final = re.compile(r"\s*(?:ERROR:|\u00d7)\s*(.+)")
BROKEN: Final = re.compile(r"""after connection broken by '\w+\("?(?:.+?\): )?(.+?)"?\)':""")
CREDENTIALS: Final = re.compile(r"//[^/\s@]+@")

QUIRKS: Final = {
    "PIP_QUIET": "0",
    "PIP_VERBOSE": "0",
    "PIP_REQUIRE_VIRTUALENV": "0",
    "PIP_NO_COLOR": "1",
    "PYTHONUTF8": "1",
    "PYTHONUNBUFFERED": "1",
    "COLUMNS": "1000",
}
"""Settings of the user that would hide progress, break lines or refuse a download that installs nothing."""


class PipOutcome(msgspec.Struct, frozen=True):
    """How pip ended and what it said, without its progress lines."""

    status: int
    talk: tuple[str, ...]

    def mentions(self, *texts: str) -> bool:
        """Whether any line holds any of the texts."""
        return any(text in line for line in self.talk for text in texts)

    @property
    def broken_connection(self) -> str | None:
        """The network fault that pip last retried after, or None."""
        return next((found[1] for line in reversed(self.talk) if (found := BROKEN.search(line))), None)

    @property
    def last_word(self) -> str:
        """The last line that says what went wrong."""
        complaint = next((found[1] for line in reversed(self.talk) if (found := COMPLAINT.match(line))), None)
        return complaint or next((line.strip() for line in reversed(self.talk) if line.strip()), "pip said nothing")


def run_pip(
    arguments: Sequence[str], environment: Mapping[str, str], scratch: Path, on_bytes: Callable[[int], None]
) -> PipOutcome:
    """Run `pip ARGUMENTS` and wait for it. `on_bytes` hears how much of the current file has come.

    pip's temporary files go into `scratch`: the system's own folder for them is often memory. Python is told
    not to look for modules in the working directory, which stays the caller's: relative paths among the user's
    settings mean what they say. When anything is raised here, in `on_bytes` included, pip
    is ended first.
    """
    command = [sys.executable, "-P", "-m", "pip", *arguments]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**environment, **QUIRKS, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)},
        encoding="utf-8",
        errors="replace",
    )
    lines: Queue[str | None] = Queue()
    reader = Thread(target=_pump, args=(process.stdout, lines), daemon=True, name="landfast-pip")
    try:
        reader.start()
        talk = _listen(lines, on_bytes)
        return PipOutcome(process.wait(), talk)
    finally:
        _end(process, reader)


def _pump(stream: Iterable[str], lines: "Queue[str | None]") -> None:
    for line in stream:
        lines.put(line.rstrip())
    lines.put(None)


def _listen(lines: "Queue[str | None]", on_bytes: Callable[[int], None]) -> tuple[str, ...]:
    """Follow pip's output until it closes it."""
    talk: deque[str] = deque(maxlen=KEPT_LINES)
    done_bytes = 0
    while True:
        try:
            line = lines.get(timeout=HEARTBEAT_S)
        except Empty:
            on_bytes(done_bytes)
            continue
        if line is None:
            return tuple(talk)
        if progress := PROGRESS.fullmatch(line):
            done_bytes = int(progress[1])
            on_bytes(done_bytes)
        else:
            talk.append(CREDENTIALS.sub("//***@", line))


def _end(process: "subprocess.Popen[str]", reader: Thread) -> None:
    """Leave no pip behind: ask, then force; both do nothing to a process that has ended."""
    process.terminate()
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    finally:
        process.kill()
        process.wait()
        reader.join(GRACE_S)
        if process.stdout is not None and not reader.is_alive():
            process.stdout.close()
