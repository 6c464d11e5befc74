"""Limits of this process: ulimit and affinity, parsed and for real in child processes."""

import os
import subprocess
import sys

import pytest

from profiles.machine import Unknown
from profiles.probes import affinity, ulimit

STATUS = "Name:\tpython\nVmPeak:\t  200 kB\nVmSize:\t  100 kB\nVmData:\t   10 kB\n"


def test_what_the_process_uses_is_taken_off() -> None:
    """Each limit is set against its own line of /proc/self/status."""
    space, data = ulimit.parse({"RLIMIT_AS": 1 << 20, "RLIMIT_DATA": 1 << 19}, STATUS)
    assert (space.limit_bytes.value, space.available_bytes.value) == (1 << 20, (1 << 20) - 100 * 1024)
    assert data.available_bytes.value == (1 << 19) - 10 * 1024


def test_a_limit_below_the_use_leaves_nothing() -> None:
    """A limit that was lowered under a running process leaves zero, not less."""
    (space,) = ulimit.parse({"RLIMIT_AS": 1024}, STATUS)
    assert space.available_bytes.value == 0


@pytest.mark.parametrize("status", [None, "", "VmSize: many kB\n"])
def test_without_the_use_the_rest_is_unknown(status: str | None) -> None:
    """The limit is known, what it leaves is not."""
    (space,) = ulimit.parse({"RLIMIT_AS": 1024}, status)
    assert space.limit_bytes.value == 1024
    assert isinstance(space.available_bytes.value, Unknown)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_real_ulimit_is_seen_by_the_process_under_it() -> None:
    """A shell's `ulimit -v` in KiB comes out in bytes, and no other limit appears."""
    program = (
        "from profiles.probes import ulimit; from profiles.world import LiveWorld\n"
        "for limit in ulimit.memory_limits(LiveWorld()): print(limit.limit_bytes.known, limit.available_bytes.known)"
    )
    done = subprocess.run(
        ["/bin/sh", "-c", f'ulimit -v 4000000; exec "{sys.executable}" -c "{program}"'],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    limit, available = map(int, done.stdout.split())
    assert limit == 4000000 * 1024
    assert 0 < available < limit


def test_affinity_counts_only_where_it_leaves_processors_out() -> None:
    """All processors allowed is no limit; two of eight is one."""
    assert affinity.parse(8, 8) == ()
    assert [limit.cores.value for limit in affinity.parse(2, 8)] == [2.0]
    assert [limit.cores.value for limit in affinity.parse(2, None)] == [2.0]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity") or os.cpu_count() == 1, reason="needs two processors")
def test_a_real_affinity_is_seen() -> None:
    """A process that is tied to one processor says so."""
    program = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from profiles.probes import affinity; from profiles.world import LiveWorld\n"
        "print(affinity.cpu_limits(LiveWorld())[0].cores.known)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "1.0"
