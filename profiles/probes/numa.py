"""NUMA nodes: parts of the host's memory, and which of them are a device's memory that the kernel counts as its own."""

import re
from typing import Final

from profiles.machine import Fact, NumaNode
from profiles.probes.reading import line_of, parse_cpu_list, read_if_there, unknown_fact
from profiles.world import World

FOLDER: Final = "/sys/devices/system/node"
GPUS: Final = "/proc/driver/nvidia/gpus"
_TOTAL: Final = re.compile(r"^Node \d+ MemTotal:\s+(\d+) kB$", re.MULTILINE)
_NODE_OF_GPU: Final = re.compile(r"^Node:\s+(\d+)$", re.MULTILINE)


def read(world: World) -> Fact[tuple[NumaNode, ...]]:
    """Read all nodes. Kernels without NUMA show none."""
    names = [name for name in world.entries(FOLDER) if re.fullmatch(r"node\d+", name)]
    if not names:
        return unknown_fact("the kernel shows no NUMA nodes", FOLDER)
    devices = device_nodes(world)
    nodes = [_node(world, int(name[4:]), devices) for name in names]
    return Fact(tuple(sorted(nodes, key=lambda node: node.number)), FOLDER)


def device_nodes(world: World) -> frozenset[int]:
    """Number the nodes that are a GPU's own memory: POWER9 with V100, Grace with Hopper."""
    texts = (line_of(world, f"{GPUS}/{name}/numa_status") for name in world.entries(GPUS))
    return frozenset(int(number) for text in texts for number in _NODE_OF_GPU.findall(text))


def _node(world: World, number: int, devices: frozenset[int]) -> NumaNode:
    """Read one node."""
    folder = f"{FOLDER}/node{number}"
    found = _TOTAL.search(read_if_there(world, f"{folder}/meminfo") or "")
    return NumaNode(
        number=number,
        processors=len(parse_cpu_list(line_of(world, f"{folder}/cpulist"))),
        total_bytes=int(found[1]) * 1024 if found else 0,
        is_device_memory=number in devices,
    )
