"""Intel devices: names and kinds by the PCI bus, memory by the xe driver's files, xpu-smi or OpenCL.

Intel's drivers for Linux do not say in a file what is free, so that only the engine or xpu-smi can tell. The size of
a window on the bus (BAR) is not the size of the memory.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from profiles.machine import Accelerator, Fact
from profiles.probes import pci
from profiles.probes.intel_ids import in_processor, is_npu, name_of
from profiles.probes.reading import fact_or_unknown, number_of, output_of, unknown_fact
from profiles.world import CommandFailed, CommandHung, CommandMissing, NotRecorded, World

XPU_SMI: Final = ("xpu-smi", "discovery", "-j")
CLINFO: Final = ("clinfo", "--json")
_FREE: Final = "Intel's driver does not report what is free"
_GPU_TYPE: Final = "CL_DEVICE_TYPE_GPU"
Devices = tuple[Accelerator, ...]


def read(world: World) -> Fact[Devices]:
    """Read all Intel devices. One card may be listed by several tools: the first that answers counts."""
    if world.platform != "linux":
        return Fact((), "platform")
    on_bus = tuple(d for d in pci.displays(world, pci.INTEL) if not is_npu(d.device))
    reasons: list[str] = []
    for arguments, parse in ((XPU_SMI, parse_xpu_smi), (CLINFO, parse_clinfo)):
        try:
            told = parse(output_of(world, arguments))
        except (CommandMissing, NotRecorded):
            continue
        except (CommandFailed, ValueError, KeyError, TypeError) as error:
            reasons.append(f"{arguments[0]}: {error}")
            if isinstance(error, CommandHung):
                break
            continue
        if told:
            return Fact(told, arguments[0])
    if on_bus:
        return Fact(tuple(_from_bus(world, device, reasons) for device in on_bus), "PCI bus")
    if reasons:
        return unknown_fact("; ".join(reasons), "PCI bus")
    return Fact((), "PCI bus")


def _from_bus(world: World, device: pci.PciDevice, reasons: list[str]) -> Accelerator:
    """Describe a device by its number, and by what the xe driver says of its tiles."""
    folder = f"{pci.FOLDER}/{device.slot}"
    path = f"{folder}/tile*/physical_vram_size_bytes"
    tiles = [name for name in world.entries(folder) if re.fullmatch(r"tile\d+", name)]
    sizes = [number_of(world, f"{folder}/{tile}/physical_vram_size_bytes") for tile in tiles]
    known = sum(size for size in sizes if size) or None
    reason = "; ".join(["Intel's driver does not report the size of the memory", *reasons])
    return describe(
        name=name_of(device.device),
        unified=in_processor(device.device, device.slot),
        total=fact_or_unknown(known, path, reason),
        bus=Fact(device.slot, "PCI bus"),
    )


def describe(
    name: str, total: Fact[int], bus: Fact[str], *, unified: bool, driver: Fact[str] | None = None
) -> Accelerator:
    """Describe one device. What is free is not told by anything but the engine."""
    free = unknown_fact(_FREE, total.source)
    missing = unknown_fact("Intel's tools do not report it", bus.source)
    return Accelerator(
        name=name,
        vendor="intel",
        memory_kind="unified" if unified else "dedicated",
        total_bytes=total,
        free_bytes=free,
        driver_version=driver or missing,
        compute_capability=missing,
        own_bytes=Fact(0, "the GPU has no memory of its own") if unified else total,
        own_free_bytes=Fact(0, "the GPU has no memory of its own") if unified else free,
        bus=bus,
    )


def parse_xpu_smi(text: str) -> Devices:
    """Read `xpu-smi discovery -j`. Raises ValueError on anything that is no such list."""
    answer = json.loads(text[text.index("{") :])
    listed = answer["device_list"] if isinstance(answer, dict) else None
    if not isinstance(listed, list):
        raise ValueError("its answer cannot be understood")  # noqa: TRY004 - garbage, not a wrong type
    return tuple(_xpu_device(entry) for entry in listed if isinstance(entry, dict))


def _xpu_device(entry: Mapping[str, Any]) -> Accelerator:
    """Describe one device of xpu-smi's list."""
    size = str(entry.get("memory_physical_size_byte", ""))
    number = re.fullmatch(r"(?:0x)?([0-9a-fA-F]{4})", str(entry.get("pci_device_id", "")))
    device = int(number[1], 16) if number else 0
    slot = str(entry.get("pci_bdf_address", ""))
    return describe(
        name=_clean(str(entry.get("device_name") or name_of(device))),
        unified=in_processor(device, slot),
        total=fact_or_unknown(int(size) if size.isdecimal() else None, XPU_SMI[0], "xpu-smi does not report it"),
        bus=fact_or_unknown(slot or None, XPU_SMI[0], "xpu-smi does not report it"),
        driver=fact_or_unknown(entry.get("driver_version"), XPU_SMI[0], "xpu-smi does not report it"),
    )


def parse_clinfo(text: str) -> Devices:
    """Read the GPUs out of clinfo's JSON; processors and emulated devices are listed there as well."""
    answer = json.loads(text[text.index("{") :])
    lists = answer.get("devices", []) if isinstance(answer, dict) else []
    entries = [entry for group in lists for entry in group.get("online", [])]
    return tuple(_cl_device(entry) for entry in entries if _is_intel_gpu(entry))


def _is_intel_gpu(entry: Mapping[str, Any]) -> bool:
    """Tell Intel's GPUs from all else that OpenCL lists."""
    kinds = entry.get("CL_DEVICE_TYPE", {}).get("type", [])
    return _GPU_TYPE in kinds and "Intel" in str(entry.get("CL_DEVICE_VENDOR", ""))


def _cl_device(entry: Mapping[str, Any]) -> Accelerator:
    """Describe one OpenCL device. Its size is what OpenCL may use, a little below the card's."""
    size = entry.get("CL_DEVICE_GLOBAL_MEM_SIZE")
    unified = bool(entry.get("CL_DEVICE_HOST_UNIFIED_MEMORY"))
    total = fact_or_unknown(size if isinstance(size, int) else None, CLINFO[0], "clinfo does not report it")
    return describe(
        name=_clean(str(entry.get("CL_DEVICE_NAME", "Intel GPU"))),
        unified=unified,
        total=total,
        bus=unknown_fact("clinfo does not report it", CLINFO[0]),
        driver=fact_or_unknown(entry.get("CL_DRIVER_VERSION"), CLINFO[0], "clinfo does not report it"),
    )


def _clean(name: str) -> str:
    """Write a name without its trade marks."""
    plain = " ".join(name.replace("(R)", "").replace("(TM)", "").split())
    return plain if plain.startswith("Intel") else f"Intel {plain}"
