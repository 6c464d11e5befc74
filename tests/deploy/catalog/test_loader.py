"""Reading the catalogue, whole and broken."""

from pathlib import Path

import pytest

from deploy.catalog.loader import load
from deploy.errors import IntegrityError, NotFound

EMPTY = b'{"schema":"landfast.catalog/1","dated":"2026-01-01","engine":"e 1","models":[],"left_out":[]}'


def test_the_shipped_catalogue_can_be_read() -> None:
    """Without a path, the file that comes with the package is read."""
    assert load().models


def test_a_named_file_is_read(tmp_path: Path) -> None:
    """An organisation can bring its own catalogue."""
    file = tmp_path / "own.json"
    file.write_bytes(EMPTY)
    assert load(file).dated == "2026-01-01"


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"not json",
        EMPTY[:-1],
        EMPTY.replace(b"catalog/1", b"catalog/2"),
        EMPTY.replace(b'"left_out":[]', b'"left_out":[{"id":7,"name":"x","reason":"y"}]'),
        EMPTY.replace(b"e 1", b"\xff\xfe"),
    ],
    ids=["empty", "text", "cut short", "other version", "wrong type", "not UTF-8"],
)
def test_a_corrupt_file_is_an_integrity_error_with_a_cure(tmp_path: Path, contents: bytes) -> None:
    """Whatever is wrong with the bytes, the caller learns which file it is and what to do."""
    file = tmp_path / "broken.json"
    file.write_bytes(contents)
    with pytest.raises(IntegrityError, match=r"broken\.json") as caught:
        load(file)
    assert "again" in caught.value.hint


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    """A mistyped path is no integrity failure."""
    with pytest.raises(NotFound, match="No such file"):
        load(tmp_path / "nowhere.json")
