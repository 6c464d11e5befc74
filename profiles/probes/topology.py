"""Which processors share a core, which cores are fast ones, and how large their caches are."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from profiles.machine import Fact
from profiles.probes.arm import ARM_CORES, EFFICIENCY_RANK, core_rank
from profiles.probes.reading import line_of, parse_cpu_list, unknown_fact
from profiles.world import World

FOLDER: Final = "/sys/devices/system/cpu"
TOPOLOGY: Final = f"{FOLDER}/cpu*/topology"
_CACHES: Final = f"{FOLDER}/cpu*/cache"
_SIZE: Final = re.compile(r"(\d+)([KMG]?)")
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_LEAST_FAST_CORES: Final = 2
"""A single prime core is no group to run a model on."""
_THREADS_OF_A_FAST_CORE: Final = 2


class CoreKinds(msgspec.Struct, frozen=True):
    """How many cores are of the fast kind and how many of the saving kind."""

    performance: int
    efficiency: int
    source: str


def read_siblings(world: World) -> tuple[frozenset[int], ...]:
    """Give each core as the set of its logical processors."""
    cores: list[frozenset[int]] = []
    numbered: dict[str, set[int]] = {}
    for cpu in _processors(world):
        if any(cpu in core for core in cores):
            continue
        shared = _siblings(world, cpu)
        if shared:
            cores.append(shared)
        elif name := _core_number(world, cpu):
            numbered.setdefault(name, set()).add(cpu)
    return (*cores, *(frozenset(group) for group in numbered.values()))


def _processors(world: World) -> list[int]:
    """Number the processors that sysfs lists, in order."""
    return sorted(int(name[3:]) for name in world.entries(FOLDER) if re.fullmatch(r"cpu\d+", name))


def _siblings(world: World, cpu: int) -> frozenset[int] | None:
    """Read the list of a core's threads."""
    for name in ("core_cpus_list", "thread_siblings_list"):
        if text := line_of(world, f"{FOLDER}/cpu{cpu}/topology/{name}"):
            return parse_cpu_list(text) | {cpu}
    return None


def _core_number(world: World, cpu: int) -> str | None:
    """Name a core by package and number, as kernels did before they listed threads."""
    parts = [line_of(world, f"{FOLDER}/cpu{cpu}/topology/{name}") for name in ("physical_package_id", "core_id")]
    return ":".join(parts) if all(parts) else None


def core_kinds(world: World, cores: Sequence[frozenset[int]], blocks: Sequence[dict[str, str]]) -> CoreKinds | None:
    """Sort cores into fast and saving ones, or give None where nothing tells."""
    return _by_perf_units(world, cores) or _by_arm_design(cores, blocks) or _by_threads(cores, blocks)


def _by_perf_units(world: World, cores: Sequence[frozenset[int]]) -> CoreKinds | None:
    """Intel's kernels list the processors of each kind as those of its own counter unit."""
    fast = parse_cpu_list(line_of(world, "/sys/devices/cpu_core/cpus"))
    slow = parse_cpu_list(line_of(world, "/sys/devices/cpu_atom/cpus"))
    slow |= parse_cpu_list(line_of(world, "/sys/devices/cpu_lowpower/cpus"))
    if not fast or not slow:
        return None
    source = "/sys/devices/cpu_core/cpus, cpu_atom/cpus"
    return CoreKinds(sum(1 for c in cores if c & fast), sum(1 for c in cores if c & slow), source)


def _by_arm_design(cores: Sequence[frozenset[int]], blocks: Sequence[dict[str, str]]) -> CoreKinds | None:
    """Arm cores tell their design; designs have ranks."""
    parts = [(block.get("CPU implementer", ""), block.get("CPU part", "")) for block in blocks]
    names = [ARM_CORES[part] for part in parts if part in ARM_CORES]
    if len(names) != len(blocks) or not names:
        return None
    ranks = Counter(core_rank(name) for name in names)
    threads_of_a_core = len(cores[0]) if cores else 1
    fast = _fast_ranks(ranks)
    performance = sum(ranks[rank] for rank in fast) // threads_of_a_core
    return CoreKinds(performance, len(names) // threads_of_a_core - performance, "/proc/cpuinfo CPU part")


def _fast_ranks(ranks: Counter[int]) -> list[int]:
    """Take the highest rank, and the next where the highest is a single prime core; never the saving one."""
    taken: list[int] = []
    for rank in sorted(ranks, reverse=True):
        if taken and (sum(ranks[r] for r in taken) >= _LEAST_FAST_CORES or rank == EFFICIENCY_RANK):
            break
        taken.append(rank)
    return taken


def _by_threads(cores: Sequence[frozenset[int]], blocks: Sequence[dict[str, str]]) -> CoreKinds | None:
    """On Intel's early hybrids only the fast cores have two threads. Equal cores are all fast."""
    if not cores or not any(block.get("vendor_id") in ("GenuineIntel", "AuthenticAMD") for block in blocks):
        return None
    sizes = Counter(len(core) for core in cores)
    if len(sizes) == 1:
        return None if _may_be_hybrid(blocks) else CoreKinds(len(cores), 0, TOPOLOGY)
    intel = any(block.get("vendor_id") == "GenuineIntel" for block in blocks)
    if not intel or max(sizes) != _THREADS_OF_A_FAST_CORE:
        return None  # a hidden or offline thread makes cores look unequal
    return CoreKinds(sizes[_THREADS_OF_A_FAST_CORE], sizes[1], TOPOLOGY)


def _may_be_hybrid(blocks: Sequence[dict[str, str]]) -> bool:
    """Tell the chips whose cores have one thread each though they are of two kinds."""
    return any("Core(TM) Ultra" in block.get("model name", "") for block in blocks)


def cache_bytes(world: World, level: int) -> Fact[int]:
    """Add up all caches of one level. Each is counted once, whoever shares it."""
    total = 0
    covered: set[int] = set()
    for cpu in _processors(world):
        if cpu in covered:
            continue
        folder = f"{FOLDER}/cpu{cpu}/cache/index{level}"
        size = _SIZE.fullmatch(line_of(world, f"{folder}/size"))
        if size is None or line_of(world, f"{folder}/level") not in ("", str(level)):
            continue
        total += int(size[1]) * _UNITS[size[2]]
        covered |= parse_cpu_list(line_of(world, f"{folder}/shared_cpu_list")) | {cpu}
    return Fact(total, _CACHES) if total else unknown_fact(f"sysfs shows no cache of level {level}", _CACHES)
