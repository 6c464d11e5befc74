"""A host's store as it is made and found: its rights after a break, who is told what, and who may only look."""

import os
import stat
import sys
from pathlib import Path

import pytest

from deploy.errors import IntegrityError
from deploy.store import sharing
from deploy.store.store import Store
from deploy.store.stores import Stores
from tests.deploy.store.kit import KEY, ONE, TWO, install, quiet, sha256

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a store for the whole host is kept elsewhere")


@pytest.fixture(autouse=True)
def own_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """The group of whoever runs the tests stands for the one of the host's readers."""
    monkeypatch.setattr(sharing, "_group_number", os.getgid)


def mode(path: Path) -> int:
    """The rights of a folder."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("cut", ["never", "above", "at the store"])
def test_the_folders_get_their_rights_whatever_the_umask_and_the_break(tmp_path: Path, cut: str) -> None:
    """Everyone can pass to the store, and the next call finishes what one that was cut off began."""
    root = tmp_path / "lib" / "landfast" / "store"
    if cut != "never":
        root.parent.parent.mkdir(0o755)
        (root if cut == "at the store" else root.parent).mkdir(0o700, parents=True)
        root.parent.chmod(0o700)
    before = os.umask(0o077)
    try:
        sharing.make_root(root)
    finally:
        os.umask(before)
    assert [mode(folder) for folder in (root.parent.parent, root.parent, root)] == [0o755, 0o755, 0o2750]


def test_a_store_that_its_owner_closed_later_stays_closed(tmp_path: Path) -> None:
    """Only a folder in which nothing was made yet is one that was cut off."""
    root = tmp_path / "store"
    sharing.make_root(root)
    (root / "models").mkdir()
    root.chmod(0o700)
    sharing.make_root(root)
    assert mode(root) == 0o700


@pytest.mark.parametrize(("rights", "refused"), [(0o755, False), (0o1777, False), (0o777, True), (0o775, True)])
def test_a_folder_that_others_could_put_another_store_into_is_refused(
    tmp_path: Path, rights: int, *, refused: bool
) -> None:
    """The store's own rights are worth nothing there; a sticky folder keeps what is another's."""
    above = tmp_path / "above"
    above.mkdir()
    sharing.make_root(above / "store")
    above.chmod(rights)
    closed = sharing.why_closed(above / "store")
    assert (closed is not None) == refused
    assert closed is None or f"chmod g-w,o-w {above}" in closed.hint


def test_nobody_is_told_to_join_the_administrators_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with root's group needs another group first."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    status = list(tmp_path.stat())
    status[stat.ST_GID] = 0
    monkeypatch.setattr(Path, "stat", lambda *_, **__: os.stat_result(status))
    closed = sharing.why_closed(tmp_path)
    assert closed is not None
    assert f"chgrp -R landfast {tmp_path}" in closed.hint
    assert "usermod -aG landfast" in closed.hint


def test_a_host_is_only_read_even_by_one_who_might_write_there(tmp_path: Path) -> None:
    """Without --system, an altered file stays where it is and no record is written anew."""
    host = Store(tmp_path / "host")
    install(host, ONE)
    blob = host.root / "blobs" / "sha256" / sha256(ONE["tiny.gguf"])
    stores = Stores(tmp_path / "own", host.root)
    paper = next((host.root / "models").glob("*.json"))
    before = paper.read_bytes()
    os.utime(blob, ns=(0, 0))
    (record,) = stores.installed()
    stores.open_files(record, quiet)
    stores.verify(record, quiet)
    assert paper.read_bytes() == before
    blob.chmod(0o644)
    blob.write_bytes(b"x" * len(ONE["tiny.gguf"]))
    assert [found.moved_to for found in stores.verify(record, quiet)] == [None]
    assert blob.exists()


def test_a_former_version_that_is_spoilt_is_not_cured_by_installing(tmp_path: Path) -> None:
    """Installing brings the present one."""
    store = Store(tmp_path / "store")
    install(store, ONE)
    install(store, TWO)
    (former,) = store.former(KEY)
    blob = store.root / "blobs" / "sha256" / sha256(ONE["tiny.gguf"])
    blob.chmod(0o644)
    blob.write_bytes(b"x" * len(ONE["tiny.gguf"]))
    with pytest.raises(IntegrityError) as caught:
        store.open_files(former, quiet)
    assert caught.value.hint.startswith(f"Remove this version with `landfast models remove {former.version}`")
