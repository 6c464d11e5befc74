"""The two streams: data goes to standard output, talk goes to standard error. Progress is talk."""

import codecs
import io
import os
import re
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TextIO, cast

from deploy.engine.plain import plain
from deploy.quantities import amount
from deploy.results import Message, Problem
from deploy.sources.base import Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID
    from rich.table import Table

PLAIN_COLUMNS: Final = 100
_FILLING: Final = re.compile(r" +(?=\n)")
PLAIN_STEP_S: Final = 5.0
"""Without a terminal a long step says so, so often."""
PLAINER: Final = {"✓": "+", "✗": "x", "→": ">", "·": "-", "…": "...", "│": "|", "─": "-", "≥": ">"}
"""What stands for a mark where the character set of the terminal or of the file has none; for others a "?"."""


def open_streams() -> None:
    """Make the three streams fit to be used, whoever started this process with whatever.

    A closed one becomes the null device, or else the next file to be opened would get its number; so does a standard
    input that cannot be read, as nohup leaves it. A character set that lacks a mark gets a plainer one.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - kept to the end
    if _is_write_only(0):
        to_null_device(0, os.O_RDONLY)
    codecs.register_error("landfast.plainer", _plainer)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and (stream.errors != "surrogateescape" or stream.encoding != "utf-8"):
            stream.reconfigure(errors="landfast.plainer")


def to_null_device(descriptor: int, mode: int = os.O_WRONLY) -> None:
    """Have the null device in place of a file that is open and of no more use."""
    device = os.open(os.devnull, mode)
    os.dup2(device, descriptor)
    os.close(device)


def _is_write_only(descriptor: int) -> bool:
    if os.name == "nt":
        return False
    import fcntl

    return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY


def _plainer(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAINER.get(mark, "?") for mark in error.object[error.start : error.end]), error.end


def write_bytes(data: bytes) -> None:
    """Data for programs: as it is, whatever the character set of the terminal."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.flush()


def say(text: str) -> None:
    """One line of talk."""
    talk(f"{text}\n")


def talk(text: str) -> None:
    """Talk that need not be a whole line. Where nobody takes it, as on a full disk, the work continues in silence."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        to_null_device(sys.stderr.fileno())


def cut_short(ended: str) -> str:
    """What is added to an answer's figures where it did not end by itself."""
    return {"length": " · cut at --max-tokens", "context": " · the context is full", "cancelled": " · stopped"}.get(
        ended, ""
    )


def say_messages(messages: tuple[Message, ...]) -> None:
    """Warnings and notes of a result."""
    for message in messages:
        say(f"Note: {message.text}" if message.level == "info" else f"Warning: {message.text}")


def say_problem(problem: Problem) -> None:
    """An error: the cause, and on a line of its own the cure."""
    say(f"Error: {problem.message}")
    if problem.hint:
        say(f"  {problem.hint}")


def out() -> "Console":
    """Standard output, as wide as the terminal; 100 columns where there is none."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(highlight=False, markup=False, emoji=False)
    return Console(highlight=False, markup=False, emoji=False, width=PLAIN_COLUMNS, file=cast("TextIO", _Trimmed()))


def put(text: str, *, soft_wrap: bool = False) -> None:
    """A line of a result, without what would steer the terminal: names in it come out of other people's files."""
    out().print(plain(text), soft_wrap=soft_wrap)


def new_table(*columns: str, right: tuple[str, ...] = ()) -> "Table":
    """A table in the one style that all results have; those columns are set to the right."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in right else "left")
    return table


class _Trimmed:
    """Standard output without the spaces that fill a line up: in a file they are only in the way."""

    def __init__(self) -> None:
        """Be asked for a character set like the stream itself."""
        self.encoding = sys.stdout.encoding

    def write(self, text: str) -> int:
        """Pass it on."""
        sys.stdout.write(_FILLING.sub("", text))
        return len(text)

    def flush(self) -> None:
        """Pass it on."""
        sys.stdout.flush()


class Reporter:
    """Shows progress: a bar in a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        """Show nothing yet."""
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._text = ""
        self._said_at = 0.0

    def __call__(self, progress: Progress) -> None:
        """Take one report of a command."""
        if sys.stderr.isatty():
            self._show_bar(progress)
        else:
            self._say_line(progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.clear()

    def clear(self) -> None:
        """Take the bar away, so that text can follow."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
            self._task = None

    def _show_bar(self, progress: Progress) -> None:
        if progress.step == "note":
            self.clear()
            say(progress.text)
            return
        if self._bars is None:
            self._bars = _bars()
            self._bars.start()
        if self._task is None or progress.text != self._text:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._task = self._bars.add_task(progress.text, total=progress.total_bytes)
            self._text = progress.text
        self._bars.update(self._task, completed=progress.done_bytes, total=progress.total_bytes)

    def _say_line(self, progress: Progress) -> None:
        if progress.step == "note":
            say(progress.text)
            return
        now = time.monotonic()
        if progress.text != self._text:
            self._text = progress.text
            if progress.step == "download":
                say(f"{progress.text}{_amount(progress)}")
            self._said_at = now
        elif now - self._said_at >= PLAIN_STEP_S:
            self._said_at = now
            say(f"{progress.text}{_amount(progress)}{_share(progress)}")


def _amount(progress: Progress) -> str:
    return f", {amount(progress.total_bytes)}" if progress.total_bytes else ""


def _share(progress: Progress) -> str:
    return f": {progress.done_bytes * 100 // progress.total_bytes} %" if progress.total_bytes else ""


def _bars() -> "Bars":
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    return Bars(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
