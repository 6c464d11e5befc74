"""Holds a transfer to a rate: who is told of progress only slowly, asks for more only slowly."""

import time
from collections.abc import Callable
from typing import Final

from deploy.sources.base import Progress, Report

LONGEST_PAUSE_S: Final = 0.25
"""A pause is cut up, so that whoever wants to stop the job is heard."""


def limited(
    report: Report,
    bytes_s: int,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Report:
    """A report that lets downloads go on at no more than `bytes_s`, whatever else it hears of."""
    text: str | None = None
    begun_s, begun_bytes = 0.0, 0

    def tell(progress: Progress) -> None:
        nonlocal text, begun_s, begun_bytes
        report(progress)
        if progress.step != "download":
            return
        if progress.text != text or progress.done_bytes < begun_bytes:
            text, begun_s, begun_bytes = progress.text, clock(), progress.done_bytes
        due_s = begun_s + (progress.done_bytes - begun_bytes) / bytes_s
        while (left_s := due_s - clock()) > 0:
            pause(min(left_s, LONGEST_PAUSE_S))
            report(progress)

    return tell
