"""A process that works is told from one that hangs."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from deploy.engine import watch
from deploy.engine.watch import Watch

WORKS = "print(flush=True)\nwhile True: pass"
SLEEPS = "import time; print(flush=True); time.sleep(60)"


@pytest.mark.parametrize(("code", "idle"), [(WORKS, False), (SLEEPS, True)])
def test_only_a_process_that_does_nothing_is_idle(code: str, idle: bool) -> None:  # noqa: FBT001 - a case
    """One uses the processor, the other waits."""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.1)
        observer = Watch(process.pid)
        observer.idle_s()
        time.sleep(0.6)
        found = observer.idle_s()
        process.kill()
    assert (found >= 0.5) is idle


def test_who_waits_for_a_disk_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow disk is not a hang, however slow."""
    monkeypatch.setattr(psutil.Process, "status", lambda _: psutil.STATUS_DISK_SLEEP)
    observer = Watch(os.getpid())
    time.sleep(0.05)
    assert observer.idle_s() < 0.05


def test_a_process_that_cannot_be_seen_has_the_benefit_of_the_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system hides it, nothing is ended by mistake."""
    monkeypatch.setattr(watch, "_processor_s", lambda _: None)
    observer = Watch(1)
    time.sleep(0.05)
    assert observer.idle_s() < 0.05
