"""Vulkan devices by vulkaninfo: the way to GPUs whose makers have no tool of their own.

It tells names and kinds, no memory. Renderers that compute on the processor are no devices.
"""

import re
from typing import Final

from profiles.machine import Accelerator, Fact, Vendor
from profiles.probes import pci
from profiles.probes.reading import output_of, unknown_fact
from profiles.world import CommandMissing, NotRecorded, World

SUMMARY: Final = ("vulkaninfo", "--summary")
_VENDORS: Final[dict[int, Vendor]] = {pci.NVIDIA: "nvidia", pci.AMD: "amd", pci.INTEL: "intel", 0x106B: "apple"}
_KINDS: Final = {
    "PHYSICAL_DEVICE_TYPE_DISCRETE_GPU": "dedicated",
    "PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU": "unified",
}
"""What counts. A virtual GPU may be anything, and a CPU is llvmpipe or its like."""
_DEVICE: Final = re.compile(r"^GPU\d+:\s*$", re.MULTILINE)
_LINE: Final = re.compile(r"^\s*(\w+)\s*=\s*(.+?)\s*$", re.MULTILINE)


def read(world: World) -> Fact[tuple[Accelerator, ...]]:
    """List the devices. Without the command there is nothing to be learned, which is no failure."""
    try:
        return parse(output_of(world, SUMMARY))
    except (CommandMissing, NotRecorded):
        return Fact((), SUMMARY[0])


def parse(text: str) -> Fact[tuple[Accelerator, ...]]:
    """Read the devices out of the summary; warnings may stand before it."""
    if "deviceType" not in text and "VULKANINFO" not in text:
        return unknown_fact("vulkaninfo's answer cannot be understood", SUMMARY[0])
    devices = [dict(_LINE.findall(part)) for part in _DEVICE.split(text)[1:]]
    return Fact(tuple(_accelerator(lines) for lines in devices if _kind(lines) in _KINDS), SUMMARY[0])


def _kind(lines: dict[str, str]) -> str:
    """Give Vulkan's name for the kind; newer versions put a number behind it."""
    return lines.get("deviceType", "").partition(" ")[0]


def _accelerator(lines: dict[str, str]) -> Accelerator:
    """Describe one device."""
    unified = _KINDS[_kind(lines)] == "unified"
    missing = unknown_fact("vulkaninfo's summary does not report it", SUMMARY[0])
    vendor = re.match(r"0x[0-9a-fA-F]+", lines.get("vendorID", ""))
    return Accelerator(
        name=lines.get("deviceName", "Vulkan device"),
        vendor=_VENDORS.get(int(vendor[0], 16) if vendor else 0, "other"),
        memory_kind="unified" if unified else "dedicated",
        total_bytes=missing,
        free_bytes=missing,
        driver_version=Fact(lines["driverInfo"], SUMMARY[0]) if "driverInfo" in lines else missing,
        compute_capability=missing,
    )
