"""What a machine runs in, neural processors, disks, and GPUs that only Vulkan knows."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from profiles.machine import Unknown
from profiles.probes import disk, environment, npu, vulkan
from profiles.probes.disk import DiskUsage
from profiles.recording import SCHEMA, Recording, ReplayWorld
from profiles.world import World

Tree = Callable[[dict[str, str]], World]
VARIABLES = ("KUBERNETES_SERVICE_HOST", "container", "WSL_DISTRO_NAME")


@pytest.mark.parametrize(
    ("files", "variables", "expected"),
    [
        ({}, {}, ""),
        ({"/.dockerenv": ""}, {}, "docker"),
        ({"/run/.containerenv": ""}, {}, "podman"),
        ({"/.dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "set"}, "kubernetes"),
        ({"/proc/self/cgroup": "1:memory:/lxc/box\n"}, {}, "lxc"),
        ({"/proc/self/cgroup": "0::/system.slice/docker-0123.scope\n"}, {}, "docker"),
        ({"/proc/self/mountinfo": "9 1 0:5 /proc/meminfo /proc/meminfo rw - fuse.lxcfs lxcfs rw\n"}, {}, "lxc"),
        ({"/proc/self/cgroup": "0::/user.slice/user-1000.slice\n"}, {}, ""),
        ({}, {"container": "systemd-nspawn"}, "systemd-nspawn"),
    ],
)
def test_containers_are_named(files: dict[str, str], variables: dict[str, str], expected: str) -> None:
    """By the file, variable, group or mount that its makers leave inside."""
    world = ReplayWorld(Recording(schema=SCHEMA, files=files, libraries={"environment variables": variables}))
    assert environment.read(world).container.value == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"sys/class/dmi/id/product_name": "KVM Virtual Machine\n"}, "KVM"),
        ({"sys/class/dmi/id/sys_vendor": "VMware, Inc.\n"}, "VMware"),
        ({"proc/cpuinfo": "processor: 0\nflags: fpu hypervisor avx\n"}, "a hypervisor"),
        ({"proc/cpuinfo": "processor: 0\nflags: fpu avx\n"}, ""),
    ],
)
def test_virtual_machines_are_named(files: dict[str, str], expected: str, tree: Tree) -> None:
    """By the firmware's tables, else by the processor's flag; bare metal is an empty name, not Unknown."""
    assert environment.read(tree(files)).virtual_machine.value == expected


def test_battery_and_mains(tree: Tree) -> None:
    """Only a battery that discharges says that the machine runs on it."""
    power = "sys/class/power_supply"
    files = {f"{power}/BAT0/type": "Battery\n", f"{power}/BAT0/status": "Discharging\n", f"{power}/AC/type": "Mains\n"}
    assert environment.read(tree(files)).power.value == "battery"
    files[f"{power}/BAT0/status"] = "Charging\n"
    assert environment.read(tree(files)).power.value == "mains"


def test_a_processor_says_whether_it_can_host_machines(tree: Tree) -> None:
    """Intel's and AMD's flags for it."""
    assert environment.read(tree({"proc/cpuinfo": "flags: fpu svm\n"})).virtualisation.value is True
    assert environment.read(tree({"proc/cpuinfo": "flags: fpu\n"})).virtualisation.value is False


def test_wsl_is_told_by_its_kernel(tree: Tree) -> None:
    """Both generations name Microsoft in the kernel's version."""
    assert environment.read(tree({"proc/version": "Linux version 6.6.87.2-microsoft-standard-WSL2"})).wsl.value is True
    assert environment.read(tree({"proc/version": "Linux version 6.12"})).wsl.value is False


def test_variables_are_kept_without_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address of a cluster is nobody's business; a container's kind is what is asked for."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("container", "podman")
    assert environment.gather() == {"KUBERNETES_SERVICE_HOST": "set", "container": "podman"}


@pytest.mark.parametrize(
    ("driver", "expected"),
    [("intel_vpu", "Intel NPU"), ("amdxdna", "AMD XDNA NPU"), ("newcomer", "newcomer")],
)
def test_neural_processors_are_named_by_their_driver(driver: str, expected: str, tree: Tree) -> None:
    """They are named and counted nowhere."""
    world = tree({"sys/class/accel/accel0/device/uevent": f"DRIVER={driver}\n"})
    assert npu.read(world).value == (expected,)


@pytest.mark.parametrize(("text", "expected"), [("0\n", "solid-state"), ("1\n", "rotating")])
def test_a_disk_is_told_by_its_device(text: str, expected: str, tmp_path: Path) -> None:
    """A partition has the queue of the disk that it is a part of."""
    recording = Recording(
        schema=SCHEMA,
        files={"/sys/dev/block/8:1/../queue/rotational": text},
        libraries={"disk": {"folder": "/", "total_bytes": 2, "free_bytes": 1, "device": [8, 1]}},
    )
    assert disk.read(ReplayWorld(recording), tmp_path).kind.value == expected


def test_a_folder_on_no_disk_has_no_kind(tmp_path: Path) -> None:
    """Memory, networks and layers of a container stand on no single disk."""
    usage = {"folder": "/", "total_bytes": 2, "free_bytes": 1, "device": [0, 42]}
    world = ReplayWorld(Recording(schema=SCHEMA, libraries={"disk": usage}))
    assert isinstance(disk.read(world, tmp_path).kind.value, Unknown)


@pytest.mark.skipif(not hasattr(os, "major"), reason="needs device numbers")
def test_this_machines_disk_has_a_number(tmp_path: Path) -> None:
    """The device of the folder is what the file system says."""
    usage: DiskUsage = disk.gather(tmp_path)
    assert usage.device == (os.major(tmp_path.stat().st_dev), os.minor(tmp_path.stat().st_dev))


SUMMARY = """WARNING: [Loader Message] Code 0
==========
VULKANINFO
==========
Devices:
========
GPU0:
\tvendorID           = 0x10005
\tdeviceType         = PHYSICAL_DEVICE_TYPE_CPU
\tdeviceName         = llvmpipe (LLVM 19.1.0, 256 bits)
GPU1:
\tvendorID           = 0x5143
\tdeviceType         = PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU
\tdeviceName         = Adreno X1-85
\tdriverInfo         = Mesa 25.1.0
GPU2:
\tvendorID           = 0x1002
\tdeviceType         = PHYSICAL_DEVICE_TYPE_DISCRETE_GPU
\tdeviceName         = AMD Radeon RX 6700 XT (RADV NAVI22)
"""


def test_vulkan_names_what_nobody_else_knows() -> None:
    """A processor's GPU of another maker and a card are devices of unknown memory; llvmpipe is none."""
    adreno, card = vulkan.parse(SUMMARY).known or ()
    assert (adreno.name, adreno.vendor, adreno.memory_kind) == ("Adreno X1-85", "other", "unified")
    assert adreno.driver_version.value == "Mesa 25.1.0"
    assert (card.vendor, card.memory_kind) == ("amd", "dedicated")
    assert isinstance(card.total_bytes.value, Unknown)
