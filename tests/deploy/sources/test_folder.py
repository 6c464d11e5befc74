"""Models in a folder or named as one file."""

import os
from pathlib import Path

import msgspec
import pytest

from deploy.errors import NotFound, NotWritable, Unreachable
from deploy.sources.base import NoOffer, Offer
from deploy.sources.folder import Folder
from tests.deploy.sources.kit import Listener, artifact_of

BODY = os.urandom(20 << 20)
"""More than two pieces of 8 MiB."""


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """A folder that is not the staging folder."""
    folder = tmp_path / "stick"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("place", ["m.gguf", "models/m.gguf"])
def test_a_file_is_found_at_the_top_or_one_level_down(stick: Path, tmp_path: Path, place: str) -> None:
    """It is copied whole, with progress up to its size, and the original stays."""
    (stick / place).parent.mkdir(exist_ok=True)
    (stick / place).write_bytes(BODY)
    listener = Listener()
    (path,) = Folder(stick).fetch(artifact_of({"m.gguf": BODY}), tmp_path / "staging", listener)
    assert path.read_bytes() == BODY == (stick / place).read_bytes()
    assert tmp_path / "staging" in path.parents
    assert [progress.done_bytes for progress in listener.heard] == [8 << 20, 16 << 20, 20 << 20]


