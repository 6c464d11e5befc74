"""What a catalogue names cannot lead out of the folders that it is put into: an update need not be signed."""

from typing import Any, Final

import msgspec
import pytest

from deploy.catalog.model import CataloguedFile, PackagePiece

FILE: Final = {"name": "model.gguf", "size_bytes": 1, "size_exact": True}
PIECE: Final = {
    "distribution": "llm-model",
    "version": "1.0.0",
    "wheel_sha256": "a" * 64,
    "wheel_bytes": 1,
    "member": "model.gguf",
}


@pytest.mark.parametrize("name", ["../.bashrc", "/etc/passwd", "..", ".", "", "a\\b", "a\0b"])
def test_a_file_has_no_folders_in_its_name(name: str) -> None:
    """It becomes a path in the staging folder."""
    assert msgspec.convert(FILE, CataloguedFile).name == FILE["name"]
    with pytest.raises(msgspec.ValidationError, match="name"):
        msgspec.convert(FILE | {"name": name}, CataloguedFile)


@pytest.mark.parametrize(
    "wrong",
    [
        {"distribution": "x\n--index-url=http://127.0.0.1:9"},
        {"distribution": "-e."},
        {"version": "1 --pre"},
        {"wheel_sha256": "../../.."},
    ],
)
def test_a_package_adds_nothing_to_what_pip_is_told(wrong: dict[str, Any]) -> None:
    """Its name and version become a line that pip reads, and its hash a folder that is deleted."""
    assert msgspec.convert(PIECE, PackagePiece).distribution == PIECE["distribution"]
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(PIECE | wrong, PackagePiece)
