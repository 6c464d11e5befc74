"""Bounds the time of foreign code that runs in the interpreter: a chat template may loop for ever."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class TookTooLong(Exception):
    """The code was still running when its time was over."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises TookTooLong inside the block when it runs longer.

    The exception comes between two steps of the interpreter: it ends loops of a template, but no single operation.
    """
    lock = threading.Lock()
    over = False
    thread = threading.get_ident()

    def stop() -> None:
        with lock:
            if not over:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(TookTooLong))

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            over = True
        timer.cancel()
