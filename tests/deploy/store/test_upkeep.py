"""Models that are in the store: found altered, verified, copied, removed, and lock files that broke."""

import os
import shutil
from pathlib import Path

import msgspec
import pytest

from deploy.errors import Incomplete, IntegrityError, LandfastError, NotFound, NotWritable
from deploy.sources.base import Progress
from deploy.sources.seen import identity_of
from deploy.store.records import Installed, encode
from deploy.store.store import Store
from tests.deploy.store.kit import KEY, ONE, OTHER, TWO, install, loaded, quiet, sha256, snapshot, stage

PAIR = {"own.gguf": b"GGUF own", "shared.gguf": ONE["tiny.gguf"]}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with one model."""
    store = Store(tmp_path / "store")
    install(store, ONE)
    return store


def blob(store: Store, content: bytes = ONE["tiny.gguf"]) -> Path:
    """Where these bytes lie."""
    return store.root / "blobs" / "sha256" / sha256(content)


def flip(path: Path) -> None:
    """Alter one byte in the middle of a file and leave the modification time as it was."""
    before = path.stat()
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def here(store: Store, model_id: str = KEY) -> Installed:
    """The record of a model that must be there."""
    record = store.get(model_id)
    assert record
    return record


def forget_change(store: Store) -> None:
    """Write the blob's identity of now into the lock file: a change that the file system does not tell."""
    record = here(store)
    file = msgspec.structs.replace(record.files[0], identity=identity_of(blob(store).stat()))
    path = store.root / "models" / "tiny@Q4_K_M.json"
    path.write_bytes(encode(msgspec.structs.replace(record, files=(file,))))


def test_an_untouched_model_is_opened_without_reading_it(store: Store) -> None:
    """A load must not cost the hashing of forty gigabytes."""
    said: list[Progress] = []
    assert store.open_files(here(store), said.append) == (blob(store),)
    assert said == []


def test_a_flipped_byte_is_found_by_a_load(store: Store) -> None:
    """Even with the modification time set back; the bad file is set aside and cannot be loaded later."""
    flip(blob(store))
    with pytest.raises(IntegrityError, match="altered") as caught:
        store.open_files(here(store), quiet)
    assert f"landfast install {KEY}" in caught.value.hint
    assert not blob(store).exists()
    assert (store.root / "quarantine" / blob(store).name).exists()
    with pytest.raises(NotFound):
        store.open_files(here(store), quiet)


def test_a_flipped_byte_that_the_file_system_hides_is_found_by_verify(store: Store) -> None:
    """Rot below the file system leaves every time as it was: only hashing finds it."""
    flip(blob(store))
    forget_change(store)
    assert store.open_files(here(store), quiet) == (blob(store),)
    (found,) = store.verify(here(store), quiet)
    assert found.verdict == "altered"
    assert found.moved_to == str(store.root / "quarantine" / blob(store).name)
    with pytest.raises(NotFound):
        store.open_files(here(store), quiet)


def test_a_new_install_repairs_an_altered_model(store: Store) -> None:
    """The good bytes take the place of bad ones that nobody has noticed, and the bad ones can be cleared."""
    flip(blob(store))
    forget_change(store)
    install(store, ONE)
    assert loaded(store) == ONE
    flip(blob(store))
    store.verify(here(store), quiet)
    install(store, ONE)
    assert loaded(store) == ONE
    assert store.staged_bytes() == len(ONE["tiny.gguf"]) == store.clear_staging()


def test_a_file_that_was_repaired_meanwhile_is_not_set_aside(store: Store) -> None:
    """Verify read the bad bytes, and then another process put the good ones in place."""
    flip(blob(store))

    def repair(_: Progress) -> None:
        install(store, ONE)

    (found,) = store.verify(here(store), repair)
    assert (found.verdict, found.moved_to) == ("altered", None)
    assert loaded(store) == ONE


def test_a_shortened_file_is_incomplete(store: Store) -> None:
    """Loading says that bytes are missing, and so does verify."""
    os.truncate(blob(store), 100)
    (found,) = store.verify(here(store), quiet)
    assert (found.verdict, "100 of its" in found.sentence) == ("short", True)
    install(store, ONE)
    os.truncate(blob(store), 100)
    with pytest.raises(Incomplete):
        store.open_files(here(store), quiet)


def test_a_missing_file_is_named(store: Store) -> None:
    """The cure is in the hint."""
    blob(store).unlink()
    assert [found.verdict for found in store.verify(here(store), quiet)] == ["missing"]
    with pytest.raises(NotFound, match=r"tiny\.gguf") as caught:
        store.open_files(here(store), quiet)
    assert f"landfast install {KEY}" in caught.value.hint


def test_an_unreadable_file_is_not_moved(store: Store) -> None:
    """Where the system refuses to read, nothing is known of the bytes, and they stay where they are."""
    loop = blob(store)
    loop.unlink()
    loop.symlink_to(loop)
    (found,) = store.verify(here(store), quiet)
    assert (found.verdict, found.moved_to) == ("unreadable", None)
    with pytest.raises(IntegrityError, match="cannot be read"):
        store.open_files(here(store), quiet)


def test_verify_writes_down_when_it_was(store: Store) -> None:
    """After success the lock file has the new time and identity."""
    record = here(store)
    long_ago = msgspec.structs.replace(record, verified_at=record.verified_at.replace(year=2001))
    (store.root / "models" / "tiny@Q4_K_M.json").write_bytes(encode(long_ago))
    os.utime(blob(store))
    store.verify(here(store), quiet)
    assert here(store).verified_at.year > 2001
    assert here(store).files[0].identity == identity_of(blob(store).stat())


