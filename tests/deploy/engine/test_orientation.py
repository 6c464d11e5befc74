"""Photos are shown as they were taken, and no note of a camera can do harm."""

from itertools import product

import pytest

from deploy.engine.orientation import orientation_of, shown_size, turned
from deploy.engine.picture import Size, size_of
from tests.support.eyes import png
from tests.support.photo import exif, photo, segment

STORED = Size(3, 2)
"""The pixels abc above def, which each orientation shows as follows."""
SHOWN = {
    1: "abc/def",
    2: "cba/fed",
    3: "fed/cba",
    4: "def/abc",
    5: "ad/be/cf",
    6: "da/eb/fc",
    7: "fc/eb/da",
    8: "cf/be/ad",
}
SQUARES = ((0, 255), (90, 30), (200, 60))


@pytest.mark.parametrize("orientation", SHOWN)
def test_each_note_turns_the_pixels_as_it_says(orientation: int) -> None:
    """All eight ways to hold a camera, mirrored ones included."""
    pixels = b"".join(letter.encode() * 3 for letter in "abcdef")
    shown = bytes(turned(pixels, STORED, orientation))
    width, height = shown_size(STORED, orientation)
    assert shown[::3] == shown[1::3] == shown[2::3]
    rows = [shown[::3].decode()[row * width : (row + 1) * width] for row in range(height)]
    assert "/".join(rows) == SHOWN[orientation]


@pytest.mark.parametrize(("orientation", "order"), [*product(range(1, 9), "<>")])
def test_the_note_is_found(orientation: int, order: str) -> None:
    """In both orders of bytes, also behind other segments, and without changing the size that is stated."""
    data = photo(SQUARES, segment(0xE0, b"JFIF\0\1\1\0") + segment(0xE1, b"http:") + exif(orientation, order=order))
    assert orientation_of(data) == orientation
    assert size_of(data) == (16, 24)


@pytest.mark.parametrize(
    "notes",
    [
        b"",
        exif(0),
        exif(9),
        exif(6, kind=4),
        exif(6, count=2),
        segment(0xE1, b"Exif\0\0"),
        segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"),
        segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"),
        segment(0xE1, b"Exif\0\0XX*\0\x08\0\0\0"),
    ],
)
def test_a_note_that_says_nothing_turns_nothing(notes: bytes) -> None:
    """Missing, out of range, of another type, cut off, or pointing outside of itself."""
    assert orientation_of(photo(SQUARES, notes)) == 1
    assert orientation_of(png()) == 1


def test_no_damage_to_a_note_does_harm() -> None:
    """Every cut and every altered byte gives one of the eight, or none."""
    data = photo(SQUARES, exif(6))
    end = len(exif(6)) + 2
    for at in range(2, end):
        for damaged in (data[:at], *(data[:at] + bytes([value]) + data[at + 1 :] for value in (0, 1, 0x7F, 0xFF))):
            assert orientation_of(damaged) in range(1, 9)