def test_it_works_where_the_kernel_cannot_copy(stick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between file systems or on other systems, reading and writing do it."""
    (stick / "m.gguf").write_bytes(BODY)
    monkeypatch.delattr(os, "copy_file_range")
    (path,) = Folder(stick).fetch(artifact_of({"m.gguf": BODY}), tmp_path / "staging", Listener())
    assert path.read_bytes() == BODY


def test_one_file_may_be_named_directly_whatever_its_name(stick: Path, tmp_path: Path) -> None:
    """The name does not matter, the store decides by the bytes."""
    (stick / "renamed.bin").write_bytes(b"GGUF")
    (path,) = Folder(stick / "renamed.bin").fetch(artifact_of({"m.gguf": b"GGUF"}), tmp_path / "staging", Listener())
    assert path.name == "m.gguf"
    assert path.read_bytes() == b"GGUF"


def test_files_come_in_the_catalogues_order(stick: Path, tmp_path: Path) -> None:
    """Parts in different folders come out in order, with progress over all of them."""
    (stick / "x").mkdir()
    (stick / "b.gguf").write_bytes(b"first")
    (stick / "x" / "a.gguf").write_bytes(b"second")
    listener = Listener()
    artifact = artifact_of({"b.gguf": b"first", "a.gguf": b"second"})
    paths = Folder(stick).fetch(artifact, tmp_path / "staging", listener)
    assert [path.read_bytes() for path in paths] == [b"first", b"second"]
    assert listener.heard[-1].done_bytes == listener.heard[-1].total_bytes == 11


def test_of_several_candidates_the_one_of_the_right_size_is_taken(stick: Path, tmp_path: Path) -> None:
    """A torn download beside the whole file does not get in its way."""
    (stick / "x").mkdir()
    (stick / "m.gguf").write_bytes(b"GG")
    (stick / "x" / "m.gguf").write_bytes(b"GGUF")
    (path,) = Folder(stick).fetch(artifact_of({"m.gguf": b"GGUF"}), tmp_path / "staging", Listener())
    assert path.read_bytes() == b"GGUF"


def test_what_is_missing_is_listed(stick: Path, tmp_path: Path) -> None:
    """NotFound names every file that was looked for in vain, two levels down included, and so does the offer."""
    (stick / "x" / "y").mkdir(parents=True)
    (stick / "x" / "y" / "b.gguf").write_bytes(b"b")
    (stick / "a.gguf").write_bytes(b"a")
    artifact = artifact_of({"a.gguf": b"a", "b.gguf": b"b", "c.gguf": b"c"})
    with pytest.raises(NotFound, match=r"b\.gguf, c\.gguf") as caught:
        Folder(stick).fetch(artifact, tmp_path / "staging", Listener())
    assert Folder(stick).offer(artifact) == NoOffer(source=f"folder {stick}", reason=caught.value.message)


def test_a_place_that_is_not_there_is_said_to_be_missing(stick: Path, tmp_path: Path) -> None:
    """A stick that was pulled is told from one without the file."""
    gone = Folder(stick / "gone")
    with pytest.raises(NotFound, match="There is no"):
        gone.fetch(artifact_of({"m.gguf": b"GGUF"}), tmp_path / "staging", Listener())
    assert not gone.reach(5).reachable
    assert Folder(stick).reach(5).reachable


def test_an_offer_names_the_folder(stick: Path) -> None:
    """What lies there by name is offered."""
    (stick / "m.gguf").write_bytes(b"GGUF")
    offer = Folder(stick).offer(artifact_of({"m.gguf": b"GGUF"}))
    assert offer == Offer(source=f"folder {stick}")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file whose reading fails")
def test_a_file_that_cannot_be_read_is_unreachable(stick: Path, tmp_path: Path) -> None:
    """An input error of the medium is told from a fault of the target."""
    (stick / "m.gguf").symlink_to("/proc/self/mem")
    with pytest.raises(Unreachable, match="cannot be read") as caught:
        Folder(stick).fetch(artifact_of({"m.gguf": b"GGUF"}), tmp_path / "staging", Listener())
    assert "m.gguf" in caught.value.message


def test_a_pipe_or_a_folder_of_that_name_is_no_file(stick: Path, tmp_path: Path) -> None:
    """What is not a plain file is not opened, so that nothing waits for ever."""
    os.mkfifo(stick / "m.gguf")
    (stick / "x" / "m.gguf").mkdir(parents=True)
    with pytest.raises(NotFound):
        Folder(stick).fetch(artifact_of({"m.gguf": b"GGUF"}), tmp_path / "staging", Listener())


def test_a_name_from_the_catalogue_leads_nowhere_else(stick: Path, tmp_path: Path) -> None:
    """Only the last part of a name is used, in the folder and in staging, and it is no pattern."""
    (stick / "m[1].gguf").write_bytes(b"GGUF")
    artifact = artifact_of({"../../m[1].gguf": b"GGUF"})
    (path,) = Folder(stick).fetch(artifact, tmp_path / "staging", Listener())
    assert path == tmp_path / "staging" / "folder" / "m[1].gguf"


def test_an_interrupted_copy_goes_on(stick: Path, tmp_path: Path) -> None:
    """The second call begins where the first one stopped."""
    (stick / "m.gguf").write_bytes(BODY)
    artifact = artifact_of({"m.gguf": BODY})
    with pytest.raises(KeyboardInterrupt):
        Folder(stick).fetch(artifact, tmp_path / "staging", Listener(lambda progress: progress.done_bytes >= 16 << 20))
    listener = Listener()
    (path,) = Folder(stick).fetch(artifact, tmp_path / "staging", listener)
    assert path.read_bytes() == BODY
    assert [progress.done_bytes for progress in listener.heard] == [20 << 20]


def test_a_copy_of_other_bytes_is_begun_anew(stick: Path, tmp_path: Path) -> None:
    """A longer or different file under the same name in staging does not survive."""
    (stick / "m.gguf").write_bytes(BODY)
    artifact = artifact_of({"m.gguf": BODY})
    for left in (b"other", bytes(len(BODY)), BODY + b"more"):
        target = tmp_path / "staging" / "folder" / "m.gguf"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(left)
        (path,) = Folder(stick).fetch(artifact, tmp_path / "staging", Listener())
        assert path.read_bytes() == BODY


def test_a_staging_folder_that_cannot_be_made_is_not_writable(stick: Path, tmp_path: Path) -> None:
    """A file where the folder should be gives NotWritable, and not a complaint about the source."""
    (stick / "m.gguf").write_bytes(b"GGUF")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotWritable):
        Folder(stick).fetch(artifact_of({"m.gguf": b"GGUF"}), tmp_path / "file" / "staging", Listener())


def test_several_files_cannot_be_one_file(stick: Path, tmp_path: Path) -> None:
    """A model in parts is not found in a single file."""
    (stick / "a.gguf").write_bytes(b"a")
    artifact = artifact_of({"a.gguf": b"a", "b.gguf": b"b"})
    with pytest.raises(NotFound):
        Folder(stick / "a.gguf").fetch(artifact, tmp_path / "staging", Listener())
    assert msgspec.structs.replace(artifact, files=artifact.files[:1]).size_bytes == 1
