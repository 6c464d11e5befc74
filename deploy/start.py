"""The console command: as little as can be, so that Ctrl-C is heard while the rest is still being loaded."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn


def main() -> int:
    """Load the command line and run it. An interrupt that comes before it can be told is kept until it can."""
    _require_names()
    heard: list[int] = []

    def keep(number: int, _frame: FrameType | None) -> None:
        heard.append(number)

    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if not ignored:
        signal.signal(signal.SIGINT, keep)
    from deploy.cli import main as command_line
    from deploy.edge import guarded

    if not ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return guarded(_interrupted) if heard else command_line()


def _require_names() -> None:
    """Start anew where Python was told to know no more than ASCII: names of files and words have other letters too."""
    if sys.getfilesystemencoding() == "ascii":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - the same program


def _interrupted() -> NoReturn:
    raise KeyboardInterrupt
