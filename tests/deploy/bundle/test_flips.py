"""A thousand single altered bytes, wherever files are kept: each one is found, named, and repaired from elsewhere."""

import hashlib
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from deploy.bundle.signing import read_signature
from deploy.bundle.signing import verify as verify_signature
from deploy.catalog import loader
from deploy.commands.bundle import inspect
from deploy.commands.context import Context
from deploy.commands.models import verify
from deploy.commands.upkeep import repair
from deploy.errors import IntegrityError, LandfastError
from tests.deploy.bundle.kit import MODELS, copy_of, manifest_of, take, taker
from tests.support.in_memory import in_memory
from tests.support.world import FakeSource, world

pytestmark = pytest.mark.no_cover

BLOB_FLIPS: Final = 300
LOCK_FLIPS: Final = 300
CATALOGUE_FLIPS: Final = 100
PART_FLIPS: Final = 200
MANIFEST_FLIPS: Final = 100


def flipped(content: bytes, rng: random.Random) -> bytes:
    """The content with one bit of one byte turned, anywhere."""
    where = rng.randrange(len(content))
    return content[:where] + bytes([content[where] ^ (1 << rng.randrange(8))]) + content[where + 1 :]


@pytest.fixture(autouse=True)
def _waits_for_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut leaves is tested elsewhere; here a thousand installs would wait for the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def tmp_path(memory_path: Path) -> Path:
    """In memory: a thousand installs would wait for the disk."""
    return memory_path


@pytest.fixture
def rng() -> random.Random:
    """Another thousand bytes in every run."""
    return random.Random()  # noqa: S311 - no secret


@pytest.fixture(scope="module")
def host(bundle: Path) -> Iterator[Context]:
    """A host with one model, and a source that has it."""
    with in_memory() as folder:
        here = taker(folder / "host", bundle)
        take(here, bundle, "tiny")
        yield replace(here, sources=(FakeSource(),))


def spoil(path: Path, rng: random.Random) -> bytes:
    """Flip one bit in a file, and give what it was."""
    good = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(flipped(good, rng))
    return good


def found_and_repaired(host: Context, name: str) -> None:
    """`verify` fails and names it; `repair` makes it whole, and then `verify` is content."""
    found = verify(host, None)
    assert found.status != "success"
    assert found.exit_code == 6
    assert any(name in problem.message for problem in found.errors)
    assert all(problem.hint for problem in found.errors)
    mended = repair(host, None, None)
    assert (mended.status, mended.errors) == ("success", ())
    assert verify(host, None).status == "success"


def test_every_flip_in_a_stored_model_is_found_and_repaired(host: Context, rng: random.Random) -> None:
    """The bad bytes are set aside; the good ones come from another source than the first."""
    for _ in range(BLOB_FLIPS):
        (record,) = host.store.installed()
        (blob,) = host.store.open_files(record, host.report)
        spoil(blob, rng)
        found_and_repaired(host, "tiny.gguf")
    assert host.store.clear_staging() > 0


def test_every_flip_in_a_lock_file_is_found_and_repaired(host: Context, rng: random.Random) -> None:
    """Also one that leaves it readable: in a date, a licence, a hash."""
    lock = host.store.root / "models" / "tiny@Q4_0.json"
    for _ in range(LOCK_FLIPS):
        spoil(lock, rng)
        found_and_repaired(host, "tiny:Q4_0")


