"""Control groups, from recorded containers and from real groups made here."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.machine import Unknown
from profiles.probes import cgroup
from profiles.world import World

Recorded = Callable[[str], dict[str, str]]
Tree = Callable[[dict[str, str]], World]

V2_INSIDE = {
    "proc/self/cgroup": "0::/\n",
    "proc/self/mountinfo": "34 33 0:29 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw\n",
}
"""What a container with a group namespace of its own sees."""
V1_MOUNTINFO = (
    "35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw,relatime shared:8 - cgroup cgroup rw,memory\n"
    "36 31 0:33 /docker/abc /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
)
NO_LIMIT = "9223372036854771712\n"


def test_page_cache_is_counted_back(recorded: Recorded, tree: Tree) -> None:
    """A docker container near its limit has more left than the kernel's usage figure suggests."""
    (limit,) = cgroup.memory_limits(tree(recorded("docker-v2-512m") | V2_INSIDE))
    assert limit.limit_bytes.value == 512 << 20
    assert limit.available_bytes.value == 536870912 - 499122176 + 209715200


def test_version_1_counts_the_totals_of_all_children(recorded: Recorded, tree: Tree) -> None:
    """The limit of a parent out of sight is found in memory.stat, and total_ lines are the ones to count."""
    files = recorded("docker-v1-2000m") | {
        "proc/self/cgroup": "4:memory:/docker/abc\n",
        "proc/self/mountinfo": V1_MOUNTINFO,
        "sys/fs/cgroup/memory/memory.limit_in_bytes": NO_LIMIT,
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "700000000\n",
    }
    (limit,) = cgroup.memory_limits(tree(files))
    assert limit.limit_bytes.value == 2097152000
    assert limit.available_bytes.value == 2097152000 - 700000000 + 222568448 + 46092288


def test_podmans_fraction_of_a_processor(recorded: Recorded, tree: Tree) -> None:
    """42 of 100 milliseconds are 0.42 cores; without a usage file the limit stands and the rest is unknown."""
    roots = tree(recorded("podman-v2-42m") | V2_INSIDE)
    (quota,) = cgroup.cpu_limits(roots)
    assert quota.cores.value == pytest.approx(0.42)
    (limit,) = cgroup.memory_limits(roots)
    assert limit.limit_bytes.value == 42 << 20
    assert isinstance(limit.available_bytes.value, Unknown)


def test_every_level_up_to_the_root_is_read(tree: Tree) -> None:
    """A pod's limit above the container's own applies too, as does memory.high."""
    roots = tree(
        {
            "proc/self/cgroup": "0::/kubepods.slice/pod1/app\n",
            "proc/self/mountinfo": V2_INSIDE["proc/self/mountinfo"],
            "sys/fs/cgroup/kubepods.slice/memory.max": "3040550912\n",
            "sys/fs/cgroup/kubepods.slice/memory.current": "1000\n",
            "sys/fs/cgroup/kubepods.slice/cpu.max": "250000 100000\n",
            "sys/fs/cgroup/kubepods.slice/pod1/memory.max": "max\n",
            "sys/fs/cgroup/kubepods.slice/pod1/memory.high": "1000000\n",
            "sys/fs/cgroup/kubepods.slice/pod1/memory.current": "2000000\n",
            "sys/fs/cgroup/kubepods.slice/pod1/app/memory.max": "max\n",
            "sys/fs/cgroup/kubepods.slice/pod1/app/cpu.max": "max 100000\n",
        }
    )
    limits = cgroup.memory_limits(roots)
    assert [limit.limit_bytes.value for limit in limits] == [1000000, 3040550912]
    assert [limit.available_bytes.value for limit in limits] == [0, 3040550912 - 1000]
    assert [limit.cores.value for limit in cgroup.cpu_limits(roots)] == [2.5]


