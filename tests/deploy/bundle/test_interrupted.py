"""Killed, raced and collected: taking a bundle in, or another program's files, ends old or new and goes on."""

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from deploy.commands.adopt import adopt, look
from tests.deploy.bundle.kit import BIG, PART_BYTES, copy_of, heard_by, parts_of, take, taker, tree
from tests.deploy.sources.kit import Listener

pytestmark = pytest.mark.usefixtures("unmeasured_children")

ROOM: Final = Path(__file__).parents[3]
KILLS: Final = 20


def _run_and_kill(how: str, home: Path, place: Path, after_s: float) -> None:
    """Let the restless process work for a moment."""
    command = [sys.executable, "-m", "tests.deploy.bundle.restless", how, str(home), str(place)]
    with subprocess.Popen(command, cwd=ROOM, stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"ready\n"
        time.sleep(after_s)
        assert child.poll() is None
        child.kill()


@pytest.mark.no_cover
@pytest.mark.parametrize("how", ["bundle", "adopt"])
def test_killed_at_random_points_the_store_is_old_or_new(bundle: Path, tmp_path: Path, how: str) -> None:
    """Twenty times signal 9; the model is whole or not there, the source is untouched, and the next try succeeds."""
    place = bundle
    if how == "adopt":
        place = tmp_path / "others"
        place.mkdir()
        (place / "theirs.gguf").write_bytes(BIG)
    before = tree(place)
    here = taker(tmp_path / "host", bundle)
    begun_s = time.monotonic()
    take(taker(tmp_path / "stopwatch", bundle), bundle)
    install_s = time.monotonic() - begun_s
    for _ in range(KILLS):
        _run_and_kill(how, tmp_path / "host", place, random.uniform(0.0, 3 * install_s))  # noqa: S311 - no secret
        assert here.store.damaged() == ()
        for record in here.store.installed():
            (path,) = here.store.open_files(record, here.report)
            assert path.read_bytes() == BIG
    assert take(here, bundle) == BIG
    here.store.clear_staging()
    assert here.store.staged_bytes() == 0
    assert tree(place) == before


def test_a_killed_install_reads_again_only_what_was_not_staged(bundle: Path, tmp_path: Path) -> None:
    """Parts that were staged are taken from there: the medium need not even hold them any more."""
    command = [sys.executable, "-m", "tests.deploy.bundle.rival", "install", str(tmp_path / "host"), str(bundle)]
    here = taker(tmp_path / "host", bundle)
    with subprocess.Popen(command, cwd=ROOM, stdout=subprocess.PIPE) as child:
        while not any(path.stat().st_size > PART_BYTES for path in (here.store.root / "staging").rglob("big.gguf")):
            assert child.poll() is None
        child.kill()
    lesser = copy_of(bundle, tmp_path / "lesser")
    parts_of(lesser, "big.gguf")[0].unlink()
    assert take(here, lesser) == BIG


def test_two_processes_take_the_same_model_in_once(bundle: Path, tmp_path: Path) -> None:
    """One copies; the other waits and finds it there."""
    here = taker(tmp_path / "host", bundle)
    command = [sys.executable, "-m", "tests.deploy.bundle.rival", "install", str(tmp_path / "host"), str(bundle)]
    rivals = [subprocess.Popen(command, cwd=ROOM, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(rival.communicate(timeout=60)[0] for rival in rivals)
    assert said == ["installed\n", "present\n"]
    assert take(here, bundle) == BIG


def test_collecting_rubbish_takes_nothing_from_a_running_install(bundle: Path, tmp_path: Path) -> None:
    """One process clears the store without pause from before another installs until that has done so."""
    here = taker(tmp_path / "host", bundle)
    command = [sys.executable, "-m", "tests.deploy.bundle.rival"]
    place = [str(tmp_path / "host"), str(bundle)]
    words = [*command, "gc", *place]
    collector = subprocess.Popen(words, cwd=ROOM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert collector.stdout is not None
    assert collector.stdout.readline() == "collecting\n"
    installer = subprocess.Popen([*command, "install", *place], cwd=ROOM, stdout=subprocess.PIPE, text=True)
    assert installer.communicate(timeout=60)[0] == "installed\n"
    assert collector.poll() is None
    assert collector.communicate(timeout=60)[0] == "collected\n"
    (record,) = here.store.installed()
    (path,) = here.store.open_files(record, here.report)
    assert path.read_bytes() == BIG


def test_an_interrupted_adoption_leaves_the_others_files_alone(bundle: Path, tmp_path: Path) -> None:
    """Stopped at one report of the copy or the hashing after the other."""
    theirs = tmp_path / "theirs.gguf"
    theirs.write_bytes(BIG)
    before = theirs.stat()
    here = taker(tmp_path / "host", bundle)
    for stop_at in range(2):
        left = [stop_at]

        def stop(_: object, left: list[int] = left) -> bool:
            left[0] -= 1
            return left[0] < 0

        found = look(here, str(tmp_path)).data
        assert found is not None
        with pytest.raises(KeyboardInterrupt):
            adopt(heard_by(here, Listener(stop)), found)
        assert here.store.installed() == ()
    assert theirs.read_bytes() == BIG
    assert (theirs.stat().st_mtime_ns, theirs.stat().st_mode) == (before.st_mtime_ns, before.st_mode)
