"""The operating system's name, and the file system of the model store."""

import shutil
from pathlib import Path

from profiles.machine import Unknown
from profiles.probes import disk, system
from profiles.world import LiveWorld


def test_a_distribution_is_called_what_it_calls_itself() -> None:
    """On Linux the pretty name of os-release is the name people know."""
    found = system.parse({"PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)"}, "Linux", "6.1", "x86_64")
    assert found.operating_system.value == "Debian GNU/Linux 12 (bookworm)"
    assert found.architecture.value == "x86_64"


def test_other_systems_get_name_and_version() -> None:
    """Without os-release the kernel's name serves, in Apple's own spelling on a Mac."""
    assert system.parse({}, "Darwin", "15.5", "arm64").operating_system.value == "macOS 15.5"
    assert system.parse({}, "Windows", "11", "AMD64").operating_system.value == "Windows 11"


def test_a_nameless_platform_is_unknown() -> None:
    """Empty answers are no names."""
    found = system.parse({}, "", "", "")
    assert isinstance(found.operating_system.value, Unknown)
    assert isinstance(found.architecture.value, Unknown)


def test_a_store_that_does_not_exist_yet_has_room(tmp_path: Path) -> None:
    """The nearest folder that is there decides the file system; the path shown is the one asked for."""
    path = tmp_path / "models" / "blobs"
    found = disk.read(LiveWorld(), path)
    assert found.path == str(path)
    assert found.total_bytes.value == shutil.disk_usage(tmp_path).total
    assert str(tmp_path) in found.free_bytes.source


def test_the_nearest_folder_may_be_the_root() -> None:
    """A path of which nothing exists ends at the root."""
    assert disk.nearest_existing(Path("/no-such-folder/at/all")) == Path("/")
