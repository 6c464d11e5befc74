"""NVML, the NVIDIA driver's own library: raw answers, each failure in the place of its answer."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


class NvmlFailure(msgspec.Struct, frozen=True, tag="failure"):
    """A call that NVML refused: its number and its own words."""

    code: int
    text: str


class NvmlMemory(msgspec.Struct, frozen=True, tag="memory"):
    """A device's memory as NVML counts it."""

    total_bytes: int
    free_bytes: int


class NvmlSlice(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a device that MIG has cut into parts."""

    name: str | NvmlFailure
    memory: NvmlMemory | NvmlFailure


class NvmlDevice(msgspec.Struct, frozen=True, kw_only=True):
    """The raw answers for one device."""

    name: str | NvmlFailure
    memory: NvmlMemory | NvmlFailure
    compute_capability: tuple[int, int] | NvmlFailure
    bus: str | NvmlFailure = NvmlFailure(0, "it was not asked for")
    is_cut: bool = False
    """True where MIG is switched on: the device itself can then not be used, only its slices."""
    slices: tuple[NvmlSlice, ...] = ()


class NvmlReadings(msgspec.Struct, frozen=True, kw_only=True, tag="readings"):
    """The raw answers of one driver."""

    driver_version: str | NvmlFailure
    devices: tuple[NvmlDevice, ...]
    cuda_version: int | NvmlFailure = NvmlFailure(0, "it was not asked for")
    """12040 stands for 12.4."""


Answers = NvmlReadings | NvmlFailure


class NvmlSnapshot(msgspec.Struct, frozen=True):
    """What NVML said at one moment, or why it said nothing."""

    answers: Answers


def gather() -> NvmlSnapshot:
    """Load NVIDIA's binding and ask it."""
    import pynvml

    return NvmlSnapshot(ask(pynvml))


def ask(nvml: Any) -> Answers:
    """Ask NVML for everything. A call that fails leaves its failure in the place of its answer."""
    started = _call(nvml, nvml.nvmlInit)
    if isinstance(started, NvmlFailure):
        return started
    try:
        count = _call(nvml, nvml.nvmlDeviceGetCount)
        if isinstance(count, NvmlFailure):
            return count
        return NvmlReadings(
            driver_version=_call(nvml, lambda: str(nvml.nvmlSystemGetDriverVersion())),
            devices=tuple(_ask_device(nvml, index) for index in range(count)),
            cuda_version=_call(nvml, lambda: int(nvml.nvmlSystemGetCudaDriverVersion_v2())),
        )
    finally:
        _call(nvml, nvml.nvmlShutdown)


def _ask_device(nvml: Any, index: int) -> NvmlDevice:
    """Ask for one device."""
    handle = _call(nvml, lambda: nvml.nvmlDeviceGetHandleByIndex(index))
    if isinstance(handle, NvmlFailure):
        return NvmlDevice(name=handle, memory=handle, compute_capability=handle, bus=handle)
    mode = _call(nvml, lambda: nvml.nvmlDeviceGetMigMode(handle)[0])
    is_cut = mode == 1
    return NvmlDevice(
        name=_call(nvml, lambda: str(nvml.nvmlDeviceGetName(handle))),
        memory=_call(nvml, lambda: _memory(nvml.nvmlDeviceGetMemoryInfo(handle))),
        compute_capability=_call(nvml, lambda: _pair(nvml.nvmlDeviceGetCudaComputeCapability(handle))),
        bus=_call(nvml, lambda: str(nvml.nvmlDeviceGetPciInfo(handle).busId)),
        is_cut=is_cut,
        slices=_ask_slices(nvml, handle) if is_cut else (),
    )


def _ask_slices(nvml: Any, handle: Any) -> tuple[NvmlSlice, ...]:
    """Ask for every slice that is set up; places without one answer "not found"."""
    most = _call(nvml, lambda: int(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)))
    if isinstance(most, NvmlFailure):
        return ()
    handles = [_call(nvml, lambda i=i: nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, i)) for i in range(most)]  # type: ignore[misc]
    return tuple(_ask_slice(nvml, part) for part in handles if not isinstance(part, NvmlFailure))


def _ask_slice(nvml: Any, handle: Any) -> NvmlSlice:
    """Ask for one slice."""
    return NvmlSlice(
        name=_call(nvml, lambda: str(nvml.nvmlDeviceGetName(handle))),
        memory=_call(nvml, lambda: _memory(nvml.nvmlDeviceGetMemoryInfo(handle))),
    )


def _memory(info: Any) -> NvmlMemory:
    """Copy the two figures out of NVML's own structure."""
    return NvmlMemory(int(info.total), int(info.free))


def _pair(numbers: Any) -> tuple[int, int]:
    """Copy a version's two numbers."""
    return int(numbers[0]), int(numbers[1])


def _call(nvml: Any, ask: Callable[[], T]) -> T | NvmlFailure:
    """Make one call, its failure as a value."""
    try:
        return ask()
    except nvml.NVMLError as error:
        return NvmlFailure(int(error.value), str(error))
