"""Whatever cuts an install off, the store is the old one or the new one, and the next install succeeds."""

import errno
import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.errors import LandfastError, NotEnoughSpace, NotWritable
from deploy.store.store import Store
from tests.deploy.store.kit import (
    EVEN,
    KEY,
    ODD,
    ONE,
    OTHER,
    check,
    description,
    install,
    loaded,
    pins,
    quiet,
    snapshot,
    stage,
)

ROOM = Path(__file__).parents[3]
KILLS = 40
OLD = {"a.gguf": b"GGUF old a", "b.gguf": b"GGUF old b"}
NEW = {"a.gguf": b"GGUF new a", "b.gguf": b"GGUF new b", "c.gguf": b"GGUF old b"}

Raise = Callable[[], BaseException]


class Fuse:
    """Makes one call of the operating system fail, the n-th of those that write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, nth: int, error: Raise, *, after: bool) -> None:
        """Put the fuse into every call that the store writes with."""
        self.left, self.error, self.after, self.blown = nth, error, after, False
        for owner, name in (
            (os, "fsync"),
            (os, "replace"),
            (os, "unlink"),
            (os, "mkdir"),
            (os, "chmod"),
            (os, "rmdir"),
        ):
            monkeypatch.setattr(owner, name, self._guarded(getattr(owner, name)))

    def _guarded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, which fails before or after its work when its turn has come."""

        def guarded(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left != 0:
                return call(*args, **kwargs)
            self.blown = True
            if self.after:
                call(*args, **kwargs)
            raise self.error()

        return guarded


def old_store(root: Path) -> Store:
    """A store with two models, one of which is about to be replaced."""
    store = Store(root)
    install(store, OLD)
    install(store, {"b.gguf": OLD["b.gguf"]}, OTHER)
    return store


def points(root: Path, error: Raise, caught: type[BaseException], *, after: bool) -> Iterator[tuple[int, Store]]:
    """Cut the install of NEW over OLD off at its first write, its second and so on, until one gets through."""
    for nth in itertools.count(1):
        store = old_store(root / str(nth))
        with pytest.MonkeyPatch.context() as monkeypatch:
            fuse = Fuse(monkeypatch, nth, error, after=after)
            try:
                install(store, NEW)
            except caught:
                assert fuse.blown
        if not fuse.blown:
            return
        yield nth, store


def assert_whole(store: Store) -> None:
    """The store is the old one or the new one, and goes on working."""
    assert loaded(store) in (OLD, NEW)
    assert loaded(store, OTHER) == {"b.gguf": OLD["b.gguf"]}
    assert store.damaged() == ()
    assert not list(store.root.rglob(".new-*"))
    for record in store.installed():
        assert {found.verdict for found in store.verify(record, quiet)} == {"ok"}
    install(store, NEW)
    assert loaded(store) == NEW
    store.clear_staging()
    assert store.staged_bytes() == 0
    assert len(list((store.root / "blobs" / "sha256").iterdir())) == 4
    assert [record.serial for record in store.former(KEY)] == [1]


@pytest.fixture
def tmp_path(memory_path: Path) -> Path:
    """In memory: what a kill leaves does not depend on the disk, only on what was written."""
    return memory_path


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_interrupt_at_any_write_leaves_old_or_new(tmp_path: Path, *, after: bool) -> None:
    """Ctrl-C around every single change of the disk."""
    count = 0
    for nth, store in points(tmp_path, KeyboardInterrupt, KeyboardInterrupt, after=after):
        assert_whole(store)
        count = nth
    assert count > 20


def test_a_disk_that_fills_at_any_write_leaves_old_or_new(tmp_path: Path) -> None:
    """Every call may find the disk full; the user never sees the system's own error."""
    for _, store in points(tmp_path, lambda: OSError(errno.ENOSPC, "full"), NotEnoughSpace, after=False):
        assert_whole(store)


def test_a_disk_that_turns_read_only_at_any_write_leaves_old_or_new(tmp_path: Path) -> None:
    """A failing disk is mounted read-only by the system in mid-work."""
    for _, store in points(tmp_path, lambda: OSError(errno.EROFS, "read-only"), NotWritable, after=False):
        assert_whole(store)


def test_bytes_are_on_the_disk_before_their_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut a name never stands for bytes that were not written: each file, then its folder, is synced."""
    synced: list[int] = []
    renamed: list[Path] = []
    sync, replace = os.fsync, os.replace

    def spied_sync(descriptor: int) -> None:
        sync(descriptor)
        synced.append(os.fstat(descriptor).st_ino)

    def spied_replace(source: Path, target: Path) -> None:
        assert source.stat().st_ino in synced
        replace(source, target)
        while target.parent.stat().st_ino in synced:
            synced.remove(target.parent.stat().st_ino)
        renamed.append(target)

    monkeypatch.setattr(os, "fsync", spied_sync)
    monkeypatch.setattr(os, "replace", spied_replace)
    install(Store(tmp_path), NEW)
    assert [path.parent.name for path in renamed] == ["tiny@Q4_K_M", "sha256", "sha256", "sha256", "models"]
    assert {path.parent.stat().st_ino for path in renamed[1:]} <= set(synced)


def test_files_cut_off_in_mid_move_need_no_second_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut between the first and the second rename: the next transaction has every staged file again."""
    store = Store(tmp_path)
    monkeypatch.setattr("deploy.store.transaction._tidy", lambda *_: None)
    monkeypatch.setattr("deploy.store.transaction.sync_folder", _cut_off)
    with pytest.raises(KeyboardInterrupt):
        install(store, NEW)
    monkeypatch.undo()
    assert not list((tmp_path / "staging" / "tiny@Q4_K_M" / "files").iterdir())
    with store.transaction(KEY, 0, quiet) as transaction:
        assert {path.name for path in transaction.staging.iterdir()} >= {"a.gguf", "b.gguf"}
        transaction.commit(stage(transaction, NEW), pins(NEW), check, lambda _: description())
    assert loaded(store) == NEW


def test_files_cut_off_in_mid_move_survive_other_installs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another model that comes and goes meanwhile does not take them for rubbish."""
    store = Store(tmp_path)
    monkeypatch.setattr("deploy.store.transaction._tidy", lambda *_: None)
    monkeypatch.setattr("deploy.store.transaction.sync_folder", _cut_off)
    with pytest.raises(KeyboardInterrupt):
        install(store, ONE)
    monkeypatch.undo()
    install(store, OLD, OTHER)
    store.remove(OTHER)
    with store.transaction(KEY, 0, quiet) as transaction:
        assert (transaction.staging / "tiny.gguf").read_bytes() == ONE["tiny.gguf"]


def test_bytes_cut_off_in_mid_move_are_counted_and_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who does not want the model any more gets the space back."""
    store = Store(tmp_path)
    monkeypatch.setattr("deploy.store.transaction._tidy", lambda *_: None)
    monkeypatch.setattr("deploy.store.transaction.sync_folder", _cut_off)
    with pytest.raises(KeyboardInterrupt):
        install(store, ONE)
    assert snapshot(tmp_path)
    assert store.staged_bytes() >= len(ONE["tiny.gguf"])
    assert store.clear_staging(KEY) >= len(ONE["tiny.gguf"])
    assert snapshot(tmp_path) == {}
    assert store.staged_bytes() == 0


def _cut_off(_: Path) -> None:
    """Stop at once."""
    raise KeyboardInterrupt


@pytest.mark.no_cover
def test_kill_at_random_points_leaves_old_or_new(tmp_path: Path) -> None:
    """Forty times a process that installs and removes without end is killed with signal 9 at a random moment."""
    store = Store(tmp_path / "store")
    seen: list[dict[str, bytes] | None] = []
    for number in range(KILLS):
        _run_and_kill(store.root, number % 3, random.uniform(0.0, 0.06))  # noqa: S311 - no secret
        seen.append(loaded(store))
        assert seen[-1] in (None, EVEN, ODD)
        assert store.damaged() == ()
    assert EVEN in seen
    assert ODD in seen
    install(store, ONE)
    for record in store.former(KEY):
        store.forget(KEY, record.serial)
    store.clear_staging()
    assert loaded(store) == ONE
    assert list(snapshot(store.root)) == [
        f"blobs/sha256/{store.installed()[0].files[0].sha256}",
        "models/tiny@Q4_K_M.json",
    ]
    assert store.staged_bytes() == 0


def _run_and_kill(root: Path, installs: int, after_s: float) -> None:
    """Let the endless installer finish so many installs, and then work for a moment."""
    command = [sys.executable, "-m", "tests.deploy.store.forever", str(root)]
    with subprocess.Popen(command, cwd=ROOM, stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"ready\n"
        for _ in range(installs):
            assert child.stdout.readline() == b"installed\n"
        time.sleep(after_s)
        assert child.poll() is None
        child.kill()


def test_two_processes_install_the_same_model_once(tmp_path: Path) -> None:
    """The slower one waits, says so, and finds the model there."""
    command = [sys.executable, "-m", "tests.deploy.store.rival", str(tmp_path)]
    rivals = [subprocess.Popen(command, cwd=ROOM, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(rival.communicate(timeout=60)[0] for rival in rivals)
    assert [rival.returncode for rival in rivals] == [0, 0]
    assert said[0] == "installed\n"
    assert said[1].startswith("waiting for another")
    assert said[1].endswith("present\n")
    assert loaded(Store(tmp_path)) == ONE


def test_too_little_space_is_told_before_the_first_byte(tmp_path: Path) -> None:
    """The sentence says how much is needed and how much is there; nothing is staged."""
    store = Store(tmp_path)
    with pytest.raises(NotEnoughSpace, match=r"GB is needed, and .* has .* free") as caught:  # noqa: SIM117 - the exit is tested
        with store.transaction(KEY, 10**18, quiet):
            pytest.fail("the block must not begin")
    assert isinstance(caught.value, LandfastError)
    assert store.staged_bytes() == 0


def test_what_is_staged_counts_as_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed install needs only what is missing."""
    store = Store(tmp_path)
    with store.transaction(KEY, 0, quiet) as transaction:
        (transaction.staging / "part").write_bytes(b"x" * 8192)
    free = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr("deploy.store.transaction.shutil.disk_usage", lambda _: free)
    with store.transaction(KEY, 9192, quiet):
        pass
    with pytest.raises(NotEnoughSpace), store.transaction(KEY, 9193, quiet):
        pass


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    """The sentence names the place."""
    root = tmp_path / "store"
    root.write_text("not a folder")
    with pytest.raises(NotWritable, match=str(root)), Store(root).transaction(KEY, 0, quiet):
        pass
