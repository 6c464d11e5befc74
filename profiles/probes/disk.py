"""Room on the file system that holds, or would hold, a path."""

import shutil
from pathlib import Path

from profiles.machine import Disk, Fact


def read(path: Path) -> Disk:
    """Measure the file system of the path's nearest folder that exists. Free means free for this user."""
    folder = nearest_existing(path.expanduser().absolute())
    usage = shutil.disk_usage(folder)
    source = f"shutil.disk_usage({folder})"
    return Disk(path=str(path), total_bytes=Fact(usage.total, source), free_bytes=Fact(usage.free, source))


def nearest_existing(path: Path) -> Path:
    """Give the path itself or its nearest parent that is there; the store need not exist yet."""
    return next((place for place in (path, *path.parents) if place.exists()), path)
