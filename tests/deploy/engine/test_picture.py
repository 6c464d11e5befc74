"""What an image file says of itself is read without decoding it, and what would explode is known before."""

import struct
import zlib

import pytest

from deploy.engine.picture import FILE_LIMIT_BYTES, JPEG, NoPicture, require_bounded, size_of
from tests.support.eyes import bomb, png, png_of


def jpeg(width: int, height: int, *, scans: int = 1, before: bytes = b"") -> bytes:
    """The segments of a JPEG file, with no pixels."""
    size = b"\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)
    return JPEG[:2] + before + b"\xff\xe0\x00\x04ab" + size + b"\xff\xda\x00\x02" * scans + b"\xff\xd9"


def test_the_size_is_the_one_in_the_header() -> None:
    """PNG and JPEG, the latter also behind other segments and fill bytes."""
    assert size_of(png(size=(20, 10))) == (20, 10)
    assert size_of(jpeg(640, 480)) == (640, 480)
    assert size_of(jpeg(3, 2, before=b"\xff\xfe\x00\x06size\xff\xff")) == (3, 2)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "neither PNG nor JPEG"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "neither PNG nor JPEG"),
        (b"GIF89a", "neither PNG nor JPEG"),
        (png()[:20], "ends before"),
        (jpeg(9, 9)[:8], "ends before"),
        (JPEG + bytes(100), "ends before"),
        (JPEG + b"\xe0\x00\x00" * 50, "ends before"),
        (bomb(20_000, 20_000), "400,000,000|20,000 x 20,000 pixels"),
        (bomb(2**31 - 1, 1), "pixels"),
        (bomb(0, 10), "0 x 10"),
        (jpeg(65535, 65535), "65,535 x 65,535"),
        (png() + bytes(FILE_LIMIT_BYTES), "more than 16 MB"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_unread(data: bytes, why: str) -> None:
    """Other kinds, cut files, absurd sizes: a few bytes of the header are enough to say so."""
    with pytest.raises(NoPicture, match=why):
        size_of(data)


def test_an_honest_image_is_within_its_bounds() -> None:
    """Whole, cut off, or with as many passes as progressive images have."""
    for data in (png(), png()[:-20], jpeg(64, 64, scans=10)):
        require_bounded(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (png_of(struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0), zlib.compress(bytes(50 << 20))), "unpacks to more"),
        (png_of(struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0), b"no zlib"), "damaged"),
        (jpeg(64, 64, scans=1000), "more than 100 passes"),
    ],
)
def test_what_would_explode_is_known_before_it_is_decoded(data: bytes, why: str) -> None:
    """A small file with a small size can still unpack to gigabytes, or ask for hours."""
    assert size_of(data) == (64, 64)
    with pytest.raises(NoPicture, match=why):
        require_bounded(data)
