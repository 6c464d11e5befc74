"""Taking in models that other programs have brought: found wherever they keep them, matched by hash, never changed."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from deploy.commands.adopt import adopt, look
from deploy.commands.context import Context
from deploy.errors import NotFound, UsageError
from deploy.sources.local_files import LocalFile, find, places
from tests.support.gguf import split_model
from tests.support.world import TINY, artifact, file_of, model, world

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a file system of its own is the point
SHA256 = hashlib.sha256(TINY).hexdigest()


def ollama(home: Path) -> None:
    """A blob without a name, and the manifest that has one for it."""
    blobs = home / ".ollama" / "models" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"sha256-{SHA256}").write_bytes(TINY)
    (blobs / "sha256-licence").write_text("terms")
    manifest = home / ".ollama" / "models" / "manifests" / "registry.example" / "library" / "tiny" / "latest"
    manifest.parent.mkdir(parents=True)
    layers = [
        {"mediaType": "application/vnd.ollama.image.licence", "digest": "sha256:" + "0" * 64},
        {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{SHA256}", "size": len(TINY)},
    ]
    manifest.write_bytes(msgspec.json.encode({"schemaVersion": 2, "layers": layers}))


def hub(home: Path) -> None:
    """A link in a snapshot to a file named by its hash."""
    repository = home / ".cache" / "huggingface" / "hub" / "models--some--tiny"
    (repository / "blobs").mkdir(parents=True)
    (repository / "blobs" / SHA256).write_bytes(TINY)
    (repository / "snapshots" / "abc").mkdir(parents=True)
    (repository / "snapshots" / "abc" / "tiny.gguf").symlink_to(repository / "blobs" / SHA256)


def lm_studio(home: Path) -> None:
    """Publisher, repository, file."""
    folder = home / ".lmstudio" / "models" / "some" / "tiny-GGUF"
    folder.mkdir(parents=True)
    (folder / "tiny.gguf").write_bytes(TINY)


def llama_cpp(home: Path) -> None:
    """One flat folder."""
    folder = home / ".cache" / "llama.cpp"
    folder.mkdir(parents=True)
    (folder / "some_tiny.gguf").write_bytes(TINY)


def jan(home: Path) -> None:
    """Deep below its data folder."""
    folder = home / ".local" / "share" / "Jan" / "data" / "llamacpp" / "models" / "tiny"
    folder.mkdir(parents=True)
    (folder / "model.gguf").write_bytes(TINY)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without any program in it."""
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "OLLAMA_MODELS", "LLAMA_CACHE"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr(Path, "home", lambda: home)
    return home


@pytest.fixture
def here(tmp_path: Path) -> Context:
    """A host that knows the tiny model and has no source."""
    return world(tmp_path / "host", sources=())


