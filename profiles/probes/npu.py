"""Neural processors: named, because owners ask for them, and not counted, because llama.cpp does not use them."""

from typing import Final

from profiles.machine import Fact
from profiles.probes import apple, pci
from profiles.probes.intel_ids import NPUS
from profiles.probes.reading import line_of
from profiles.world import CommandFailed, NotRecorded, World

_ACCEL: Final = "/sys/class/accel"
_DRIVERS: Final = {
    "intel_vpu": "Intel NPU",
    "amdxdna": "AMD XDNA NPU",
    "hailo": "Hailo accelerator",
    "rocket": "Rockchip NPU",
    "habanalabs": "Habana Gaudi",
    "qaic": "Qualcomm Cloud AI 100",
}
_PCI_NAMES: Final = {
    **{(pci.INTEL, device): name for device, name in NPUS.items()},
    (pci.AMD, 0x1502): "AMD XDNA NPU (Phoenix)",
    (pci.AMD, 0x17F0): "AMD XDNA 2 NPU (Strix)",
    (0x1E60, 0x2864): "Hailo-8",
}


def read(world: World) -> Fact[tuple[str, ...]]:
    """Name the neural processors that the kernel or the PCI bus shows."""
    on_bus = [_PCI_NAMES[d.vendor, d.device] for d in pci.devices(world) if (d.vendor, d.device) in _PCI_NAMES]
    if on_bus:
        return Fact(tuple(on_bus), "PCI bus")
    found = [_driver_of(world, name) for name in world.entries(_ACCEL)]
    own = ("Apple Neural Engine",) if world.platform == "darwin" and _is_apple_chip(world) else ()
    return Fact((*(name for name in found if name), *own), _ACCEL)


def _is_apple_chip(world: World) -> bool:
    """Tell Apple's own processors from Intel's."""
    try:
        return apple.sysctl(world).get("machdep.cpu.brand_string", "").startswith("Apple")
    except (CommandFailed, NotRecorded):
        return False


def _driver_of(world: World, name: str) -> str | None:
    """Name one device by its kernel driver."""
    events = line_of(world, f"{_ACCEL}/{name}/device/uevent")
    driver = next((line.partition("=")[2] for line in events.splitlines() if line.startswith("DRIVER=")), "")
    return next((title for word, title in _DRIVERS.items() if word in driver), driver or None)
