"""Several files hashed at once, and files hashed while they are written: the same answers, sooner."""

import hashlib
import os
import threading
from pathlib import Path

import pytest

from deploy.errors import IntegrityError
from deploy.sources.base import Progress, Report
from deploy.sources.seen import Follower, Seen, identity
from deploy.store import hashing
from deploy.store.files import sha256_of
from deploy.store.hashing import side_by_side
from deploy.store.store import Store
from tests.deploy.store.kit import KEY, ONE, check, description, loaded, pins, quiet, sha256, stage

SIZES = (3_000_000, 0, 1_500_000, 10)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, ...]:
    """Files of several sizes, on a machine with four cores that takes them for large."""
    monkeypatch.setattr(hashing, "SMALL_BYTES", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    paths = tuple(tmp_path / str(number) for number in range(len(SIZES)))
    for path, size_bytes in zip(paths, SIZES, strict=True):
        path.write_bytes(os.urandom(size_bytes))
    return paths


def digest(path: Path, report: Report) -> str:
    """One file's hash."""
    return sha256_of(path, path.name, report)[0]


def size(path: Path) -> int:
    """One file's size."""
    return path.stat().st_size


def test_every_file_gets_its_own_hash_and_progress_runs_over_all(files: tuple[Path, ...]) -> None:
    """Results come in the order of the files, whichever was done first."""
    heard: list[Progress] = []
    found = side_by_side(files, digest, size, heard.append, "verify 4 files")
    assert found == tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    assert {(progress.step, progress.text, progress.total_bytes) for progress in heard} == {
        ("verify", "verify 4 files", sum(SIZES))
    }
    assert [progress.done_bytes for progress in heard] == sorted(progress.done_bytes for progress in heard)
    assert heard[-1].done_bytes == sum(SIZES)


def test_files_are_hashed_at_the_same_time(files: tuple[Path, ...]) -> None:
    """Two jobs meet: neither could go on alone."""
    meeting = threading.Barrier(2, timeout=30)

    def meet(path: Path, _: Report) -> str:
        meeting.wait()
        return path.name

    assert side_by_side(files, meet, size, quiet, "meet") == ("0", "1", "2", "3")


def test_a_report_that_raises_stops_all_of_them(files: tuple[Path, ...]) -> None:
    """Ctrl-C, or somebody who presses Stop, does not wait for forty gigabytes."""

    def stop(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side(files, digest, size, stop, "verify 4 files")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("landfast-hash")]


def test_a_job_that_fails_is_heard(files: tuple[Path, ...]) -> None:
    """The first failure is raised, and the others end."""

    def work(path: Path, report: Report) -> str:
        if path.name == "1":
            raise IntegrityError("Bad.")
        return digest(path, report)

    with pytest.raises(IntegrityError):
        side_by_side(files, work, size, quiet, "verify 4 files")


def test_small_files_need_no_threads(tmp_path: Path) -> None:
    """Starting them would take longer than the hashing."""
    path = tmp_path / "small"
    path.write_bytes(b"small")
    here = threading.get_ident()
    assert side_by_side([path] * 3, lambda *_: threading.get_ident(), size, quiet, "x") == (here,) * 3


def test_a_follower_hashes_what_it_is_handed() -> None:
    """More blocks than may wait, of uneven sizes."""
    blocks = [os.urandom(number * 1000) for number in range(50)]
    with Follower() as follower:
        for block in blocks:
            follower.update(block)
        assert follower.hexdigest() == hashlib.sha256(b"".join(blocks)).hexdigest()


def test_a_file_that_was_hashed_while_it_was_written_is_not_read_again(tmp_path: Path) -> None:
    """No report of hashing is heard; a file that was touched since is hashed all the same."""
    for touched in (False, True):
        store = Store(tmp_path / str(touched))
        heard: list[Progress] = []
        with store.transaction(KEY, 0, heard.append) as transaction:
            (path,) = stage(transaction, ONE)
            seen = Seen(sha256=sha256(ONE["tiny.gguf"]), identity=identity(path))
            if touched:
                os.utime(path)
            transaction.commit((path,), pins(ONE), check, lambda _: description(), {path: seen})
        assert bool(heard) is touched
        assert loaded(store) == ONE


def test_a_hash_seen_while_writing_must_be_the_promised_one(tmp_path: Path) -> None:
    """Sparing the second reading spares no comparison."""
    store = Store(tmp_path)
    with store.transaction(KEY, 0, quiet) as transaction:
        (path,) = stage(transaction, {"tiny.gguf": ONE["tiny.gguf"][:-1] + b"?"})
        seen = Seen(sha256=sha256(path.read_bytes()), identity=identity(path))
        with pytest.raises(IntegrityError, match="catalogue promises"):
            transaction.commit((path,), pins(ONE), check, lambda _: description(), {path: seen})
    assert store.installed() == ()
