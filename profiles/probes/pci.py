"""The PCI bus: which display and compute devices there are, driver or not."""

import re
from typing import Final

import msgspec

from profiles.probes.reading import line_of, output_of
from profiles.world import CommandFailed, NotRecorded, World

FOLDER: Final = "/sys/bus/pci/devices"
LSPCI: Final = ("lspci", "-vmmnD")
NVIDIA: Final = 0x10DE
AMD: Final = 0x1002
INTEL: Final = 0x8086
_DISPLAY: Final = 0x03
_ACCELERATOR: Final = 0x12
_CO_PROCESSOR: Final = 0x0B
_LISTED: Final = (_DISPLAY, _ACCELERATOR, _CO_PROCESSOR)


class PciDevice(msgspec.Struct, frozen=True):
    """One device on the bus."""

    slot: str
    """domain:bus:device.function"""
    vendor: int
    device: int
    base_class: int


def devices(world: World) -> tuple[PciDevice, ...]:
    """List display, compute and co-processor devices: by sysfs, else by lspci."""
    slots = world.entries(FOLDER)
    if slots:
        found = [_from_sysfs(world, slot) for slot in slots]
        return tuple(device for device in found if device is not None)
    try:
        return parse_lspci(output_of(world, LSPCI))
    except (CommandFailed, NotRecorded):
        return ()


def is_listed(world: World) -> bool:
    """Tell whether the bus can be seen at all: only then does a missing device mean that there is none."""
    if world.entries(FOLDER):
        return True
    try:
        return bool(output_of(world, LSPCI))
    except (CommandFailed, NotRecorded):
        return False


def displays(world: World, vendor: int) -> tuple[PciDevice, ...]:
    """List one vendor's graphics and compute devices, without the sound and USB parts of the same card.

    Laptops call the second GPU a "3D controller" and some firmware calls the first a "display controller".
    """
    return tuple(d for d in devices(world) if d.vendor == vendor and d.base_class in (_DISPLAY, _ACCELERATOR))


def _from_sysfs(world: World, slot: str) -> PciDevice | None:
    """Read one device, where it is of a class that can compute."""
    base_class = _hex(line_of(world, f"{FOLDER}/{slot}/class")) >> 16
    if base_class not in _LISTED:
        return None
    vendor = _hex(line_of(world, f"{FOLDER}/{slot}/vendor"))
    return PciDevice(slot, vendor, _hex(line_of(world, f"{FOLDER}/{slot}/device")), base_class)


def parse_lspci(text: str) -> tuple[PciDevice, ...]:
    """Read the paragraphs of lspci's machine-readable form."""
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        lines = dict(re.findall(r"^(\w+):\s*(\S+)", paragraph, re.MULTILINE))
        base_class = _hex(lines.get("Class", "")) >> 8
        if base_class in _LISTED:
            vendor, device = _hex(lines.get("Vendor", "")), _hex(lines.get("Device", ""))
            found.append(PciDevice(lines.get("Slot", ""), vendor, device, base_class))
    return tuple(found)


def _hex(text: str) -> int:
    """Read "0x10de" or "10de"; 0 for anything else."""
    return int(text, 16) if re.fullmatch(r"(0x)?[0-9a-fA-F]+", text) else 0
