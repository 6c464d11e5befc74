"""NVIDIA devices: recorded answers of NVML, and a stand-in for the library."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import NoReturn

import pytest

from profiles.machine import Unknown
from profiles.probes import nvidia, nvml, pci
from profiles.probes.nvml import NvmlDevice, NvmlFailure, NvmlMemory, NvmlReadings, NvmlSlice
from profiles.world import World

Tree = Callable[[dict[str, str]], World]

NOT_SUPPORTED = NvmlFailure(3, "Not Supported")
L4 = NvmlDevice(name="NVIDIA L4", memory=NvmlMemory(23034 << 20, 22000 << 20), compute_capability=(8, 9))
GB10 = NvmlDevice(name="NVIDIA GB10", memory=NOT_SUPPORTED, compute_capability=(12, 1))
"""DGX Spark, driver 580.173.02, as reported in github.com/XuehaiPan/nvitop pull 208: both memory calls fail."""


def readings(*devices: NvmlDevice, driver: str = "580.173.02") -> NvmlReadings:
    """Give the answers of a driver that works."""
    return NvmlReadings(driver_version=driver, devices=devices)


def test_a_card_with_memory_of_its_own() -> None:
    """Every fact of a healthy card is there."""
    (card,) = nvidia.parse(readings(L4), ()).known or ()
    assert (card.name, card.vendor, card.memory_kind) == ("NVIDIA L4", "nvidia", "dedicated")
    assert (card.total_bytes.value, card.free_bytes.value) == (23034 << 20, 22000 << 20)
    assert (card.driver_version.value, card.compute_capability.value) == ("580.173.02", "8.9")


def test_unified_memory_has_no_figures_of_its_own() -> None:
    """DGX Spark: the device is there, and its memory is the host's."""
    (device,) = nvidia.parse(readings(GB10), ()).known or ()
    assert device.memory_kind == "unified"
    assert isinstance(device.total_bytes.value, Unknown)
    assert device.compute_capability.value == "12.1"


def test_unified_memory_that_a_driver_reports_is_not_counted_twice() -> None:
    """Older drivers give the host's total for the same device; it stays unified and unknown."""
    older = NvmlDevice(name="NVIDIA GB10", memory=NvmlMemory(1 << 37, 1 << 36), compute_capability=(12, 1))
    (device,) = nvidia.parse(readings(older), ()).known or ()
    assert device.memory_kind == "unified"
    assert device.free_bytes.known is None


def test_one_failing_reading_costs_only_itself() -> None:
    """A card that fell off the bus keeps its place in the list, with the driver's words."""
    lost = NvmlFailure(15, "GPU is lost")
    broken = NvmlDevice(name=lost, memory=lost, compute_capability=lost)
    first, second = nvidia.parse(readings(broken, L4), ()).known or ()
    assert first.name == "NVIDIA device 0"
    assert isinstance(first.free_bytes.value, Unknown)
    assert "GPU is lost" in first.free_bytes.value.reason
    assert second.free_bytes.value == 22000 << 20


def test_a_full_card_has_zero_bytes_free_and_an_empty_answer_is_unknown() -> None:
    """Zero free is a reading; zero in total is none."""
    full = NvmlDevice(name="Tesla P40", memory=NvmlMemory(1 << 34, 0), compute_capability=(6, 1))
    void = NvmlDevice(name="Tesla P40", memory=NvmlMemory(0, 0), compute_capability=(6, 1))
    first, second = nvidia.parse(readings(full, void), ()).known or ()
    assert first.free_bytes.value == 0
    assert isinstance(second.total_bytes.value, Unknown)
    assert isinstance(second.free_bytes.value, Unknown)


@pytest.mark.parametrize("failure", [NvmlFailure(12, "Library Not Found"), NvmlFailure(9, "Driver Not Loaded")])
def test_no_driver_and_no_device_means_none(failure: NvmlFailure) -> None:
    """A machine without the vendor's hardware has an empty list, not an unknown one."""
    assert nvidia.parse(failure, ()).value == ()


@pytest.mark.parametrize("answer", [NvmlFailure(9, "Driver Not Loaded"), readings()])
def test_a_device_without_a_working_driver_is_still_a_device(answer: NvmlReadings | NvmlFailure) -> None:
    """What the bus shows is listed, with everything about it unknown."""
    (device,) = nvidia.parse(answer, ("NVIDIA device 0x1db6 at 0000:5a:00.0",)).known or ()
    assert device.name == "NVIDIA device 0x1db6 at 0000:5a:00.0"
    assert isinstance(device.total_bytes.value, Unknown)
    assert device.total_bytes.value.reason


