"""Bounds the time of foreign code that runs in the interpreter: a chat template may loop for ever."""

import ctypes
import math
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SPARE_S: Final = 1.0
"""Processor time beyond the limit, from which on no exception will come any more. The kernel counts whole seconds."""


class TookTooLong(Exception):
    """The code was still running when its time was over."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises TookTooLong inside the block when it runs longer.

    The exception comes between two steps of the interpreter: it ends loops of a template. A single operation that goes
    on, such as a power with millions of digits, lets nothing else in: the kernel then ends the process (SIGXCPU).
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
        with _bounded_by_the_kernel(seconds + SPARE_S):
            yield
    finally:
        with lock:
            over = True
        timer.cancel()


@contextmanager
def _bounded_by_the_kernel(seconds: float) -> Iterator[None]:
    """No more processor time for this process than so much from now on, until the block ends."""
    before, hard = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = math.ceil(time.process_time() + seconds)
    limits = [limit for limit in (wanted, before, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_CPU, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CPU, (before, hard))
