"""Models of a site's own in bundles: a later bundle brings a later version, and says what else it holds."""

import errno
import os
from pathlib import Path

import pytest

from deploy.bundle.manifest import UNFINISHED
from deploy.commands.bundle import CreateRequest, create, inspect
from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from deploy.commands.upkeep import repair
from deploy.errors import IntegrityError, NotEnoughSpace
from deploy.render_store import bundle_seen
from tests.deploy.bundle.kit import PART_BYTES, bundled, maker, take, taker
from tests.support.eyes import projector
from tests.support.world import TINY, world


def own(here: Context, folder: Path, body: bytes) -> Path:
    """A bundle with a model of these bytes that no catalogue knows."""
    folder.mkdir()
    (folder / "own.gguf").write_bytes(body)
    install(here, InstallRequest(model=str(folder / "own.gguf")))
    return bundled(here, folder / "bundle")


def test_a_later_bundle_brings_the_later_version_of_an_own_model(tmp_path: Path) -> None:
    """Named or not; the former one is kept, and the same bundle again changes nothing."""
    here = world(tmp_path / "maker", sources=())
    first, second = (own(here, tmp_path / name, TINY + bytes(size)) for name, size in (("one", 64), ("two", 32)))
    other = taker(tmp_path / "taker", first)
    for name in (None, None, "own"):
        assert take(other, first, name) == TINY + bytes(64)
    for name in (None, "own"):
        assert take(other, second, name) == TINY + bytes(32)
    (record,) = other.store.installed()
    assert (record.serial, record.files[0].pinned) == (2, "bundle")
    assert [former.serial for former in other.store.former(record.id)] == [1]
    again = install(other, InstallRequest(model="own", folder=str(second)))
    assert not again.changed


def test_inspect_says_which_models_come_with_a_projector(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who is to look at images with them knows before the stick leaves the house."""
    here = world(tmp_path / "maker", sources=())
    bundle = own(here, tmp_path / "blind", TINY)
    (tmp_path / "mmproj.gguf").write_bytes(projector(width=32).build())
    install(here, InstallRequest(model="own:Q4_0", folder=str(tmp_path / "mmproj.gguf")))
    seeing = bundled(here, tmp_path / "seeing")
    held = [inspect(here, str(place)).data.models[0].projector for place in (bundle, seeing)]  # type: ignore[union-attr]
    assert held == [False, True]
    bundle_seen(inspect(here, str(seeing)).data)  # type: ignore[arg-type]
    assert "with its projector" in capsys.readouterr().out


def test_a_bundle_that_is_still_being_made_is_told_as_that(tmp_path: Path) -> None:
    """It is neither a broken bundle nor a plain folder."""
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / UNFINISHED).touch()
    here = taker(tmp_path / "taker")
    with pytest.raises(IntegrityError, match="is not finished"):
        inspect(here, str(tmp_path / "bundle"))
    with pytest.raises(IntegrityError, match="is not finished"):
        take(here, tmp_path / "bundle")


@pytest.mark.parametrize(("number", "cure"), [(errno.EFBIG, "--part-size"), (errno.ENOSPC, "larger disk")])
def test_a_medium_that_takes_no_more_is_told_with_what_helps_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, cure: str
) -> None:
    """A stick is not moved by LANDFAST_HOME."""
    here = maker(tmp_path / "maker")

    def refused(_: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("deploy.bundle.writing.sync_file", refused)
    with pytest.raises(NotEnoughSpace) as caught:
        create(here, CreateRequest(out=str(tmp_path / "stick"), models=("tiny",), part_bytes=PART_BYTES))
    assert cure in caught.value.hint
    assert "LANDFAST_HOME" not in caught.value.hint


def test_a_repair_brings_back_the_same_bytes_and_no_other_version(tmp_path: Path) -> None:
    """From a bundle that holds a later one it says that this one is not there; from the right one it mends it."""
    here = world(tmp_path / "maker", sources=())
    first, second = (own(here, tmp_path / name, TINY + bytes(size)) for name, size in (("one", 64), ("two", 32)))
    other = taker(tmp_path / "taker", first)
    take(other, first, "own")
    (blob,) = (other.store.root / "blobs" / "sha256").iterdir()
    for place, exit_code in ((second, 6), (first, 0)):
        blob.unlink(missing_ok=True)
        assert repair(other, None, str(place)).exit_code == exit_code
    assert take(other, first, "own") == TINY + bytes(64)
    assert other.store.installed()[0].serial == 1


def test_the_other_models_of_a_bundle_are_not_forgotten(tmp_path: Path) -> None:
    """One of several is chosen, and the note names what else is there; once all are installed there is none."""
    here = maker(tmp_path / "maker")
    bundle = bundled(here, tmp_path / "bundle", "tiny", "big")
    other = taker(tmp_path / "taker", bundle)
    chosen = InstallRequest(folder=str(bundle))
    assert any("also holds tiny:Q4_0." in message.text for message in install(other, chosen).messages)
    take(other, bundle, "tiny")
    assert not any("also holds" in message.text for message in install(other, chosen).messages)
