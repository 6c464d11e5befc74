"""Limits that the kernel of this machine really enforces: made for the test, read by the profiler, and tried out."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

GIB = 1 << 30
LIMIT = 4 * GIB
CACHE = 2 * GIB
V1 = Path("/sys/fs/cgroup")
ROOM = 7 * GIB

REPORT = """
import json, mmap, os, sys
from pathlib import Path
from profiles.budget import budget
from profiles.probe import profile
def report():
    found = budget(profile(Path.cwd()))
    return {"budget": found.host.budget_bytes, "total": found.host.total_bytes.known,
            "reason": found.host.free_reason, "threads": found.threads, "why": found.threads_reason}
"""
FILL = """
Path("cache").touch(); os.truncate("cache", int(sys.argv[1]))
with open("cache", "rb") as file:
    while file.read(1 << 20): pass
"""
TAKE = """
told = report()
taken = mmap.mmap(-1, told["budget"])
for place in range(0, len(taken), 4096): taken[place] = 1
told["taken"] = len(taken)
print(json.dumps(told))
"""

TAKE_IN_A_CHILD = """
import subprocess
told = report()
program = "import mmap, sys; print(len(mmap.mmap(-1, int(sys.argv[1]))))"
done = subprocess.run([sys.executable, "-c", program, str(told["budget"])], capture_output=True, text=True)
told["taken"] = int(done.stdout or 0)
print(json.dumps(told))
"""
"""The engine is a child as well: it inherits the limit, and starts with little mapped."""

Group = Callable[[str, dict[str, str]], Path]


@pytest.fixture
def group() -> Iterator[Group]:
    """Make control groups of version 1, and take them away when their processes have ended."""
    made: list[Path] = []

    def make(controller: str, settings: dict[str, str]) -> Path:
        place = V1 / controller / f"landfast-test-{uuid.uuid4().hex[:8]}"
        try:
            place.mkdir()
            made.append(place)
            for name, value in settings.items():
                (place / name).write_text(value)
        except OSError as error:
            pytest.skip(f"needs a control group of version 1 that can be made here: {error}")
        return place

    yield make
    for place in made:
        place.rmdir()


def run_in(groups: list[Path], program: str, where: Path, *arguments: str) -> dict[str, Any]:
    """Run a program in these groups, from its first instruction on, and give what it reports."""
    enter = "".join(f"echo $$ > {place}/cgroup.procs; " for place in groups)
    command = f'{enter}exec "{sys.executable}" -c "$0" "$@"'
    root = Path(__file__).parents[2]
    done = subprocess.run(
        ["/bin/sh", "-c", command, program, *arguments],
        check=True,
        capture_output=True,
        text=True,
        cwd=where,
        env={**os.environ, "PYTHONPATH": str(root)},
        timeout=120,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def available_bytes() -> int:
    """Tell what this machine has left, less than which the test cannot take."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


needs_root = pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs root on Linux")


@pytest.mark.root
@needs_root
def test_a_real_memory_limit_full_of_page_cache(group: Group, tmp_path: Path) -> None:
    """Of 4 GiB with 2 GiB of page cache the budget is 4 GiB less the reserve, within 5 %, and can really be taken.

    The file that fills the cache is a hole: it takes no room on the disk.
    """
    if available_bytes() < ROOM:
        pytest.skip("needs 7 GiB of free memory")
    place = group("memory", {"memory.limit_in_bytes": str(LIMIT)})
    told = run_in([place], REPORT + FILL + TAKE, tmp_path, str(CACHE))
    assert told["total"] == LIMIT
    assert "control group" in told["reason"]
    assert told["budget"] == pytest.approx(LIMIT * 0.9, rel=0.05)
    assert told["taken"] == told["budget"]


@pytest.mark.root
@needs_root
def test_the_page_cache_is_really_there(group: Group, tmp_path: Path) -> None:
    """Without counting it back the same group would look half full: the test before would prove nothing."""
    place = group("memory", {"memory.limit_in_bytes": str(LIMIT)})
    usage = f'print(json.dumps({{"usage": int(Path("{place}/memory.usage_in_bytes").read_text())}}))'
    told = run_in([place], REPORT + FILL + usage, tmp_path, str(CACHE))
    assert told["usage"] > CACHE * 0.9


@pytest.mark.root
@needs_root
def test_memory_that_is_really_used_lowers_the_budget(group: Group, tmp_path: Path) -> None:
    """A gigabyte that the process holds is not for the model."""
    place = group("memory", {"memory.limit_in_bytes": str(LIMIT)})
    held = "held = bytearray(b'x') * (1 << 30)\nprint(json.dumps(report()))"
    told = run_in([place], REPORT + held, tmp_path)
    assert told["budget"] == pytest.approx(LIMIT * 0.9 - GIB, rel=0.05)


@pytest.mark.root
@needs_root
def test_a_limit_of_a_parent_group_counts(group: Group, tmp_path: Path) -> None:
    """A pod's limit stands above the container's own group, which has none."""
    place = group("memory", {"memory.limit_in_bytes": str(GIB)})
    child = place / "child"
    child.mkdir()
    try:
        told = run_in([child], REPORT + "print(json.dumps(report()))", tmp_path)
    finally:
        child.rmdir()
    assert told["total"] == GIB
    assert told["budget"] == pytest.approx(GIB * 0.9, rel=0.05)


@pytest.mark.root
@needs_root
@pytest.mark.parametrize(("quota", "threads"), [(100_000, 1), (150_000, 1)])
def test_a_real_processor_quota(group: Group, tmp_path: Path, quota: int, threads: int) -> None:
    """One core's worth of time makes one thread; so does one and a half."""
    place = group("cpu", {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": str(quota)})
    told = run_in([place], REPORT + "print(json.dumps(report()))", tmp_path)
    assert told["threads"] == threads
    assert "control group" in told["why"] or os.cpu_count() == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity") or os.cpu_count() == 1, reason="needs two processors")
def test_a_real_affinity_of_one_core(tmp_path: Path) -> None:
    """A process that may run on one processor plans one thread."""
    program = "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\nprint(json.dumps(report()))"
    told = run_in([], REPORT + program, tmp_path)
    assert told["threads"] == 1
    assert "affinity" in told["why"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_real_limit_on_address_space(tmp_path: Path) -> None:
    """`ulimit -v` of 3 GiB leaves what is not mapped yet, less the reserve, and that can be taken."""
    if available_bytes() < ROOM:
        pytest.skip("needs 7 GiB of free memory")
    limit = 3 * GIB
    program = f"import resource\nresource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))\n"
    told = run_in([], REPORT + program + TAKE_IN_A_CHILD, tmp_path)
    assert told["total"] == limit
    assert "ulimit -v" in told["reason"]
    assert limit * 0.5 < told["budget"] < limit * 0.9
    assert told["taken"] == told["budget"]
