"""Killed with signal 9, or left without disk space, at random points: the store is the old one or the new one.

A kill comes before the n-th time that something on the disk is about to change, for every n, and between two lines
of the code that moves files, each as likely as any other.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

import deploy
from deploy.commands.adopt import adopt, look
from deploy.commands.bundle import CreateRequest, create
from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from deploy.commands.models import remove
from deploy.commands.upkeep import collect
from deploy.commands.versions import switch
from deploy.errors import LandfastError, NotEnoughSpace
from tests.support.gguf import text, tiny_model
from tests.support.world import TINY, FakeSource, artifact, model, world

pytestmark = pytest.mark.no_cover

RANDOM_KILLS: Final = 20
"""For each of the five changes, beside one for every change of the disk: 200 and more in all."""
FULL_DISKS: Final = 10
"""Likewise: 50 in all."""
CODE: Final = tuple(str(Path(deploy.__file__).parent / room) for room in ("store", "sources", "bundle"))
WRITES: Final = frozenset({"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "os.link"})
PAGE_BYTES: Final = 4096
DISK_BYTES: Final = 4 << 20
ID: Final = "tiny:Q4_0"


def variant(name: str) -> bytes:
    """Another file of the same model, of a few hundred kilobytes, so that a disk fills in the middle of it."""
    file = tiny_model()
    file.settings["general.name"] = text(name)
    file.settings["general.description"] = text("x" * 200_000)
    return file.build()


NEW: Final = variant("Tiny, mended")


def at(home: Path, body: bytes) -> Context:
    """A world whose catalogue and source know these bytes."""
    return world(home, model("tiny", artifact("Q4_0", body=body)), sources=(FakeSource(files={"tiny.gguf": body}),))


def versioned(home: Path) -> None:
    """A model in its second version."""
    for body in (TINY, NEW):
        install(at(home / "home", body), InstallRequest(model="tiny"))


def littered(home: Path) -> None:
    """Former versions, an interrupted install, a file that was set aside, and one that nobody knows."""
    versioned(home)
    store = at(home / "home", NEW).store
    with store.transaction("other:Q8_0", 0, print) as transaction:
        (transaction.staging / "half").write_bytes(b"half a model")
    (store.root / "quarantine").mkdir()
    (store.root / "quarantine" / ("a" * 64)).write_bytes(b"bad")
    (store.root / "blobs" / "sha256" / ("b" * 64)).write_bytes(b"nobody's")


def bundled(home: Path) -> None:
    """A bundle with the model beside a home that trusts its maker and has an older version."""
    here = at(home / "home", NEW)
    install(here, InstallRequest(model="tiny"))
    create(here, CreateRequest(out=str(home / "bundle"), part_bytes=100_000))
    remove(here, "tiny")
    install(at(home / "home", TINY), InstallRequest(model="tiny"))


def found_elsewhere(home: Path) -> None:
    """The model's file in another program's folder."""
    (home / "elsewhere").mkdir()
    (home / "elsewhere" / "tiny.gguf").write_bytes(NEW)


def old_only(home: Path) -> None:
    """A model in its first version."""
    install(at(home / "home", TINY), InstallRequest(model="tiny"))


def adopting(home: Path) -> None:
    """Take in what another program has."""
    here = replace(at(home / "home", NEW), sources=())
    found = look(here, str(home / "elsewhere")).data
    assert found is not None
    result = adopt(here, found)
    if result.errors:
        raise NotEnoughSpace(result.errors[0].message)


def switching(home: Path) -> None:
    """Take the first version into use; again does nothing."""
    switch(at(home / "home", NEW), "tiny", "1")


@pytest.fixture
def tmp_path(memory_path: Path) -> Path:
    """In memory: what a kill leaves does not depend on the disk, only on what was written."""
    return memory_path


@dataclass(frozen=True)
class Change:
    """One way to change a store."""

    prepare: Callable[[Path], None]
    act: Callable[[Path], object]


CHANGES: Final = {
    "install": Change(old_only, lambda home: install(at(home / "home", NEW), InstallRequest(model="tiny"))),
    "adopt": Change(found_elsewhere, adopting),
    "bundle": Change(
        bundled,
        lambda home: install(at(home / "home", NEW), InstallRequest(model="tiny", folder=str(home / "bundle"))),
    ),
    "switch": Change(versioned, switching),
    "gc": Change(littered, lambda home: collect(at(home / "home", NEW), former=True)),
}


def state(home: Path) -> dict[str, bytes]:
    """What an engine would read of every model. Every version that is listed is whole."""
    store = at(home / "home", NEW).store
    assert store.damaged() == ()
    for verdicts in store.verify_all(store.versions(), print):
        assert {found.verdict for found in verdicts} == {"ok"}
    return {one.id: store.open_files(one, print)[0].read_bytes() for one in store.installed()}


def assert_whole(change: Change, home: Path, allowed: tuple[dict[str, bytes], dict[str, bytes]]) -> None:
    """The store is the old one or the new one; the same command ends the work, and gc leaves nothing behind."""
    assert state(home) in allowed
    change.act(home)
    assert state(home) == allowed[1]
    here = at(home / "home", NEW)
    collect(here)
    assert here.store.rubbish() == ()
    assert not list(here.store.root.rglob(".new-*"))
    named = {sha256 for one in here.store.versions() for sha256 in one.hashes}
    assert {blob.name for blob in (here.store.root / "blobs" / "sha256").glob("*")} == named


def traced(act: Callable[[Path], object], home: Path, at_line: int) -> int:
    """Do something and count the lines of Landfast that it takes; at the given one the process kills itself."""
    count = 0

    def line(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        if count == at_line:
            os.kill(os.getpid(), signal.SIGKILL)
        return line

    def call(frame: FrameType, event: str, argument: Any) -> Any:
        return line if frame.f_code.co_filename.startswith(CODE) else None

    earlier = sys.gettrace()
    sys.settrace(call)
    try:
        act(home)
    finally:
        sys.settrace(earlier)
    return count


def before_change(act: Callable[[Path], object], home: Path, nth: int) -> None:
    """Do something; before the n-th change of the disk the process kills itself. Only for a process of its own."""
    count = 0

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event not in WRITES and not opened:
            return
        count += 1
        if count == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(heard)
    act(home)


def killed(work: Callable[[], object]) -> bool:
    """Do something in a process of its own, and say whether it was killed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of forks beside threads
        child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - this copy of the tests must end here, whatever happens
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or status == 0
    return os.WIFSIGNALED(status)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("name", CHANGES)
