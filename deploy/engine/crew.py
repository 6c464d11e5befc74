"""How many threads compute, now that other programs come and go.

All threads of a step wait for the slowest, and one that shares its core with another program is slower by far: two
threads on two cores, one of them busy, write at half the speed of one thread alone. A plan knows the load of the moment
when it was made; this looks on. Usable in a sealed process: what is read stays open from the first call.
"""

import math
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final

LOOK_EVERY_S: Final = 0.3
WATCH_EVERY_S: Final = 0.25
LASTING_S: Final = 0.9
COME_BACK_S: Final = 0.6
"""How long cores must have been free before they are used again: loads come in bursts."""
FEW_TOKENS: Final = 8
EARLY_S: Final = 1.0
"""A step of more tokens is begun anew only so early: later too much would be computed twice."""
Look = tuple[float, float]
"""A time, and for how many seconds others had computed."""
STAT_BYTES: Final = 64 << 10
"""More than the lines of /proc/stat that are about processors."""
TICKS_S: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
HELD: Final = 0.35
"""From this part of a core on, somebody has it. A program that never rests gets no more of a core that it shares."""


class Crew:
    """Says how many threads compute the next step, and interrupts one that got stuck behind a new load."""

    def __init__(self, most: int, interrupt: Callable[[], None]) -> None:
        """Begin with as many as the plan says; `interrupt` is called from another thread."""
        self.threads = self._most = most
        self._interrupt = interrupt
        self._before = _look() if most > 1 else None
        self._crowded_at = -math.inf
        self._crowded_from = math.inf
        self._with = most
        self._lock = threading.Lock()
        self._active = threading.Event()
        self._watcher: threading.Thread | None = None
        self._step = 0
        self._computing = False
        self._from = self._until = 0.0

    def look(self, tokens: int = 1, *, at_once: bool = False) -> int:
        """How many compute so many tokens: one for each core that nobody else holds.

        Looks from time to time only, unless at once. A long step lasts longer than most loads: it gives up threads to
        one that has lasted, and takes all where there is none.
        """
        if self._before is not None and (at_once or time.perf_counter() >= self._before[0] + LOOK_EVERY_S):
            self._learn(*self._free())
        self._with = self.threads
        if tokens > FEW_TOKENS and self._before is not None and not at_once:
            lasting = self._before[0] >= self._crowded_from + LASTING_S
            self._with = self.threads if lasting else self._most
        return self._with

    def _learn(self, free: int, now: "Look") -> None:
        self._before = now
        self._crowded_from = min(self._crowded_from, now[0]) if free < self._most else math.inf
        if free < self._most and free <= self.threads:
            self._crowded_at = now[0]
        if free < self.threads or now[0] >= self._crowded_at + COME_BACK_S:
            self.threads = free

    @contextmanager
    def watched(self, tokens: int) -> Iterator[None]:
        """A step of so many tokens is computed in the block: it is interrupted where fewer threads would be faster."""
        if self._before is None or self._with == 1:
            yield
            return
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, daemon=True)
            self._watcher.start()
        with self._lock:
            self._step += 1
            self._computing = True
            few, now = tokens <= FEW_TOKENS, time.perf_counter()
            self._from, self._until = (now, math.inf) if few else (now + WATCH_EVERY_S, now + EARLY_S)
        self._active.set()
        try:
            yield
        finally:
            with self._lock:
                self._computing = False

    def _watch(self) -> None:
        while True:
            self._active.wait()
            step = self._step
            time.sleep(WATCH_EVERY_S)
            with self._lock:
                same = step == self._step
                if same and self._computing:
                    if self._from <= time.perf_counter() < self._until and self._free()[0] < self._with:
                        self._interrupt()
                elif same:
                    self._active.clear()  # nothing is computed

    def _free(self) -> tuple[int, "Look"]:
        """For how many threads there are cores since the last look, and what was seen now."""
        before, now = self._before, _look()
        if before is None or now is None:
            return self._most, before or (time.perf_counter(), 0.0)
        others = (now[1] - before[1]) / max(now[0] - before[0], 1e-3)
        return free_for(self._most, len(os.sched_getaffinity(0)), others), now


def free_for(most: int, cores: int, others: float) -> int:
    """How many of at most so many threads find a core of their own, where others compute on so many on average."""
    return max(1, min(most, cores - int(max(0.0, others) + 1 - HELD)))


def hold() -> None:
    """Open what is read later."""
    if sys.platform == "linux":
        _stat()


def _look() -> "Look | None":
    """The time, and for how many seconds programs other than this have computed on its cores; None where unknown."""
    if sys.platform != "linux" or _stat() < 0:
        return None
    text = os.pread(_stat(), STAT_BYTES, 0).decode("ascii", "replace")
    cores, busy = os.sched_getaffinity(0), 0
    for core, user, system, irq, softirq in _LINE.findall(text):
        if int(core) in cores:
            busy += int(user) + int(system) + int(irq) + int(softirq)
    return (time.perf_counter(), busy / TICKS_S - time.process_time()) if busy else None


_LINE: Final = re.compile(r"^cpu(\d+) (\d+) \d+ (\d+) \d+ \d+ (\d+) (\d+)", re.MULTILINE)
"""Without the programs that run at a lower priority: they give way. Without waiting, and without other machines."""


@cache
def _stat() -> int:
    """-1 where it is hidden."""
    try:
        return os.open("/proc/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