def test_a_copied_store_is_hashed_once(store: Store, tmp_path: Path) -> None:
    """On another disk every identity differs: the first load hashes, the second does not."""
    copy = Store(tmp_path / "copy")
    shutil.copytree(store.root, copy.root)
    said: list[Progress] = []
    copy.open_files(here(copy), said.append)
    assert said
    said.clear()
    copy.open_files(here(copy), said.append)
    assert said == []


def test_an_old_record_does_not_overwrite_a_new_one(store: Store) -> None:
    """A load that hashed the old files while the model was replaced must not bring the old lock file back."""
    old = here(store)
    kept = blob(store).read_bytes()
    install(store, TWO)
    blob(store).write_bytes(kept)
    store.verify(old, quiet)
    assert loaded(store) == TWO


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\0" * 64, "empty"),
        (b"{", "truncated"),
        (b"\xff\xfe", "malformed"),
        (b'{"schema": "landfast.installed/9"}', "another version"),
        (b'{"schema": "landfast.installed/1"}', "missing required field"),
        (b"[]", "object"),
    ],
)
def test_a_broken_lock_file_is_named_and_hurts_nobody_else(store: Store, content: bytes, reason: str) -> None:
    """The other model is listed and loads; installing again cures the broken one."""
    install(store, TWO, OTHER)
    (store.root / "models" / "tiny@Q4_K_M.json").write_bytes(content)
    (damaged,) = store.damaged()
    assert damaged.id == KEY
    assert reason in damaged.reason
    assert f"landfast install {KEY}" in damaged.hint
    assert [record.id for record in store.installed()] == [OTHER]
    assert loaded(store, OTHER) == TWO
    assert store.get(KEY) is None
    install(store, ONE)
    assert store.damaged() == ()


@pytest.mark.parametrize(
    ("field", "value"), [("sha256", "../../../etc/passwd"), ("size_bytes", -1), ("name", ""), ("pinned", "nobody")]
)
def test_a_lock_file_with_a_forbidden_value_is_damaged(store: Store, field: str, value: object) -> None:
    """What the file says is checked before any path is made of it."""
    path = store.root / "models" / "tiny@Q4_K_M.json"
    record = msgspec.json.decode(path.read_bytes())
    record["files"][0][field] = value
    path.write_bytes(msgspec.json.encode(record))
    assert store.installed() == ()
    assert len(store.damaged()) == 1


def test_a_lock_file_under_another_name_is_damaged(store: Store) -> None:
    """A record speaks for the model that its file is named after."""
    models = store.root / "models"
    (models / "tiny@Q4_K_M.json").rename(models / "other@Q8_0.json")
    assert [damaged.id for damaged in store.damaged()] == [OTHER]
    assert store.installed() == ()


def test_a_folder_in_the_place_of_a_lock_file_is_damaged(store: Store) -> None:
    """What cannot be read at all is named too."""
    (store.root / "models" / "other@Q8_0.json").mkdir()
    assert [damaged.id for damaged in store.damaged()] == [OTHER]
    assert [record.id for record in store.installed()] == [KEY]


def test_files_of_a_damaged_lock_file_are_kept(store: Store) -> None:
    """Removing another model does not delete the bytes that a half-readable lock file still names."""
    install(store, TWO, OTHER)
    path = store.root / "models" / "tiny@Q4_K_M.json"
    path.write_bytes(path.read_bytes()[:-20])
    store.remove(OTHER)
    assert blob(store).exists()
    store.remove(KEY)
    assert snapshot(store.root) == {}


def test_remove_frees_the_bytes(store: Store) -> None:
    """Nothing of the model is left, and it is not found afterwards."""
    assert store.remove(KEY) == len(ONE["tiny.gguf"])
    assert snapshot(store.root) == {}
    with pytest.raises(NotFound):
        store.remove(KEY)


def test_remove_keeps_a_shared_file(store: Store) -> None:
    """Only the bytes that no other model uses are freed."""
    install(store, PAIR, OTHER)
    assert store.remove(OTHER) == len(PAIR["own.gguf"])
    assert loaded(store) == ONE


def test_remove_clears_the_staging_of_the_model(store: Store) -> None:
    """An interrupted new version goes with the model."""
    with store.transaction(KEY, 0, quiet) as transaction:
        stage(transaction, {"new": b"12345"})
    assert store.remove(KEY) == len(ONE["tiny.gguf"]) + 5
    assert store.staged_bytes() == 0


def test_clearing_leaves_running_installs_alone(store: Store) -> None:
    """What another process is fetching now is not taken away from it."""
    with store.transaction(KEY, 0, quiet) as transaction:
        stage(transaction, {"new": b"12345"})
        assert store.clear_staging() == 0
        with pytest.raises(NotWritable):
            store.clear_staging(KEY)
        with pytest.raises(NotWritable):
            store.remove(KEY)
        assert (transaction.staging / "new").exists()
    assert store.clear_staging() == 5


def test_clearing_deletes_what_no_lock_file_names(store: Store) -> None:
    """A crash between the lock file and the blobs of a removal leaves bytes that are counted and cleared."""
    stray = blob(store, b"stray")
    stray.write_bytes(b"stray")
    unfinished = store.root / "models" / ".new-1"
    unfinished.touch()
    assert store.staged_bytes() == 5
    assert store.clear_staging() == 5
    assert not unfinished.exists()
    assert loaded(store) == ONE


@pytest.mark.parametrize("model_id", ["nothing:Q4", "no id at all", "../../etc:Q4"])
def test_removing_what_is_not_there_has_a_cure(store: Store, model_id: str) -> None:
    """A sentence without a hint leaves the user alone."""
    with pytest.raises(LandfastError) as caught:
        store.remove(model_id)
    assert caught.value.hint