def test_a_kill_at_any_point_leaves_old_or_new(name: str, tmp_path: Path) -> None:
    """At every change of the disk, and at twenty random lines."""
    change = CHANGES[name]
    (tmp_path / "old").mkdir()
    change.prepare(tmp_path / "old")
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    lines = traced(change.act, tmp_path / "new", 0)
    allowed = (state(tmp_path / "old"), state(tmp_path / "new"))
    home = tmp_path / "case"

    def hit(work: Callable[[], object]) -> bool:
        shutil.copytree(tmp_path / "old", home)
        hit = killed(work)
        assert_whole(change, home, allowed)
        shutil.rmtree(home)
        return hit

    for at_line in random.sample(range(1, lines), RANDOM_KILLS):
        assert hit(partial(traced, change.act, home, at_line))
    nth = 1
    while hit(partial(before_change, change.act, home, nth)):
        nth += 1
    assert nth > RANDOM_KILLS // 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few mebibytes, in memory."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("mounting takes root")
    folder = tmp_path / "disk"
    folder.mkdir()
    options = f"size={DISK_BYTES}"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=False).returncode:  # noqa: S607
        pytest.skip("mounting is not possible here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S607


def leave(folder: Path, pages: int) -> Path:
    """Fill a disk up to so many pages."""
    ballast = folder / "ballast"
    free_bytes = shutil.disk_usage(folder).free
    ballast.write_bytes(b"x" * max(0, free_bytes - pages * PAGE_BYTES))
    return ballast


@pytest.mark.root
@pytest.mark.parametrize("name", CHANGES)
def test_a_disk_that_is_full_at_random_points_leaves_old_or_new(name: str, tmp_path: Path, small_disk: Path) -> None:
    """Ten times for each change, the disk takes a random part of what is to be written."""
    change = CHANGES[name]
    (tmp_path / "old").mkdir()
    change.prepare(tmp_path / "old")
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    change.act(tmp_path / "new")
    allowed = (state(tmp_path / "old"), state(tmp_path / "new"))
    most = 6 if name in {"switch", "gc"} else len(NEW) // PAGE_BYTES + 6
    refused = 0
    for pages in random.sample(range(most), min(FULL_DISKS, most)) + [0] * max(0, FULL_DISKS - most):
        home = small_disk / "case"
        shutil.copytree(tmp_path / "old", home)
        ballast = leave(small_disk, pages)
        try:
            change.act(home)
        except LandfastError as error:
            refused += isinstance(error, NotEnoughSpace)
        ballast.unlink()
        assert_whole(change, home, allowed)
        shutil.rmtree(home)
    assert refused > 0 or name == "gc"
