"""Kinds of core, caches and NUMA nodes, from trees of files."""

from collections.abc import Callable

import pytest

from profiles.machine import Unknown
from profiles.probes import cpu, memory, numa, topology
from profiles.probes.reading import parse_cpu_list
from profiles.world import World

Tree = Callable[[dict[str, str]], World]
CPU = "sys/devices/system/cpu"


def intel(count: int, name: str = "Intel(R) Core(TM) Ultra 7 256V") -> str:
    """Give /proc/cpuinfo of so many processors."""
    return "\n\n".join(f"processor: {n}\nvendor_id: GenuineIntel\nmodel name: {name}" for n in range(count))


def siblings(*cores: str) -> dict[str, str]:
    """Give the lists of threads of these cores."""
    numbers = [(n, core) for core in cores for n in parse_cpu_list(core)]
    return {f"{CPU}/cpu{n}/topology/core_cpus_list": core for n, core in numbers}


def test_equal_threads_do_not_prove_equal_cores(tree: Tree) -> None:
    """Lunar Lake has no core of two threads, so that the threads do not tell its two kinds of core apart."""
    files = {"proc/cpuinfo": intel(8), **siblings(*map(str, range(8)))}
    assert isinstance(cpu.read(tree(files)).performance_cores.value, Unknown)


def test_the_counter_units_decide(tree: Tree) -> None:
    """The same chip under a kernel that shows them, low-power cores in a list of their own."""
    units = {"cpu_core": "0-3\n", "cpu_atom": "4-5\n", "cpu_lowpower": "6-7\n"}
    files = {f"sys/devices/{name}/cpus": text for name, text in units.items()}
    facts = cpu.read(tree({"proc/cpuinfo": intel(8), **siblings(*map(str, range(8))), **files}))
    assert (facts.performance_cores.value, facts.efficiency_cores.value) == (4, 4)


def test_an_offline_thread_makes_no_hybrid(tree: Tree) -> None:
    """On AMD's processors a core of one thread beside others of two is one whose other thread is switched off."""
    text = "\n\n".join(f"processor: {n}\nvendor_id: AuthenticAMD" for n in range(3))
    facts = cpu.read(tree({"proc/cpuinfo": text, **siblings("0-1", "2")}))
    assert isinstance(facts.performance_cores.value, Unknown)
    assert facts.physical_cores.value == 2


def test_caches_are_counted_once(tree: Tree) -> None:
    """Four processors with a cache of 512 K for each two and one of 8 M for all."""
    files = {
        f"{CPU}/cpu{n}/cache/index{level}/{name}": text
        for n in range(4)
        for level, size, shared in ((2, "512K", "0-1" if n < 2 else "2-3"), (3, "8M", "0-3"))
        for name, text in (("level", str(level)), ("size", size), ("shared_cpu_list", shared))
    }
    world = tree(files)
    assert topology.cache_bytes(world, 2).value == 2 * 512 << 10
    assert topology.cache_bytes(world, 3).value == 8 << 20


@pytest.mark.parametrize("text", ["", "many\n", "K\n"])
def test_caches_that_cannot_be_read_are_unknown(text: str, tree: Tree) -> None:
    """Virtual machines hide them; a size without a number is none."""
    assert isinstance(topology.cache_bytes(tree({f"{CPU}/cpu0/cache/index3/size": text}), 3).value, Unknown)


def test_numa_nodes_are_listed_with_their_processors(tree: Tree) -> None:
    """Two nodes, the second without processors: slower memory, or a device's where its driver says so."""
    files = {
        "sys/devices/system/node/node0/cpulist": "0-3\n",
        "sys/devices/system/node/node0/meminfo": "Node 0 MemTotal:    1048576 kB\n",
        "sys/devices/system/node/node10/cpulist": "\n",
        "sys/devices/system/node/node10/meminfo": "Node 10 MemTotal:    2097152 kB\n",
    }
    first, second = numa.read(tree(files)).known or ()
    assert (first.number, first.processors, first.total_bytes) == (0, 4, 1 << 30)
    assert (second.number, second.processors, second.is_device_memory) == (10, 0, False)


def test_a_gpus_memory_is_taken_off_the_hosts(tree: Tree) -> None:
    """Grace with Hopper: the kernel counts the GPU's 2 GiB as the host's, and all of it as available."""
    files = {
        "proc/meminfo": "MemTotal: 4194304 kB\nMemAvailable: 3145728 kB\n",
        "sys/devices/system/node/node0/cpulist": "0-3\n",
        "sys/devices/system/node/node0/meminfo": "Node 0 MemTotal:    2097152 kB\n",
        "sys/devices/system/node/node1/meminfo": "Node 1 MemTotal:    2097152 kB\n",
        "proc/driver/nvidia/gpus/0009:01:00.0/numa_status": "Node:      1\nStatus:    online\n",
    }
    facts = memory.read(tree(files))
    assert facts.total_bytes.value == 2 << 30
    assert facts.available_bytes.value == 1 << 30


def test_huge_pages_pressure_and_load(tree: Tree) -> None:
    """Memory that is set aside, time spent waiting for memory, threads that run."""
    world = tree(
        {
            "proc/meminfo": "MemTotal: 8192 kB\nHugePages_Total:     512\nHugepagesize:       2048 kB\n",
            "proc/pressure/memory": "some avg10=1.25 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00\n",
            "proc/loadavg": "3.50 1.00 0.50 2/345 6789\n",
            "proc/cpuinfo": "processor: 0\n",
        }
    )
    facts = memory.read(world)
    assert facts.huge_pages_bytes.value == 1 << 30
    assert facts.pressure_percent.value == 1.25
    assert cpu.read(world).load_average.value == 3.5
