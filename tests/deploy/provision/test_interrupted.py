"""Whatever kills apply, the next apply gives the wanted state, and nothing is left of the first."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deploy.provision.kit import EVERYTHING, applied, host, outcome, site, wanted_state

ROOM = Path(__file__).parents[3]
KILLS = 50
NURSERY = [sys.executable, "-m", "tests.deploy.provision.nursery"]


@contextmanager
def nursery() -> Iterator["subprocess.Popen[str]"]:
    """A process that has everything loaded, and forks one that is killed for each line it is given."""
    with subprocess.Popen(NURSERY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOM) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def killed_at(process: "subprocess.Popen[str]", nth: int, home: Path, path: str) -> str:
    """Have apply kill itself at its n-th change of the disk; "done" where it has fewer."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{nth}\t{home}\t{path}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


@pytest.mark.no_cover
def test_killed_at_every_change_of_the_disk_the_next_apply_gives_the_wanted_state(tmp_path: Path) -> None:
    """At least fifty points, one after the other, before and after each call that changes the disk."""
    whole = host(tmp_path / "whole")
    applied(whole, site(tmp_path / "whole-etc", EVERYTHING))
    lock = (tmp_path / "whole-etc" / "landfast.lock").read_bytes()
    kills = 0
    with nursery() as process:
        for nth in range(1, 1000):
            home, etc = tmp_path / f"home-{nth}", tmp_path / f"etc-{nth}"
            path = site(etc, EVERYTHING)
            if killed_at(process, nth, home, path) == "done":
                break
            kills += 1
            context = host(home)
            applied(context, path)
            assert wanted_state(context) == wanted_state(whole), nth
            assert (etc / "landfast.lock").read_bytes() == lock
            assert context.store.rubbish() == ()
            assert outcome(context, path, check=True).exit_code == 0
            assert applied(context, path).changed == 0
    assert kills >= KILLS


@pytest.mark.no_cover
def test_killed_from_outside_at_any_time(tmp_path: Path) -> None:
    """The kernel's kill, while the process runs as it will."""
    whole = host(tmp_path / "whole")
    applied(whole, site(tmp_path / "whole-etc", EVERYTHING))
    for number in range(5):
        home, path = tmp_path / f"home-{number}", site(tmp_path / f"etc-{number}", EVERYTHING)
        words = [*NURSERY, "once", str(home), path]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOM)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.004 * number)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        context = host(home)
        applied(context, path)
        assert wanted_state(context) == wanted_state(whole)
        assert applied(context, path).changed == 0
