"""What enters the store, what is refused, and what is left behind by a refusal."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.errors import Incomplete, IntegrityError, InvalidModel, NotWritable, UsageError
from deploy.sources.base import Progress
from deploy.store.records import Installed, Pin
from deploy.store.store import Store
from tests.deploy.store.kit import (
    KEY,
    ONE,
    OTHER,
    TWO,
    check,
    description,
    install,
    loaded,
    pins,
    quiet,
    sha256,
    snapshot,
    stage,
)

PARTS = {"big-00001-of-00002.gguf": b"GGUF first part", "big-00002-of-00002.gguf": b"GGUF second part"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


def commit(store: Store, contents: dict[str, bytes], promised: Sequence[Pin]) -> Installed:
    """Install bytes under pins that may not be theirs."""
    return install(store, contents, promised=promised)


def test_an_empty_store_has_no_models(store: Store) -> None:
    """Reading makes no folder and finds nothing."""
    assert store.installed() == ()
    assert store.get(KEY) is None
    assert store.staged_bytes() == 0
    assert not store.root.exists()


def test_an_installed_model_can_be_read_back(store: Store) -> None:
    """The record on the disk is the one that commit returned, and the bytes are the staged ones."""
    record = install(store, PARTS)
    assert store.installed() == (record,)
    assert store.get(KEY) == record
    assert [(file.name, file.pinned) for file in record.files] == [(name, "catalogue") for name in PARTS]
    assert record.size_bytes == sum(map(len, PARTS.values()))
    assert loaded(store) == PARTS
    assert store.staged_bytes() == 0


def test_the_engine_gets_the_files_in_their_order(store: Store) -> None:
    """Parts come in the order of the artifact, each under its hash and read-only."""
    paths = store.open_files(install(store, PARTS), quiet)
    assert [path.name for path in paths] == [sha256(content) for content in PARTS.values()]
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o444}


def test_hashing_says_how_far_it_is(store: Store) -> None:
    """The last report of a file names all of its bytes."""
    seen: list[Progress] = []
    with store.transaction(KEY, 0, seen.append) as transaction:
        transaction.commit(stage(transaction, ONE), pins(ONE), check, lambda _: description())
    size = len(ONE["tiny.gguf"])
    assert (seen[-1].step, seen[-1].done_bytes, seen[-1].total_bytes) == ("verify", size, size)


def test_two_models_share_a_file(store: Store) -> None:
    """The same bytes are kept once, and both models load."""
    install(store, ONE)
    install(store, ONE, OTHER)
    assert len(list((store.root / "blobs" / "sha256").iterdir())) == 1
    assert loaded(store) == loaded(store, OTHER) == ONE


def test_another_version_takes_the_place_of_the_first(store: Store) -> None:
    """After a new install of the same id the new bytes load; the old ones are kept, and no rubbish."""
    install(store, ONE)
    install(store, TWO)
    assert loaded(store) == TWO
    assert [record.hashes for record in store.former(KEY)] == [(sha256(ONE["tiny.gguf"]),)]
    assert store.staged_bytes() == 0


def test_an_unpinned_file_is_pinned_by_its_first_use(store: Store) -> None:
    """A second install must bring the same bytes while the first one is there."""
    unpinned = [Pin(name="tiny.gguf")]
    assert commit(store, ONE, unpinned).files[0].pinned == "first-use"
    assert commit(store, ONE, unpinned).files[0].pinned == "first-use"
    with pytest.raises(IntegrityError, match="installed first") as caught:
        commit(store, TWO, unpinned)
    assert f"landfast models remove {KEY}" in caught.value.hint
    assert loaded(store) == ONE


def test_a_wrong_hash_changes_nothing_and_is_not_used_again(store: Store) -> None:
    """The bad bytes are gone from staging, so the next try fetches them anew and succeeds."""
    install(store, TWO, OTHER)
    before = snapshot(store.root)
    with pytest.raises(IntegrityError, match="catalogue promises"):
        commit(store, {"tiny.gguf": ONE["tiny.gguf"][::-1]}, pins(ONE))
    assert snapshot(store.root) == before
    assert store.staged_bytes() == 0
    assert not list((store.root / "staging").iterdir())
    assert install(store, ONE).id == KEY


def test_a_truncated_file_is_incomplete(store: Store) -> None:
    """Too few bytes are told from wrong ones, and do not stay."""
    with pytest.raises(Incomplete, match="instead of"):
        commit(store, {"tiny.gguf": ONE["tiny.gguf"][:-1]}, pins(ONE))
    assert store.staged_bytes() == 0


def test_a_file_that_is_too_long_is_another_file(store: Store) -> None:
    """Too many bytes are an integrity failure, not an incomplete file."""
    with pytest.raises(IntegrityError, match="instead of") as caught:
        commit(store, {"tiny.gguf": ONE["tiny.gguf"] + b"more"}, pins(ONE))
    assert not isinstance(caught.value, Incomplete)


def test_a_file_that_did_not_arrive_is_incomplete(store: Store) -> None:
    """A source that names a file which it did not bring is caught."""
    with store.transaction(KEY, 0, quiet) as transaction, pytest.raises(Incomplete, match="did not arrive"):
        transaction.commit([transaction.staging / "tiny.gguf"], pins(ONE), check, lambda _: description())


def test_a_link_is_not_taken_for_a_file(store: Store, tmp_path: Path) -> None:
    """A link would leave the bytes outside of the store."""
    target = tmp_path / "elsewhere.gguf"
    target.write_bytes(ONE["tiny.gguf"])
    with store.transaction(KEY, 0, quiet) as transaction:
        link = transaction.staging / "tiny.gguf"
        link.symlink_to(target)
        with pytest.raises(IntegrityError, match="plain file"):
            transaction.commit([link], pins(ONE), check, lambda _: description())
    assert target.exists()
    assert not list((store.root / "staging").iterdir())


def test_one_bad_part_does_not_cost_the_good_ones(store: Store) -> None:
    """The bad part goes, with everything it may have been built from; the other part stays for the next try."""
    first, second = PARTS
    with store.transaction(KEY, 0, quiet) as transaction:
        (transaction.staging / "pieces").mkdir()
        (transaction.staging / "pieces" / "second.whl").write_bytes(b"bad")
        paths = stage(transaction, {**PARTS, second: b"GGUF SECOND part"})
        with pytest.raises(IntegrityError):
            transaction.commit(paths, pins(PARTS), check, lambda _: description())
    with store.transaction(KEY, 0, quiet) as transaction:
        assert [path.name for path in transaction.staging.rglob("*") if path.is_file()] == [first]
        transaction.commit(stage(transaction, PARTS), pins(PARTS), check, lambda _: description())
    assert loaded(store) == PARTS


@pytest.mark.parametrize("refusal", [InvalidModel, Incomplete])
def test_what_the_validator_refuses_does_not_stay(store: Store, refusal: type[InvalidModel | Incomplete]) -> None:
    """A file with the right hash that is no model is gone, and the refusal reaches the caller."""
    install(store, TWO)

    def refuse(_: Sequence[Path]) -> int:
        raise refusal("This is no model.")

    with store.transaction(KEY, 0, quiet) as transaction, pytest.raises(refusal, match="no model"):
        transaction.commit(stage(transaction, ONE), pins(ONE), refuse, lambda _: description())
    assert loaded(store) == TWO
    assert store.staged_bytes() == 0


def test_what_was_staged_waits_for_the_next_try(store: Store) -> None:
    """Leaving without a commit, by an error or not, keeps the bytes, and they are counted."""
    with pytest.raises(KeyboardInterrupt), store.transaction(KEY, 0, quiet) as transaction:  # noqa: PT012 - the block is what is tested
        (transaction.staging / "tiny.gguf.part").write_bytes(b"half")
        raise KeyboardInterrupt
    assert store.staged_bytes() == 4
    with store.transaction(KEY, 0, quiet) as transaction:
        assert (transaction.staging / "tiny.gguf.part").read_bytes() == b"half"
    assert store.clear_staging(KEY) == 4
    assert store.staged_bytes() == 0


@pytest.mark.parametrize("key", ["../evil:Q4", "a/b:Q4", "", "a:b:c", ".hidden:Q4", "x" * 300, "tiny:Q4\n"])
def test_a_key_cannot_lead_out_of_the_store(store: Store, key: str) -> None:
    """Only what looks like an id becomes a file name."""
    with pytest.raises(UsageError), store.transaction(key, 0, quiet):
        pass
    assert not store.root.exists()


def test_someone_who_waits_too_long_is_told(store: Store) -> None:
    """A second install of the same model says that it waits, and gives up in time."""
    said: list[Progress] = []
    with (
        store.transaction(KEY, 0, quiet),
        pytest.raises(NotWritable, match="still busy"),
        Store(store.root).transaction(KEY, 0, said.append, wait_s=0.1),
    ):
        pass
    assert [(progress.step, KEY in progress.text) for progress in said] == [("note", True)]