def test_max_and_the_huge_number_are_no_limit(tree: Tree) -> None:
    """Neither version's way to say "unlimited" turns into a limit."""
    files = {
        "proc/self/cgroup": "2:cpu,cpuacct:/docker/abc\n1:memory:/docker/abc\n0::/\n",
        "proc/self/mountinfo": V1_MOUNTINFO + V2_INSIDE["proc/self/mountinfo"].replace("cgroup rw", "unified rw"),
        "sys/fs/cgroup/memory/memory.limit_in_bytes": NO_LIMIT,
        "sys/fs/cgroup/memory.max": "max\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    }
    roots = tree(files)
    assert cgroup.memory_limits(roots) == ()
    assert cgroup.cpu_limits(roots) == ()


def test_version_1_quota(tree: Tree) -> None:
    """Quota and period stand in two files, under a controller pair whose order varies."""
    roots = tree(
        {
            "proc/self/cgroup": "3:cpuacct,cpu:/docker/abc\n",
            "proc/self/mountinfo": V1_MOUNTINFO,
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "600000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        }
    )
    assert [limit.cores.value for limit in cgroup.cpu_limits(roots)] == [6.0]


def test_colons_inside_a_group_path_survive(recorded: Recorded) -> None:
    """Kubernetes with containerd puts colons into the path."""
    groups = cgroup.parse_membership(recorded("kubernetes-containerd")["proc/self/cgroup"])
    assert groups["cpu"] == groups["cpuacct"]
    assert groups["cpu"].split(":")[1] == "cri-containerd"
    assert groups["cpu"].startswith("/system.slice/containerd.service/kubepods-burstable-")


def test_a_login_session_is_read_for_each_controller(recorded: Recorded) -> None:
    """Controllers of one line share a group; a named hierarchy is no controller to fear."""
    groups = cgroup.parse_membership(recorded("cgroup-v1-session")["proc/self/cgroup"])
    assert groups["memory"] == groups["cpu"] == "/user.slice"
    assert groups["cpuset"] == "/"


def test_mounts_of_pure_and_hybrid_systems(recorded: Recorded) -> None:
    """Only real hierarchies count: not the tmpfs above them, not a foreign file system of a similar name."""
    texts = recorded("cgroup-texts")
    assert cgroup.parse_mounts(texts["testdata/proc/v2/mountinfo-v2"]) == {
        cgroup.V2: cgroup.Mount("/", "/sys/fs/cgroup")
    }
    hybrid = cgroup.parse_mounts(texts["testdata/proc/v2/mountinfo-v1-v2"])
    assert hybrid[cgroup.V2].point == "/sys/fs/cgroup/unified"
    assert hybrid["memory"].point == "/sys/fs/cgroup/memory"
    assert hybrid["cpu"] == hybrid["cpuacct"] == cgroup.Mount("/", "/sys/fs/cgroup/cpu,cpuacct")


def test_a_group_inside_the_mounted_one_is_found(recorded: Recorded, tree: Tree) -> None:
    """The listed path is relative to the hierarchy, the mount shows only a part of it."""
    texts = recorded("cgroup-texts")
    roots = tree(
        {
            "proc/self/cgroup": texts["testdata/proc/cgroups/cgroup"],
            "proc/self/mountinfo": texts["testdata/proc/cgroups/mountinfo"],
            "sys/fs/cgroup/memory/large/memory.limit_in_bytes": "1000\n",
            "sys/fs/cgroup/memory/large/memory.usage_in_bytes": "400\n",
        }
    )
    assert [limit.available_bytes.value for limit in cgroup.memory_limits(roots)] == [600]


@pytest.mark.parametrize("group", ["/docker/xyz", "/../other", "/not/visible"])
def test_a_group_out_of_sight_falls_back_to_the_mount(tree: Tree, group: str) -> None:
    """Inside many containers the listed group has no folder; the mount is the container's group."""
    roots = tree(
        {
            "proc/self/cgroup": f"0::{group}\n",
            "proc/self/mountinfo": V2_INSIDE["proc/self/mountinfo"],
            "sys/fs/cgroup/memory.max": "1000\n",
            "sys/fs/cgroup/memory.current": "100\n",
        }
    )
    assert [limit.available_bytes.value for limit in cgroup.memory_limits(roots)] == [900]


def test_garbage_is_a_limit_of_unknown_size(tree: Tree) -> None:
    """A limit that cannot be understood is in force all the same."""
    roots = tree(V2_INSIDE | {"sys/fs/cgroup/memory.max": "many\n", "sys/fs/cgroup/cpu.max": "250000 0\n"})
    (limit,) = cgroup.memory_limits(roots)
    assert isinstance(limit.limit_bytes.value, Unknown)
    assert isinstance(limit.available_bytes.value, Unknown)
    (quota,) = cgroup.cpu_limits(roots)
    assert isinstance(quota.cores.value, Unknown)


@pytest.mark.parametrize("text", ["", "250000 100000 100\n", "-5 100000\n", "x y\n"])
def test_a_malformed_quota_is_unknown(tree: Tree, text: str) -> None:
    """Too few, too many or senseless fields do not turn into a number."""
    (quota,) = cgroup.cpu_limits(tree(V2_INSIDE | {"sys/fs/cgroup/cpu.max": text}))
    assert isinstance(quota.cores.value, Unknown)


def test_a_quota_without_period_has_the_default_one(tree: Tree) -> None:
    """The kernel's default period is 100 milliseconds."""
    (quota,) = cgroup.cpu_limits(tree(V2_INSIDE | {"sys/fs/cgroup/cpu.max": "500000\n"}))
    assert quota.cores.value == 5.0


def test_a_kernel_without_groups_has_no_limits(tree: Tree) -> None:
    """No groups at all is no failure."""
    roots = tree({})
    assert cgroup.memory_limits(roots) == ()
    assert cgroup.cpu_limits(roots) == ()


@given(st.integers(0, 1 << 50), st.integers(0, 1 << 50), st.integers(0, 1 << 50))
def test_available_stays_between_zero_and_the_limit(limit: int, usage: int, cache: int) -> None:
    """Usage above the limit or cache beyond the usage cannot lead out of the range."""
    assert 0 <= cgroup.available_bytes(limit, usage, {"file": cache}, ("file",)) <= limit


@given(st.text(max_size=200))
def test_no_text_breaks_the_parsers(text: str) -> None:
    """Whatever the kernel writes there, parsing ends with some mapping."""
    assert isinstance(cgroup.parse_membership(text), dict)
    assert isinstance(cgroup.parse_mounts(text), dict)
    assert isinstance(cgroup.parse_stat(text), dict)


@pytest.fixture
def real_group() -> Iterator[Path]:
    """Make a memory group of version 1 or 2 with a limit of 256 MiB, where this system allows it."""
    mounts = cgroup.parse_mounts(Path("/proc/self/mountinfo").read_text())
    v1 = mounts.get("memory")
    place = v1 or mounts.get(cgroup.V2)
    if place is None or os.geteuid() != 0:
        pytest.skip("needs root and control groups")
    group = Path(place.point) / f"landfast-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if v1 else "memory.max")).write_text(str(256 << 20))
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"this system lends no memory group: {error}")
    yield group
    group.rmdir()


@pytest.mark.root
def test_a_real_group_is_seen_from_inside(real_group: Path) -> None:
    """A process that enters a group of 256 MiB finds that limit and less than it available."""
    program = (
        f"open('{real_group}/cgroup.procs', 'w').write('0')\n"
        "from profiles.probes import cgroup; from profiles.world import LiveWorld\n"
        "limit = min(cgroup.memory_limits(LiveWorld()), key=lambda limit: limit.limit_bytes.known)\n"
        "print(limit.limit_bytes.known, limit.available_bytes.known)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=30)
    limit, available = map(int, done.stdout.split())
    assert limit == 256 << 20
    assert 128 << 20 < available < limit
