"""Notices when the terminal is gone: a program that it does not control is not told so by a signal."""

import select
import sys


def terminal() -> int | None:
    """The descriptor of the terminal that is read from; None where there is none, or where none can be watched."""
    if sys.platform == "win32" or sys.stdin is None or not sys.stdin.isatty():
        return None
    return sys.stdin.fileno()


def is_gone(descriptor: int) -> bool:
    """Whether a terminal was closed at its other end."""
    asked = select.poll()
    asked.register(descriptor, select.POLLIN)
    gone = select.POLLHUP | select.POLLERR | select.POLLNVAL
    return any(seen & gone for _, seen in asked.poll(0))
