"""NVIDIA devices: through NVML, else through nvidia-smi, else as names on the PCI bus.

Three answers are kept apart: no such device, a device whose driver does not answer, and a reading that the driver
does not give.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from profiles.machine import Accelerator, Fact
from profiles.probes import nvidia_smi, nvml, pci, tegra
from profiles.probes.nvml import Answers, NvmlDevice, NvmlFailure, NvmlMemory, NvmlReadings, NvmlSlice, NvmlSnapshot
from profiles.probes.reading import fact_or_unknown, read_if_there, unknown_fact
from profiles.world import NotRecorded, World

T = TypeVar("T")

_NOT_SUPPORTED: Final = 3
_DRIVER_NOT_LOADED: Final = 9
_LIBRARY_NOT_FOUND: Final = 12
_OTHER: Final = 999
_UNTOLD: Final = "the recording holds neither NVML nor nvidia-smi"
NO_DRIVER: Final = (_DRIVER_NOT_LOADED, _LIBRARY_NOT_FOUND)

_UNIFIED_NAMES: Final = ("GB10", "Orin", "Xavier", "Thor", "Tegra")
"""Devices that compute in the host's own memory. Some drivers report that memory as theirs."""
_SOURCE: Final = "NVML"


def read(world: World) -> Fact[tuple[Accelerator, ...]]:
    """Read all NVIDIA devices. Apple's systems have no driver for any."""
    if world.platform == "darwin":
        return Fact((), "platform")
    try:
        answers: Answers | None = _answers(world)
    except NotRecorded:
        answers = None
    if isinstance(answers, NvmlReadings) and answers.devices:
        return _share_host_memory(world, parse(answers, ()))
    on_board = tegra.read(world)
    return on_board if on_board is not None else _on_bus(world, answers)


def _on_bus(world: World, answers: Answers | None) -> Fact[tuple[Accelerator, ...]]:
    """Name what the bus shows and the driver does not give. None stands for a recording without the driver's answer."""
    names = tuple(f"NVIDIA device 0x{d.device:04x} at {d.slot}" for d in pci.displays(world, pci.NVIDIA))
    if answers is not None:
        return parse(answers, names)
    if not pci.is_listed(world):
        raise NotRecorded(_UNTOLD)
    return parse(NvmlFailure(_OTHER, _UNTOLD), names) if names else Fact((), "PCI bus")


def _answers(world: World) -> Answers:
    """Ask NVML, and the command where NVML does not answer; of two failures the command's own words tell more."""
    try:
        first = world.ask("NVML", nvml.gather, NvmlSnapshot).answers
    except NotRecorded:
        first = None
    except (OSError, ImportError) as error:
        first = NvmlFailure(_LIBRARY_NOT_FOUND, str(error))
    if isinstance(first, NvmlReadings) and first.devices:
        return first
    second = nvidia_smi.read(world)
    # A library that is not there says less than a command that is there and fails.
    says_little = isinstance(second, NvmlFailure) and second.code in NO_DRIVER
    told = first if second is None or (first is not None and says_little) else second
    if told is None:
        raise NotRecorded(_UNTOLD)
    return told


def _share_host_memory(world: World, found: Fact[tuple[Accelerator, ...]]) -> Fact[tuple[Accelerator, ...]]:
    """Give unified devices the host's own memory as what they can take."""
    devices = found.known or ()
    if not any(device.memory_kind == "unified" for device in devices):
        return found
    meminfo = read_if_there(world, "/proc/meminfo")
    shared = [tegra.with_host_memory(d, meminfo) if d.memory_kind == "unified" else d for d in devices]
    return Fact(tuple(shared), found.source)


def parse(readings: Answers, on_bus: tuple[str, ...]) -> Fact[tuple[Accelerator, ...]]:
    """Turn raw answers into devices. `on_bus` names devices that the driver could not give."""
    if isinstance(readings, NvmlReadings) and readings.devices:
        return Fact(tuple(part for device in readings.devices for part in _parts(readings, device)), _SOURCE)
    if on_bus:
        return Fact(tuple(_unread(name, _why_unread(readings)) for name in on_bus), "PCI bus")
    if isinstance(readings, NvmlFailure) and readings.code not in NO_DRIVER:
        return unknown_fact(f"The NVIDIA driver does not answer: {readings.text}", _SOURCE)
    return Fact((), _SOURCE)


