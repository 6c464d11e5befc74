"""Which files the engine's own code is made of, and which devices a graphics driver needs."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SYSTEM_LIBRARIES: Final = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/nix/store", "/gnu/store")
SYSTEM_FILES: Final = (
    *("/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo", "/dev/urandom"),
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/devices/system/cpu", "/sys/devices/system/node"),
)
"""What C libraries and engines look up about the machine itself. Nothing here belongs to a person."""
GPU_BACKENDS: Final = ("cuda", "hip", "vulkan", "sycl", "musa", "cann", "opencl")
GPU_DEVICES: Final = (
    *("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset", "/dev/nvidia-caps"),
    *("/dev/dri", "/dev/kfd", "/dev/dxg", "/dev/nvhost-gpu", "/dev/nvmap"),
)
GPU_FILES: Final = (
    *("/proc/driver/nvidia", "/proc/devices", "/proc/modules", "/proc/sys/vm", "/proc/self", "/sys/bus/pci"),
    *("/sys/devices", "/sys/class", "/sys/module", "/usr/share/vulkan", "/etc/vulkan", "/usr/share/nvidia"),
    *("/usr/local/cuda", "/opt/rocm", "/etc/OpenCL"),
)


def code_folders() -> tuple[str, ...]:
    """Folders from which the engine's own code comes: Python, its packages, the system's libraries."""
    here = Path(__file__).resolve().parents[2]
    folders = [str(here), *_package_folders(here.parent), *SYSTEM_LIBRARIES]
    folders += [os.path.join(prefix, "lib") for prefix in (sys.prefix, sys.base_prefix)]  # noqa: PTH118 - texts
    folders += [folder for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder.startswith("/")]
    return tuple(folder for folder in dict.fromkeys(folders) if folder != "/" and Path(folder).is_dir())


def engine_libraries() -> tuple[Path, ...]:
    """The engine's compiled libraries, found without loading them."""
    spec = importlib.util.find_spec("llama_cpp")
    folders = (spec.submodule_search_locations or ()) if spec else ()
    found = (library for folder in folders for library in Path(folder, "lib").glob("lib*") if not library.is_symlink())
    return tuple(sorted(found))


def gpu_backends() -> tuple[str, ...]:
    """Kinds of graphics processor that this build of the engine can use; found by the names of its libraries."""
    names = [library.name for library in engine_libraries()]
    return tuple(kind for kind in GPU_BACKENDS if any(f"ggml-{kind}" in name for name in names))


def gpu_devices() -> tuple[str, ...]:
    """Device files of the graphics drivers that are here."""
    numbered = (str(path) for path in Path("/dev").glob("nvidia[0-9]*"))
    return tuple(path for path in (*GPU_DEVICES, *numbered) if Path(path).exists())


def _package_folders(checkout: Path) -> Iterator[str]:
    """The import path, but not a checkout's root: beside the code lies whatever its owner keeps there."""
    for entry in map(Path, sys.path):
        is_checkout = entry.absolute() == checkout and entry.name not in {"site-packages", "dist-packages"}
        if entry.is_absolute() and not is_checkout:
            yield str(entry)
