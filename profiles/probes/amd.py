"""AMD devices: the kernel driver's own files, else rocm-smi or amd-smi, else names on the PCI bus.

A GPU within a processor has two kinds of memory: what the firmware cut off for it (the kernel calls it VRAM; the
host's total leaves it out) and what it may borrow from the host (GTT). A card's GTT is host memory too, but no place
for a model that is to run fast: it does not count.
"""

import re
from typing import Final

import msgspec

from profiles.machine import Accelerator, Fact
from profiles.probes import amd_tools, pci
from profiles.probes.amd_ids import MODELS, AmdModel, Told, describe, model_of
from profiles.probes.reading import fact_or_unknown, line_of, number_of, unknown_fact
from profiles.world import NotRecorded, World

DRM: Final = "/sys/class/drm"
_DRIVER: Final = "/sys/module/amdgpu/version"
_ROCM: Final = "/opt/rocm/.info/version"
_LARGEST_DEFAULT_BYTES: Final = 4 << 30
"""No firmware cuts off more by itself, and no card that is new has less."""
_UEVENT_SLOT: Final = re.compile(r"^PCI_SLOT_NAME=(\S+)$", re.MULTILINE)


def read(world: World) -> Fact[tuple[Accelerator, ...]]:
    """Read all AMD devices."""
    if world.platform != "linux":
        return Fact((), "platform")
    cards = [f"{DRM}/{name}/device" for name in world.entries(DRM) if re.fullmatch(r"card\d+", name)]
    found = [_card(world, folder) for folder in cards if _is_amd(world, folder)]
    if found:
        return Fact(tuple(found), f"{DRM}/card*/device")
    on_bus = pci.displays(world, pci.AMD)
    try:
        told = amd_tools.read(world)
    except NotRecorded:
        if not pci.is_listed(world):
            raise
        told = Fact((), "PCI bus")
    return Fact(tuple(_unread(device) for device in on_bus), "PCI bus") if on_bus and not told.known else told


def _is_amd(world: World, folder: str) -> bool:
    """Tell the driver's cards: by the vendor, or by a file that only this driver has."""
    vendor = line_of(world, f"{folder}/vendor")
    return vendor == "0x1002" if vendor else number_of(world, f"{folder}/mem_info_vram_total") is not None


def _card(world: World, folder: str) -> Accelerator:
    """Read one card by the driver's files."""
    number = line_of(world, f"{folder}/device")
    device = int(number, 16) if re.fullmatch(r"0x[0-9a-fA-F]{4}", number) else None
    own, borrowed = _pair(world, folder, "vram"), _pair(world, folder, "gtt")
    model = _model(device, own[0].known)
    slot = _UEVENT_SLOT.search(line_of(world, f"{folder}/uevent"))
    return describe(
        name=line_of(world, f"{folder}/product_name") or model.name,
        model=model,
        own=own,
        borrowed=borrowed,
        told=Told(
            driver=fact_or_unknown(line_of(world, _DRIVER) or None, _DRIVER, "the driver is part of the kernel"),
            runtime=fact_or_unknown(line_of(world, _ROCM) or None, _ROCM, "ROCm is not installed"),
            bus=fact_or_unknown(slot[1] if slot else None, f"{folder}/uevent", "the kernel does not report it"),
        ),
    )


def _model(device: int | None, own_bytes: int | None) -> AmdModel:
    """Look the number up. No file tells a processor's GPU, so that of an unknown number the size has to tell."""
    model = model_of(device)
    guessed = device not in MODELS and own_bytes is not None and own_bytes <= _LARGEST_DEFAULT_BYTES
    return msgspec.structs.replace(model, in_processor=True) if guessed else model


def _pair(world: World, folder: str, kind: str) -> tuple[Fact[int], Fact[int]]:
    """Read total and free of one kind of memory."""
    path = f"{folder}/mem_info_{kind}_total"
    total, used = number_of(world, path), number_of(world, f"{folder}/mem_info_{kind}_used")
    free = None if total is None or used is None else max(0, total - used)
    reason = f"the driver has no readable file mem_info_{kind}"
    return fact_or_unknown(total, path, f"{reason}_total"), fact_or_unknown(free, path, f"{reason}_used")


def _unread(device: pci.PciDevice) -> Accelerator:
    """Describe a device that the bus shows and no driver."""
    missing = unknown_fact("No AMD driver is loaded", "PCI bus")
    model = model_of(device.device)
    return describe(
        name=model.name,
        model=model,
        own=(missing, missing),
        borrowed=(missing, missing),
        told=Told(driver=missing, runtime=missing, bus=Fact(device.slot, "PCI bus")),
    )