def _why_unread(readings: Answers) -> str:
    """Say why a device that is there cannot be read."""
    if isinstance(readings, NvmlReadings):
        return "The NVIDIA driver does not offer this device"
    if readings.code in NO_DRIVER:
        return "No NVIDIA driver is loaded"
    return f"The NVIDIA driver does not answer: {readings.text}"


def _unread(name: str, reason: str) -> Accelerator:
    """Describe a device of which nothing is known but that it is there."""
    missing = unknown_fact(reason, "PCI bus")
    return Accelerator(
        name=name,
        vendor="nvidia",
        memory_kind="dedicated",
        total_bytes=missing,
        free_bytes=missing,
        driver_version=missing,
        compute_capability=missing,
        bus=Fact(name.rpartition(" ")[2], "PCI bus"),
    )


def _parts(readings: NvmlReadings, device: NvmlDevice) -> tuple[Accelerator, ...]:
    """Describe a device, or its slices where MIG has cut it: the whole can then not be used."""
    whole = _accelerator(readings, device)
    return tuple(_slice(whole, part) for part in device.slices) if device.is_cut and device.slices else (whole,)


def _accelerator(readings: NvmlReadings, device: NvmlDevice) -> Accelerator:
    """Describe one device."""
    index = readings.devices.index(device)
    name = f"NVIDIA device {index}" if isinstance(device.name, NvmlFailure) else device.name
    unified = _is_unified(device, name)
    total, free = _memory_facts(device.memory, unified=unified)
    if device.is_cut:  # MIG without a slice: nothing can run
        total = free = unknown_fact("MIG is switched on and no slice is set up", _SOURCE)
    return Accelerator(
        name=_full(name),
        vendor="nvidia",
        memory_kind="unified" if unified else "dedicated",
        total_bytes=total,
        free_bytes=free,
        driver_version=_fact(readings.driver_version, "nvmlSystemGetDriverVersion", lambda value: value or None),
        compute_capability=_fact(
            device.compute_capability, "nvmlDeviceGetCudaComputeCapability", lambda value: f"{value[0]}.{value[1]}"
        ),
        runtime_version=_fact(readings.cuda_version, "nvmlSystemGetCudaDriverVersion", _cuda),
        bus=_fact(device.bus, "nvmlDeviceGetPciInfo", lambda value: value or None),
    )


def _slice(whole: Accelerator, part: NvmlSlice) -> Accelerator:
    """Describe one slice of a device."""
    total, free = _memory_facts(part.memory, unified=False)
    name = f"{whole.name} MIG slice" if isinstance(part.name, NvmlFailure) else _full(part.name)
    return msgspec.structs.replace(whole, name=name, total_bytes=total, free_bytes=free)


def _full(name: str) -> str:
    """Put the maker before the name, as newer drivers do."""
    return name if name.startswith("NVIDIA") else f"NVIDIA {name}"


def _cuda(number: int) -> str | None:
    """Write CUDA's version as people do."""
    return f"CUDA {number // 1000}.{number % 1000 // 10}" if number > 0 else None


def _memory_facts(memory: NvmlMemory | NvmlFailure, *, unified: bool) -> tuple[Fact[int], Fact[int]]:
    """Give total and free memory. A full device has zero bytes free; none has zero bytes in total."""
    call = "nvmlDeviceGetMemoryInfo"
    if unified:
        shared = unknown_fact("The device shares the host's memory", call)
        return shared, shared
    total = _fact(memory, call, lambda value: value.total_bytes or None)
    return total, total if total.known is None else _fact(memory, call, lambda value: value.free_bytes)


def _is_unified(device: NvmlDevice, name: str) -> bool:
    """Tell a device without memory of its own: the driver has no figure for it, or its name says so."""
    refused = isinstance(device.memory, NvmlFailure) and device.memory.code == _NOT_SUPPORTED
    return (refused and not device.is_cut) or any(word in name for word in _UNIFIED_NAMES)


def _fact(answer: T | NvmlFailure, call: str, pick: Callable[[T], object]) -> Fact[Any]:
    """Give an answer as a fact, Unknown with the driver's own words where the call failed."""
    if isinstance(answer, NvmlFailure):
        return unknown_fact(f"NVML: {answer.text}", call)
    return fact_or_unknown(pick(answer), call, "NVML returns an empty answer")