def tree(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Everything about the files of other programs that an adoption must not change."""
    return {
        str(path): (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("program", "lay", "label"),
    [
        ("Ollama", ollama, "tiny:latest"),
        ("Hugging Face cache", hub, "tiny.gguf"),
        ("LM Studio", lm_studio, "tiny.gguf"),
        ("llama.cpp", llama_cpp, "some_tiny.gguf"),
        ("Jan", jan, "model.gguf"),
    ],
)
def test_a_model_of_another_program_is_found_and_taken_in(
    here: Context, home: Path, program: str, lay: Callable[[Path], None], label: str
) -> None:
    """By its hash, whatever it is called; the other program's files stay as they were."""
    lay(home)
    before = tree(home)
    found = look(here, None).data
    assert found is not None
    (model_found,) = found.found
    assert (model_found.id, model_found.installed) == ("tiny:Q4_0", False)
    assert (model_found.files[0].program, model_found.files[0].label) == (program, label)
    result = adopt(here, found)
    assert result.data is not None
    assert (result.status, result.changed, result.data.adopted) == ("success", True, ("tiny:Q4_0",))
    (record,) = here.store.installed()
    assert record.source == f"files of {program}"
    (path,) = here.store.open_files(record, here.report)
    assert path.read_bytes() == TINY
    assert path.stat().st_nlink == 1
    assert tree(home) == before


def test_looking_changes_nothing_and_says_what_is_installed_already(here: Context, home: Path) -> None:
    """The second look finds the same file, and nothing is left to do."""
    llama_cpp(home)
    found = look(here, None).data
    assert found is not None
    assert not here.store.root.exists()
    adopt(here, found)
    again = look(here, None).data
    assert again is not None
    assert again.found[0].installed
    assert not adopt(here, again).changed


def test_one_file_under_several_names_is_found_once(here: Context, home: Path) -> None:
    """Links of a cache, and hard links, lead to one file."""
    hub(home)
    (blob,) = (home / ".cache" / "huggingface" / "hub").rglob("blobs/*")
    folder = home / ".cache" / "llama.cpp"
    folder.mkdir()
    (folder / "tiny.gguf").hardlink_to(blob)
    assert len(find(places({}, home))) == 1


def test_other_files_are_told_and_left(here: Context, home: Path, tmp_path: Path) -> None:
    """One that nobody knows, and one with a known name and other bytes."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    (folder / "strange.gguf").write_bytes(b"GGUF strange")
    (folder / "tiny.gguf").write_bytes(TINY[:-1] + b"?")
    (folder / "notes.txt").write_text("no model")
    found = look(here, str(folder)).data
    assert found is not None
    assert found.found == ()
    assert {other.file.label: "these bytes" in other.reason for other in found.others} == {
        "strange.gguf": False,
        "tiny.gguf": True,
    }


def test_only_files_of_a_known_size_are_read(here: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder may hold a terabyte of other models."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    with (folder / "huge.gguf").open("wb") as file:
        file.truncate(10**12)
    monkeypatch.setattr("deploy.commands.adopt.sha256_of", lambda *_: pytest.fail("it was read"))
    assert look(here, str(folder)).data is not None


def test_a_hash_that_is_only_claimed_is_not_believed(here: Context, home: Path) -> None:
    """Other bytes of the right length lie under the name of the good ones."""
    ollama(home)
    (blob,) = (home / ".ollama").rglob(f"sha256-{SHA256}")
    blob.write_bytes(TINY[:-1] + b"?")
    found = look(here, None).data
    assert found is not None
    assert found.found == ()


def test_a_file_that_changes_after_the_look_is_not_taken_in(here: Context, home: Path) -> None:
    """The store hashes what it was given."""
    llama_cpp(home)
    found = look(here, None).data
    assert found is not None
    Path(found.found[0].files[0].path).write_bytes(TINY[:-1] + b"?")
    result = adopt(here, found)
    assert (result.status, result.exit_code, result.changed) == ("error", 6, False)
    assert "was not adopted" in result.errors[0].message
    assert here.store.installed() == ()


def test_a_split_model_needs_all_its_files(tmp_path: Path, home: Path) -> None:
    """Two of three are no model; with the third, in another folder, they are."""
    parts = {f"m-{number:05}-of-00003.gguf": part.build() for number, part in enumerate(split_model(3), 1)}
    form = msgspec.structs.replace(artifact("Q4_0"), files=tuple(file_of(n, body) for n, body in parts.items()))
    here = world(tmp_path / "host", model("split", form), sources=())
    folder = tmp_path / "downloads"
    (folder / "sub").mkdir(parents=True)
    *most, last = parts
    for name in most:
        (folder / name).write_bytes(parts[name])
    found = look(here, str(folder)).data
    assert found is not None
    assert found.found == ()
    (folder / "sub" / last).write_bytes(parts[last])
    found = look(here, str(folder)).data
    assert found is not None
    assert adopt(here, found).changed


def test_a_linked_file_is_shared_and_keeps_its_rights(here: Context, home: Path) -> None:
    """No second copy; what is the other program's to decide stays so, also when the model is removed."""
    llama_cpp(home)
    (theirs,) = home.rglob("*.gguf")
    theirs.chmod(0o640)
    found = look(here, None).data
    assert found is not None
    result = adopt(here, found, link=True)
    assert "shared" in result.messages[0].text
    (record,) = here.store.installed()
    (path,) = here.store.open_files(record, here.report)
    assert path.samefile(theirs)
    assert theirs.stat().st_mode & 0o777 == 0o640
    here.store.remove(record.id)
    assert theirs.read_bytes() == TINY
    assert theirs.stat().st_mode & 0o777 == 0o640


def test_a_linked_file_that_the_other_program_changes_is_not_loaded(here: Context, home: Path) -> None:
    """Sharing has this price, and it is noticed."""
    llama_cpp(home)
    (theirs,) = home.rglob("*.gguf")
    found = look(here, None).data
    assert found is not None
    adopt(here, found, link=True)
    with theirs.open("r+b") as file:
        file.write(b"X")
    (record,) = here.store.installed()
    assert [verdict.verdict for verdict in here.store.verify(record, here.report)] == ["altered"]
    assert theirs.exists()


@pytest.mark.skipif(not SHARED_MEMORY.is_dir(), reason="needs a second file system")
def test_a_link_to_another_file_system_is_refused_with_a_cure(here: Context, tmp_path: Path) -> None:
    """Hard links end at the file system; a copy does not."""
    folder = SHARED_MEMORY / f"landfast-test-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / "tiny.gguf").write_bytes(TINY)
        if folder.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("it is the same file system")
        found = look(here, str(folder)).data
        assert found is not None
        refused = adopt(here, found, link=True)
        assert refused.exit_code == 13
        assert "--link" in refused.errors[0].hint
        assert adopt(here, found).changed
    finally:
        (folder / "tiny.gguf").unlink()
        folder.rmdir()


def test_programs_are_looked_for_where_their_variables_point(tmp_path: Path) -> None:
    """Each program has one of its own."""
    named = {name: str(tmp_path / name) for name in ("HF_HUB_CACHE", "OLLAMA_MODELS", "LLAMA_CACHE")}
    assert {str(place.path) for place in places(named, tmp_path)} >= set(named.values())
    assert any(place.path == tmp_path / "hf" / "hub" for place in places({"HF_HOME": str(tmp_path / "hf")}, tmp_path))


@pytest.mark.parametrize("contents", [b"", b"{", b"[]", b'{"layers": [{"mediaType": 1}]}', b'{"layers": []}'])
def test_a_broken_manifest_hides_nothing_else(home: Path, contents: bytes) -> None:
    """Another program's file may be anything."""
    ollama(home)
    broken = home / ".ollama" / "models" / "manifests" / "registry.example" / "library" / "tiny" / "broken"
    broken.write_bytes(contents)
    files: tuple[LocalFile, ...] = find(places({}, home))
    assert [file.label for file in files] == ["tiny:latest"]


def test_a_link_that_leads_nowhere_is_passed_over(tmp_path: Path) -> None:
    """So is one that leads to itself, and a folder named like a model."""
    (tmp_path / "gone.gguf").symlink_to(tmp_path / "gone")
    (tmp_path / "loop.gguf").symlink_to(tmp_path / "loop.gguf")
    (tmp_path / "folder.gguf").mkdir()
    here = replace(world(tmp_path / "host", sources=()))
    found = look(here, str(tmp_path)).data
    assert found is not None
    assert found.others == ()


def test_a_folder_that_is_none_is_no_empty_one(tmp_path: Path) -> None:
    """A slip in the path must not look as if nothing had been found there; a file is installed by its path."""
    (tmp_path / "tiny.gguf").write_bytes(TINY)
    with pytest.raises(NotFound, match="There is no folder"):
        look(world(tmp_path / "host"), str(tmp_path / "gone"))
    with pytest.raises(UsageError) as caught:
        look(world(tmp_path / "host"), str(tmp_path / "tiny.gguf"))
    assert "landfast install" in caught.value.hint
