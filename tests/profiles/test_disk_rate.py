"""How fast a disk reads, tried on the disk of the tests."""

import errno
import os
from pathlib import Path

import pytest

from profiles import disk_rate
from profiles.machine import Unknown


@pytest.fixture
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a sample that even a slow disk writes at once."""
    monkeypatch.setattr(disk_rate, "SAMPLE_BYTES", 16 << 20)


@pytest.mark.usefixtures("small_sample")
def test_the_rate_is_measured_or_the_reason_told(tmp_path: Path) -> None:
    """A real disk gives a rate; a file system in memory cannot go past the page cache and says so. No file stays."""
    rate = disk_rate.measure(tmp_path / "not" / "yet" / "there").value
    if isinstance(rate, Unknown):
        assert "past the page cache" in rate.reason
    else:
        assert 1e6 < rate < 1e11
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_tried_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk costs this one figure, and nothing is left on it."""

    def full(_descriptor: int, _bytes: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    value = disk_rate.measure(tmp_path).value
    assert isinstance(value, Unknown)
    assert "No space left" in value.reason
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_sample")
def test_a_system_without_a_way_past_the_cache_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate of the page cache would be a false promise."""

    def refuse(_path: Path) -> int:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(disk_rate, "_open_past_the_cache", refuse)
    assert isinstance(disk_rate.measure(tmp_path).value, Unknown)
    assert list(tmp_path.iterdir()) == []