def test_every_flip_in_the_shipped_catalogue_is_found(
    host: Context, rng: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No model is chosen by it, and verify says which file it is."""
    good = loader._shipped()
    told = replace(host, catalog=loader.load)
    for _ in range(CATALOGUE_FLIPS):
        bad = flipped(good, rng)
        monkeypatch.setattr(loader, "_shipped", lambda bad=bad: bad)
        result = verify(told, None)
        assert result.exit_code == 6
        assert "catalogue" in result.errors[0].message
    monkeypatch.setattr(loader, "_shipped", lambda: good)
    assert verify(told, None).exit_code == 0


def test_every_flip_in_a_part_of_a_bundle_is_found_and_refused(
    made_by: Context, bundle: Path, tmp_path: Path, rng: random.Random
) -> None:
    """Inspection names the part; an install of a model that it belongs to is refused."""
    spoilt = copy_of(bundle, tmp_path / "spoilt")
    parts = tuple(manifest_of(bundle).parts)
    here = taker(tmp_path / "host", bundle)
    for _ in range(PART_FLIPS):
        part = rng.choice(parts)
        good = spoil(spoilt / part.path, rng)
        seen = inspect(made_by, str(spoilt), full=True)
        assert [problem.message for problem in seen.errors if part.path in problem.message]
        assert seen.exit_code == 6
        if part.path.startswith("models/big"):
            here.store.clear_staging()
            with pytest.raises(IntegrityError, match=part.path.rpartition("/")[2]):
                take(here, spoilt)
        (spoilt / part.path).write_bytes(good)
    assert here.store.installed() == ()
    assert take(here, spoilt)


def test_every_flip_in_a_manifest_or_signature_is_refused(bundle: Path, tmp_path: Path, rng: random.Random) -> None:
    """Not one of them gets as far as the first part."""
    spoilt = copy_of(bundle, tmp_path / "spoilt")
    here = taker(tmp_path / "host", bundle)
    papers = [spoilt / "landfast-bundle.json", spoilt / "landfast-bundle.sig"]
    for number in range(MANIFEST_FLIPS):
        good = spoil(papers[number % 2], rng)
        with pytest.raises(LandfastError):
            take(here, spoilt)
        papers[number % 2].write_bytes(good)
    assert here.store.installed() == ()


def test_every_bit_of_a_signature_file_counts(bundle: Path, tmp_path: Path) -> None:
    """Also those that base64 does not use: every single flip of the whole file is refused."""
    paper = bundle / "landfast-bundle.sig"
    good = paper.read_bytes()
    manifest = (bundle / "landfast-bundle.json").read_bytes()
    paths = taker(tmp_path, bundle).paths
    for bit in range(8 * len(good)):
        bad = good[: bit // 8] + bytes([good[bit // 8] ^ (1 << bit % 8)]) + good[bit // 8 + 1 :]
        with pytest.raises(LandfastError):
            verify_signature(manifest, read_signature(bad), paths)


def test_a_model_is_repaired_from_a_bundle_or_a_folder(bundle: Path, tmp_path: Path) -> None:
    """Where no source answers, a place is named."""
    here = taker(tmp_path / "host", bundle)
    body = take(here, bundle)
    (tmp_path / "big.gguf").write_bytes(body)
    for place in (bundle, tmp_path, tmp_path / "big.gguf"):
        (record,) = here.store.installed()
        (blob,) = here.store.open_files(record, here.report)
        blob.chmod(0o644)
        blob.write_bytes(body[:-1] + b"?")
        without = repair(here, None, None)
        assert without.exit_code == 6
        assert "stays damaged" in without.errors[0].message
        mended = repair(here, None, str(place))
        assert mended.data is not None
        assert (mended.exit_code, mended.data.repaired) == (0, ("big:Q4_0",))


@pytest.mark.parametrize("place", ["bundle", "folder"])
def test_a_model_of_ones_own_is_repaired_with_the_bytes_that_it_had(bundle: Path, tmp_path: Path, place: str) -> None:
    """The lock file keeps its hash; other bytes under the same name do not pass."""
    stranger = world(tmp_path / "host", MODELS[0], sources=())
    here = replace(taker(tmp_path / "host", bundle), catalog=stranger.catalog)
    body = take(here, bundle)
    (record,) = here.store.installed()
    assert record.files[0].pinned == "bundle"
    (blob,) = here.store.open_files(record, here.report)
    blob.chmod(0o644)
    blob.write_bytes(b"GGUF gone bad")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "big.gguf").write_bytes(body[:-1] + b"?")
    refused = repair(here, None, str(folder))
    assert refused.exit_code == 6
    (folder / "big.gguf").write_bytes(body)
    mended = repair(here, None, str(bundle if place == "bundle" else folder))
    assert (mended.status, mended.errors) == ("success", ())
    (path,) = here.store.open_files(here.store.installed()[0], here.report)
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(body).digest()


def test_the_thousand_is_a_thousand() -> None:
    """What the figures promise is what runs."""
    flips: tuple[int, ...] = (BLOB_FLIPS, LOCK_FLIPS, CATALOGUE_FLIPS, PART_FLIPS, MANIFEST_FLIPS)
    assert sum(flips) == 1000
