"""What the machine runs in and on: container, virtual machine, WSL, battery."""

import os
import re
from typing import Final

from profiles.machine import Environment, Fact
from profiles.probes.reading import line_of, read_if_there, unknown_fact
from profiles.world import NotRecorded, World

_POWER: Final = "/sys/class/power_supply"
_VARIABLES: Final = ("KUBERNETES_SERVICE_HOST", "container", "WSL_DISTRO_NAME")
_HYPERVISORS: Final = {
    "KVM": "KVM",
    "QEMU": "QEMU",
    "VMware": "VMware",
    "VirtualBox": "VirtualBox",
    "innotek": "VirtualBox",
    "Xen": "Xen",
    "Amazon EC2": "Amazon EC2",
    "Google Compute Engine": "Google Compute Engine",
    "Virtual Machine": "Hyper-V",
    "Apple Virtualization": "Apple Virtualization",
    "OpenStack": "OpenStack",
}
_DMI: Final = ("/sys/class/dmi/id/product_name", "/sys/class/dmi/id/sys_vendor")
_GROUPS: Final = (
    ("kubepods", "kubernetes"),
    ("docker", "docker"),
    ("libpod", "podman"),
    ("lxc", "lxc"),
    ("containerd", "containerd"),
)


def read(world: World) -> Environment:
    """Read all of it."""
    variables = _variables(world)
    return Environment(
        container=_container(world, variables),
        virtual_machine=_virtual_machine(world),
        wsl=_wsl(world),
        power=_power(world),
        virtualisation=_virtualisation(world),
    )


def gather() -> dict[str, str]:
    """Take the few variables that tell a container, without their values' details."""
    return {name: os.environ[name] if name == "container" else "set" for name in _VARIABLES if os.environ.get(name)}


def _variables(world: World) -> dict[str, str]:
    """Ask for them; a fragment of a machine holds none."""
    try:
        return world.ask("environment variables", gather, dict[str, str])
    except NotRecorded:
        return {}


def _container(world: World, variables: dict[str, str]) -> Fact[str]:
    """Name the container by what its makers leave in it."""
    if world.platform != "linux":
        return Fact("", "platform")
    if "KUBERNETES_SERVICE_HOST" in variables:
        return Fact("kubernetes", "KUBERNETES_SERVICE_HOST")
    for path, name in (("/run/.containerenv", "podman"), ("/.dockerenv", "docker")):
        if read_if_there(world, path) is not None:
            return Fact(name, path)
    if "container" in variables:
        return Fact(variables["container"], "the variable container")
    groups = line_of(world, "/proc/self/cgroup") + line_of(world, "/proc/1/cgroup")
    named = next((name for word, name in _GROUPS if re.search(rf"[/:]{word}", groups)), None)
    mounts = line_of(world, "/proc/self/mountinfo")
    if named is None and "fuse.lxcfs" in mounts:
        named = "lxc"
    return Fact(named or "", "/proc/self/cgroup")


def _virtual_machine(world: World) -> Fact[str]:
    """Name the hypervisor by the firmware's tables, else by the processor's flag."""
    texts = [line_of(world, path) for path in _DMI]
    named = next((name for word, name in _HYPERVISORS.items() if any(word in text for text in texts)), None)
    if named:
        return Fact(named, _DMI[0])
    cpuinfo = _cpuinfo(world)
    if cpuinfo is None:
        return unknown_fact("it is not read on this operating system", "platform")
    if re.search(r"^flags.*\bhypervisor\b", cpuinfo, re.MULTILINE):
        return Fact("a hypervisor", "/proc/cpuinfo flags")
    return Fact("", "/proc/cpuinfo flags")


def _cpuinfo(world: World) -> str | None:
    """Read /proc/cpuinfo; None where there is none or it cannot be read."""
    try:
        return read_if_there(world, "/proc/cpuinfo")
    except OSError:
        return None


def _wsl(world: World) -> Fact[bool]:
    """Tell the Windows Subsystem for Linux by its kernel's name."""
    release = line_of(world, "/proc/version")
    return Fact("microsoft" in release.lower() or bool(world.entries("/usr/lib/wsl/lib")), "/proc/version")


def _power(world: World) -> Fact[str]:
    """Tell mains from battery. A machine without a battery is on mains."""
    if world.platform != "linux":
        return unknown_fact("it is not read on this operating system", "platform")
    supplies = world.entries(_POWER)
    kinds = {name: line_of(world, f"{_POWER}/{name}/type") for name in supplies}
    states = [line_of(world, f"{_POWER}/{name}/status") for name, kind in kinds.items() if kind == "Battery"]
    return Fact("battery" if "Discharging" in states else "mains", _POWER)


def _virtualisation(world: World) -> Fact[bool]:
    """Tell whether the processor can host virtual machines."""
    cpuinfo = _cpuinfo(world)
    if cpuinfo is None or "flags" not in cpuinfo:
        return unknown_fact("the processor's flags do not say", "/proc/cpuinfo flags")
    return Fact(bool(re.search(r"^flags.*\b(vmx|svm)\b", cpuinfo, re.MULTILINE)), "/proc/cpuinfo flags")
