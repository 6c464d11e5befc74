"""NVIDIA devices through NVML, the driver's own library.

Three answers are kept apart: no such device, a device whose driver does not answer, and a reading that the driver
does not give. Where NVML gives no device, the PCI bus is asked whether there is one.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from profiles.machine import Accelerator, Fact
from profiles.probes.reading import Roots, fact_or_unknown, read_if_there, unknown_fact

T = TypeVar("T")

_NOT_SUPPORTED: Final = 3
_DRIVER_NOT_LOADED: Final = 9
_LIBRARY_NOT_FOUND: Final = 12
_NO_DRIVER: Final = (_DRIVER_NOT_LOADED, _LIBRARY_NOT_FOUND)

_UNIFIED_NAMES: Final = ("GB10", "Orin", "Xavier", "Thor", "Tegra")
"""Devices that compute in the host's own memory. Some drivers report that memory as theirs."""
_PCI_VENDOR: Final = "0x10de"
_PCI_DISPLAY_CLASS: Final = "0x03"
_SOURCE: Final = "NVML"


class NvmlFailure(msgspec.Struct, frozen=True):
    """A call that NVML refused: its number and its own words."""

    code: int
    text: str


class NvmlMemory(msgspec.Struct, frozen=True):
    """A device's memory as NVML counts it."""

    total_bytes: int
    free_bytes: int


class NvmlDevice(msgspec.Struct, frozen=True, kw_only=True):
    """The raw answers for one device."""

    name: str | NvmlFailure
    memory: NvmlMemory | NvmlFailure
    compute_capability: tuple[int, int] | NvmlFailure


class NvmlReadings(msgspec.Struct, frozen=True, kw_only=True):
    """The raw answers of one driver."""

    driver_version: str | NvmlFailure
    devices: tuple[NvmlDevice, ...]


def read(roots: Roots) -> Fact[tuple[Accelerator, ...]]:
    """Read all NVIDIA devices."""
    readings = gather()
    needs_bus = isinstance(readings, NvmlFailure) or not readings.devices
    return parse(readings, devices_on_bus(roots.sys) if needs_bus else ())


def gather() -> NvmlReadings | NvmlFailure:
    """Load NVIDIA's binding and ask it."""
    import pynvml

    return ask(pynvml)


def ask(nvml: Any) -> NvmlReadings | NvmlFailure:
    """Ask NVML for everything. A call that fails leaves its failure in the place of its answer."""
    started = _call(nvml, nvml.nvmlInit)
    if isinstance(started, NvmlFailure):
        return started
    try:
        count = _call(nvml, nvml.nvmlDeviceGetCount)
        if isinstance(count, NvmlFailure):
            return count
        devices = tuple(_ask_device(nvml, index) for index in range(count))
        return NvmlReadings(driver_version=_call(nvml, nvml.nvmlSystemGetDriverVersion), devices=devices)
    finally:
        _call(nvml, nvml.nvmlShutdown)


def _ask_device(nvml: Any, index: int) -> NvmlDevice:
    """Ask for one device."""
    handle = _call(nvml, lambda: nvml.nvmlDeviceGetHandleByIndex(index))
    if isinstance(handle, NvmlFailure):
        return NvmlDevice(name=handle, memory=handle, compute_capability=handle)
    return NvmlDevice(
        name=_call(nvml, lambda: str(nvml.nvmlDeviceGetName(handle))),
        memory=_call(nvml, lambda: _memory(nvml.nvmlDeviceGetMemoryInfo(handle))),
        compute_capability=_call(nvml, lambda: tuple(nvml.nvmlDeviceGetCudaComputeCapability(handle))),
    )


def _memory(info: Any) -> NvmlMemory:
    """Copy the two figures out of NVML's own structure."""
    return NvmlMemory(int(info.total), int(info.free))


def _call(nvml: Any, ask: Callable[[], T]) -> T | NvmlFailure:
    """Make one call, its failure as a value."""
    try:
        return ask()
    except nvml.NVMLError as error:
        return NvmlFailure(int(error.value), str(error))


def devices_on_bus(sys: Path) -> tuple[str, ...]:
    """Name the NVIDIA display devices that the PCI bus shows, driver or not."""
    folders = sorted(sys.glob("bus/pci/devices/*"))
    return tuple(f"NVIDIA device {_line(f / 'device')} at {f.name}" for f in folders if _is_display(f))


def _is_display(folder: Path) -> bool:
    """Tell a graphics or compute device from the sound and USB parts of the same card."""
    return _line(folder / "vendor") == _PCI_VENDOR and _line(folder / "class").startswith(_PCI_DISPLAY_CLASS)


def _line(file: Path) -> str:
    """Read a one-line file, empty where there is none."""
    return (read_if_there(file) or "").strip()


def parse(readings: NvmlReadings | NvmlFailure, on_bus: tuple[str, ...]) -> Fact[tuple[Accelerator, ...]]:
    """Turn raw answers into devices. `on_bus` names devices that NVML could not give."""
    if isinstance(readings, NvmlReadings) and readings.devices:
        return Fact(tuple(_accelerator(readings, index) for index in range(len(readings.devices))), _SOURCE)
    if on_bus:
        return Fact(tuple(_unread(name, _why_unread(readings)) for name in on_bus), "PCI bus")
    if isinstance(readings, NvmlFailure) and readings.code not in _NO_DRIVER:
        return unknown_fact(f"The NVIDIA driver does not answer: {readings.text}", _SOURCE)
    return Fact((), _SOURCE)


def _why_unread(readings: NvmlReadings | NvmlFailure) -> str:
    """Say why a device that is there cannot be read."""
    if isinstance(readings, NvmlReadings):
        return "The NVIDIA driver does not offer this device"
    if readings.code in _NO_DRIVER:
        return "No NVIDIA driver is at work here"
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
    )


def _accelerator(readings: NvmlReadings, index: int) -> Accelerator:
    """Describe one device."""
    device = readings.devices[index]
    name = f"NVIDIA device {index}" if isinstance(device.name, NvmlFailure) else device.name
    capability = device.compute_capability
    unified = _is_unified(device, name)
    total, free = _memory_facts(device.memory, unified=unified)
    return Accelerator(
        name=name if name.startswith("NVIDIA") else f"NVIDIA {name}",
        vendor="nvidia",
        memory_kind="unified" if unified else "dedicated",
        total_bytes=total,
        free_bytes=free,
        driver_version=_fact(readings.driver_version, "nvmlSystemGetDriverVersion", lambda value: value or None),
        compute_capability=_fact(
            capability, "nvmlDeviceGetCudaComputeCapability", lambda value: f"{value[0]}.{value[1]}"
        ),
    )


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
    return refused or any(word in name for word in _UNIFIED_NAMES)


def _fact(answer: T | NvmlFailure, call: str, pick: Callable[[T], object]) -> Fact[Any]:
    """Give an answer as a fact, Unknown with the driver's own words where the call failed."""
    if isinstance(answer, NvmlFailure):
        return unknown_fact(f"NVML: {answer.text}", call)
    return fact_or_unknown(pick(answer), call, "NVML gives an empty answer")
