"""The console command: as little as can be, so that Ctrl-C is heard while the rest is still being loaded."""

import signal
from types import FrameType
from typing import NoReturn


def main() -> int:
    """Load the command line and run it. An interrupt that comes before it can be told is kept until it can."""
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


def _interrupted() -> NoReturn:
    raise KeyboardInterrupt
