"""The store on disks that are really full and really read-only."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.errors import NotEnoughSpace, NotWritable
from deploy.store.store import Store
from tests.deploy.store.kit import KEY, ONE, TWO, check, description, install, loaded, pins, quiet, stage

pytestmark = pytest.mark.root


def run(*command: str) -> None:
    """Run a system tool that must succeed."""
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte, in memory."""
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    folder = tmp_path / "disk"
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        run("umount", "--lazy", str(folder))


def fill(folder: Path) -> Path:
    """Take every byte that is left on a disk."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    return ballast


def test_a_model_larger_than_the_disk_is_refused_at_once(small_disk: Path) -> None:
    """Two mebibytes do not fit on one, and half a mebibyte does."""
    store = Store(small_disk / "store")
    with pytest.raises(NotEnoughSpace, match="free"), store.transaction(KEY, 2 * 2**20, quiet):
        pass
    assert store.rubbish() == ()
    with store.transaction(KEY, 2**19, quiet):
        pass


def test_a_disk_that_is_full_at_the_commit_keeps_what_was_staged(small_disk: Path) -> None:
    """Not even the lock file fits; once there is space, the staged bytes are used."""
    store = Store(small_disk / "store")
    install(store, TWO)
    with pytest.raises(NotEnoughSpace), store.transaction(KEY, 0, quiet) as transaction:  # noqa: PT012 - the order matters
        paths = stage(transaction, ONE)
        ballast = fill(small_disk)
        transaction.commit(paths, pins(ONE), check, lambda _: description())
    assert loaded(store) == TWO
    ballast.unlink()
    with store.transaction(KEY, 0, quiet) as transaction:
        files = [transaction.staging / name for name in ONE]
        transaction.commit(files, pins(ONE), check, lambda _: description())
    assert loaded(store) == ONE


def test_a_read_only_store_loads_and_refuses_changes(small_disk: Path) -> None:
    """Root too is told in a sentence; loading and verifying need no right to write."""
    store = Store(small_disk / "store")
    record = install(store, ONE)
    run("mount", "-o", "remount,ro", str(small_disk))
    assert loaded(store) == ONE
    assert {found.verdict for found in store.verify(record, quiet)} == {"ok"}
    with pytest.raises(NotWritable, match=str(small_disk)), store.transaction(KEY, 0, quiet):
        pass
    with pytest.raises(NotWritable, match=str(small_disk)):
        store.remove(KEY)
    with pytest.raises(NotWritable, match="Read-only"), Store(small_disk / "new").transaction(KEY, 0, quiet):
        pass
