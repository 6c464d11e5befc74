"""Fewer threads compute while other programs hold cores, and all of them again when those are gone."""

import os
import sys
import threading
import time

import psutil
import pytest

from deploy.engine import crew
from deploy.engine.crew import COME_BACK_S, LOOK_EVERY_S, Crew, free_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the load is read from /proc/stat")
CORES = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


@pytest.mark.parametrize(
    ("most", "cores", "others", "left"),
    [
        (2, 2, 0.0, 2),
        (2, 2, 0.2, 2),
        (2, 2, 0.5, 1),
        (2, 2, 1.0, 1),
        (2, 2, 2.0, 1),
        (4, 4, 1.0, 3),
        (4, 4, 1.7, 2),
        (4, 4, 9.0, 1),
        (4, 64, 30.0, 4),
        (1, 2, 1.9, 1),
        (2, 2, -0.1, 2),
    ],
)
def test_cores_that_others_hold_are_left_to_them(most: int, cores: int, others: float, left: int) -> None:
    """A program that never rests and shares its core shows as half a core; a moment's work shows as little."""
    assert free_for(most, cores, others) == left


class Clock:
    """Time and the seconds that others computed, as the system would tell them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Begin at nought."""
        self.now = 100.0
        self.others_s = 0.0
        monkeypatch.setattr(crew, "_look", lambda: (self.now, self.others_s))
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def pass_(self, seconds: float, others: float) -> None:
        """Let time pass beside so many busy cores."""
        self.now += seconds
        self.others_s += seconds * others


def test_threads_go_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the load, after a moment each time."""
    clock = Clock(monkeypatch)
    threads = Crew(CORES, pytest.fail)
    for seconds, others, left in (
        (LOOK_EVERY_S * 1.1, 0.0, CORES),
        (LOOK_EVERY_S * 1.1, CORES, 1),
        (COME_BACK_S * 1.1, CORES, 1),
        (LOOK_EVERY_S * 1.1, 0.1, 1),
        (COME_BACK_S, 0.1, CORES),
    ):
        clock.pass_(seconds, others)
        assert threads.look() == left


@pytest.mark.skipif(CORES == 1, reason="one thread has no other to wait for")
def test_a_long_step_gives_way_to_a_load_that_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would compute long with few threads for a moment's load; and where the load is gone it takes all at once."""
    clock = Clock(monkeypatch)
    threads = Crew(CORES, pytest.fail)
    for others, left in ((CORES, CORES), (CORES, CORES), (CORES, CORES), (CORES, 1), (0.0, CORES)):
        clock.pass_(LOOK_EVERY_S * 1.1, others)
        assert threads.look(512) == left


def test_it_is_not_looked_at_for_every_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading it costs time."""
    clock = Clock(monkeypatch)
    threads = Crew(CORES, pytest.fail)
    for _ in range(5):
        clock.pass_(LOOK_EVERY_S / 6, CORES)
        assert threads.look() == CORES


@pytest.mark.skipif(CORES == 1, reason="one thread has no other to wait for")
def test_a_step_that_is_stuck_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new load is noticed in the middle of a step, by a thread of its own."""
    began = time.perf_counter()
    monkeypatch.setattr(crew, "_look", lambda: (now := time.perf_counter(), CORES * (now - began)))
    interrupted = threading.Event()
    threads = Crew(CORES, interrupted.set)
    with threads.watched(1):
        assert interrupted.wait(60)


def test_where_the_load_is_hidden_the_plan_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some containers hide it."""
    monkeypatch.setattr(crew, "_stat", lambda: -1)
    threads = Crew(2, pytest.fail)
    monkeypatch.setattr(crew, "LOOK_EVERY_S", 0.0)
    assert threads.look() == 2


def test_what_others_computed_is_the_systems_own_figure() -> None:
    """All that the cores did but for what this process did, low priorities apart."""
    found = crew._look()
    own = psutil.Process().cpu_times()
    cores = [it for number, it in enumerate(psutil.cpu_times(percpu=True)) if number in os.sched_getaffinity(0)]
    expected = sum(it.user + it.system + it.irq + it.softirq for it in cores) - own.user - own.system
    assert found is not None
    assert found[1] == pytest.approx(expected, abs=3.0)