def test_a_driver_that_does_not_answer_is_unknown() -> None:
    """Library and kernel module of different versions: it cannot be told what is there."""
    answer = nvidia.parse(NvmlFailure(18, "RM has detected an NVML/RM version mismatch."), ())
    assert isinstance(answer.value, Unknown)
    assert "version mismatch" in answer.value.reason


def test_the_bus_lists_display_and_compute_devices_only(tree: Tree) -> None:
    """The sound part of a card and other makers' cards are left out; a 3D controller without a screen counts."""
    folder = "sys/bus/pci/devices"
    cards = {
        "0000:5a:00.0": ("0x10de", "0x030200"),
        "0000:01:00.1": ("0x10de", "0x040300"),
        "0000:00:02.0": ("0x8086", "0x030000"),
    }
    files: dict[str, str] = {}
    for slot, (vendor, kind) in cards.items():
        files |= {
            f"{folder}/{slot}/vendor": vendor,
            f"{folder}/{slot}/class": kind,
            f"{folder}/{slot}/device": "0x1db6",
        }
    (found,) = pci.displays(tree(files), pci.NVIDIA)
    assert (found.slot, found.device) == ("0000:5a:00.0", 0x1DB6)


class FakeNvmlError(Exception):
    """What the stand-in raises."""

    value = 3


def refuse(*_: object) -> NoReturn:
    """Fail as NVML does for a reading that a device lacks."""
    raise FakeNvmlError


def fake_nvml(**changes: object) -> SimpleNamespace:
    """Stand in for the library: one card that answers everything."""
    calls: dict[str, object] = {
        "NVMLError": FakeNvmlError,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlSystemGetDriverVersion": lambda: "580.1",
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda _: "NVIDIA L4",
        "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(total=1 << 34, free=1 << 33),
        "nvmlDeviceGetCudaComputeCapability": lambda _: (8, 9),
        "nvmlSystemGetCudaDriverVersion_v2": lambda: 12040,
        "nvmlDeviceGetMigMode": lambda _: (0, 0),
        "nvmlDeviceGetPciInfo": lambda _: SimpleNamespace(busId="00000000:01:00.0"),
        "nvmlDeviceGetMaxMigDeviceCount": lambda _: 2,
        "nvmlDeviceGetMigDeviceHandleByIndex": lambda handle, index: handle if index == 0 else refuse(),
    }
    return SimpleNamespace(**calls | changes)


def test_gathering_copies_every_answer() -> None:
    """The gatherer turns the library's structures into plain values."""
    memory = NvmlMemory(1 << 34, 1 << 33)
    device = NvmlDevice(name="NVIDIA L4", memory=memory, compute_capability=(8, 9), bus="00000000:01:00.0")
    assert nvml.ask(fake_nvml()) == NvmlReadings(driver_version="580.1", devices=(device,), cuda_version=12040)


def test_gathering_lists_the_slices_of_a_cut_device() -> None:
    """With MIG on, each slice that is set up is asked for; an empty place is no slice."""
    answer = nvml.ask(fake_nvml(nvmlDeviceGetMigMode=lambda _: (1, 1)))
    assert isinstance(answer, NvmlReadings)
    assert answer.devices[0].slices == (NvmlSlice(name="NVIDIA L4", memory=NvmlMemory(1 << 34, 1 << 33)),)


@pytest.mark.parametrize("call", ["nvmlInit", "nvmlDeviceGetCount"])
def test_gathering_ends_early_where_nothing_can_be_listed(call: str) -> None:
    """Without a list of devices there is one failure instead of readings."""
    assert isinstance(nvml.ask(fake_nvml(**{call: refuse})), NvmlFailure)


def test_gathering_keeps_failures_in_their_places() -> None:
    """A refused call leaves the others standing."""
    refused = fake_nvml(nvmlDeviceGetMemoryInfo=refuse, nvmlSystemGetDriverVersion=refuse)
    answer = nvml.ask(refused)
    assert isinstance(answer, NvmlReadings)
    assert isinstance(answer.driver_version, NvmlFailure)
    assert isinstance(answer.devices[0].memory, NvmlFailure)
    assert answer.devices[0].name == "NVIDIA L4"
    lost = nvml.ask(fake_nvml(nvmlDeviceGetHandleByIndex=refuse))
    assert isinstance(lost, NvmlReadings)
    assert isinstance(lost.devices[0].name, NvmlFailure)
