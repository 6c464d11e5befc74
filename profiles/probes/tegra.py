"""NVIDIA's boards with the GPU in the processor's chip: Jetson. The GPU works in the host's memory."""

import re
from typing import Final

import msgspec

from profiles.machine import Accelerator, Fact
from profiles.probes import memory_lines
from profiles.probes.reading import fact_or_unknown, line_of, read_if_there, unknown_fact
from profiles.world import World

_CAPABILITIES: Final = {
    "tegra264": "11.0",
    "tegra234": "8.7",
    "tegra194": "7.2",
    "tegra186": "6.2",
    "tegra210": "5.3",
}
"""CUDA's compute capability of each chip."""
_BOARDS: Final = {
    "p3701": "tegra234",
    "p3767": "tegra234",
    "p2888": "tegra194",
    "p3668": "tegra194",
    "p3834": "tegra264",
}
"""Module numbers of Orin, Xavier and Thor, for device trees that do not name the chip."""
_MODELS: Final = ("/proc/device-tree/model", "/sys/firmware/devicetree/base/model")
_COMPATIBLE: Final = "/proc/device-tree/compatible"
_RELEASE: Final = "/etc/nv_tegra_release"


def read(world: World) -> Fact[tuple[Accelerator, ...]] | None:
    """Read the GPU of a Jetson, or give None on any other machine."""
    compatible = line_of(world, _COMPATIBLE)
    release = line_of(world, _RELEASE)
    if "nvidia,tegra" not in compatible and "nvidia,p" not in compatible and not release:
        return None
    model = next((text for path in _MODELS if (text := line_of(world, path))), "Jetson").replace("\0", "")
    device = _describe(model, _chip(compatible), _driver(release))
    return Fact((with_host_memory(device, read_if_there(world, "/proc/meminfo")),), _COMPATIBLE)


def _chip(compatible: str) -> str | None:
    """Name the chip, by itself or by the number of its module."""
    named = next((chip for chip in _CAPABILITIES if chip in compatible), None)
    return named or next((chip for board, chip in _BOARDS.items() if board in compatible), None)


def _driver(release: str) -> str | None:
    """Read "# R39 (release), REVISION: 2.0" as L4T R39.2.0."""
    found = re.search(r"# (R\d+) \(release\), REVISION: ([\d.]+)", release)
    return f"L4T {found[1]}.{found[2]}" if found else None


def _describe(model: str, chip: str | None, driver: str | None) -> Accelerator:
    """Describe the GPU on the chip."""
    capability = _CAPABILITIES.get(chip or "")
    missing = unknown_fact("The device shares the host's memory", _COMPATIBLE)
    return Accelerator(
        name=model if model.startswith("NVIDIA") else f"NVIDIA {model}",
        vendor="nvidia",
        memory_kind="unified",
        total_bytes=missing,
        free_bytes=missing,
        driver_version=fact_or_unknown(driver, _RELEASE, "the board does not report its release"),
        compute_capability=fact_or_unknown(capability, _COMPATIBLE, "the board's chip is not known"),
        own_bytes=Fact(0, _COMPATIBLE),
        own_free_bytes=Fact(0, _COMPATIBLE),
    )


def with_host_memory(device: Accelerator, meminfo: str | None) -> Accelerator:
    """Give a unified device the host's memory as what it can take: CUDA can allocate all of it."""
    total, available = memory_lines.host_memory(meminfo)
    return msgspec.structs.replace(
        device,
        total_bytes=total,
        free_bytes=available,
        own_bytes=Fact(0, "the device shares the host's memory"),
        own_free_bytes=Fact(0, "the device shares the host's memory"),
    )
