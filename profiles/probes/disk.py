"""Room on the file system that holds, or would hold, a path."""

import os
import shutil
from functools import partial
from pathlib import Path

import msgspec

from profiles.machine import Disk, Fact
from profiles.probes.reading import fact_or_unknown, line_of, unknown_fact
from profiles.world import World


class DiskUsage(msgspec.Struct, frozen=True):
    """Room, the folder that was asked, and the numbers of the device it stands on."""

    folder: str
    total_bytes: int
    free_bytes: int
    device: tuple[int, int] | None = None


def read(world: World, path: Path) -> Disk:
    """Measure the file system of the path's nearest folder that exists. Free means free for this user."""
    usage = world.ask("disk", partial(gather, path), DiskUsage)
    source = f"shutil.disk_usage({usage.folder})"
    return Disk(
        path=str(path),
        total_bytes=Fact(usage.total_bytes, source),
        free_bytes=Fact(usage.free_bytes, source),
        kind=_kind(world, usage.device),
    )


def gather(path: Path) -> DiskUsage:
    """Ask the operating system."""
    folder = nearest_existing(path.expanduser().absolute())
    usage = shutil.disk_usage(folder)
    number = folder.stat().st_dev
    device = (os.major(number), os.minor(number)) if hasattr(os, "major") else None
    return DiskUsage(str(folder), usage.total, usage.free, device)


def _kind(world: World, device: tuple[int, int] | None) -> Fact[str]:
    """Tell turning disks from others by what the kernel says of the device, or of the whole that it is a part of."""
    if device is None:
        return unknown_fact("it is not read on this operating system", "platform")
    block = f"/sys/dev/block/{device[0]}:{device[1]}"
    paths = (f"{block}/queue/rotational", f"{block}/../queue/rotational")
    found = next((text for path in paths if (text := line_of(world, path))), None)
    names = {"0": "solid-state", "1": "rotating"}
    return fact_or_unknown(names.get(found or ""), f"{block}/queue/rotational", "the folder is on no single disk")


def nearest_existing(path: Path) -> Path:
    """Give the path itself or its nearest parent that is there; the store need not exist yet."""
    return next((place for place in (path, *path.parents) if place.exists()), path)
