"""What an image file says of itself, read without decoding it: its kind, its size, and whether it would explode.

Nothing here interprets a pixel. The engine process does that, and it is sealed.
"""

import zlib
from collections.abc import Iterator
from struct import unpack_from
from typing import Final, NamedTuple

PIXELS_LIMIT: Final = 40_000_000
"""More than the cameras of telephones take as a rule; decoded it is 120 MB, and about three times that on the way."""
SIDE_LIMIT: Final = 1 << 15
FILE_LIMIT_BYTES: Final = 16_000_000
IMAGES_LIMIT: Final = 8
"""In one request. All together they fit into a frame to the engine process only if they are small enough."""
TOGETHER_LIMIT_BYTES: Final = 48_000_000
DECODING_BYTES: Final = 16
"""Most that one pixel takes while it is decoded: four channels of 16 bits, packed and unpacked."""
DECODED_BYTES: Final = 9
"""Of one pixel that is kept: three copies on the way to what the projector looks at."""
SCANS_LIMIT: Final = 100
"""Passes over all pixels that a JPEG may ask for; honest ones have about ten."""
SPARE_BYTES: Final = 1 << 16

PNG: Final = b"\x89PNG\r\n\x1a\n"
JPEG: Final = b"\xff\xd8\xff"
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Numbers for each pixel, by the colour type of a PNG."""
_SIZES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG segments that hold the size."""
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
"""JPEG markers without a segment."""
_SCAN: Final = b"\xff\xda"


class NoPicture(ValueError):
    """What is wrong with it, to follow "The image ... "."""


class Size(NamedTuple):
    """Of a picture, in pixels."""

    width: int
    height: int

    @property
    def pixels(self) -> int:
        """All of them."""
        return self.width * self.height


def size_of(data: bytes) -> Size:
    """The size that a PNG or JPEG file states, within the limits. Raises NoPicture."""
    if len(data) > FILE_LIMIT_BYTES:
        raise NoPicture(f"has more than {FILE_LIMIT_BYTES // 1_000_000} MB")
    if data.startswith(PNG):
        size = _png_size(data)
    elif data.startswith(JPEG):
        size = _jpeg_size(data)
    else:
        raise NoPicture("is neither PNG nor JPEG")
    if not 0 < size.width <= SIDE_LIMIT or not 0 < size.height <= SIDE_LIMIT or size.pixels > PIXELS_LIMIT:
        at_most = f"at most {PIXELS_LIMIT // 1_000_000} million are looked at"
        raise NoPicture(f"has {size.width:,} x {size.height:,} pixels, and {at_most}")
    return size


def require_bounded(data: bytes) -> None:
    """Raises NoPicture where decoding would take far more than its size says: more data, or more passes over it."""
    if data.startswith(PNG):
        _require_bounded_png(data)
    elif data.count(_SCAN) > SCANS_LIMIT:
        raise NoPicture(f"needs more than {SCANS_LIMIT} passes over its pixels")


def _png_size(data: bytes) -> Size:
    if len(data) < 33 or data[12:16] != b"IHDR":  # noqa: PLR2004 - the signature and the first chunk
        raise NoPicture("ends before it says how large it is")
    return Size(*unpack_from(">II", data, 16))


def segments_of(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The segments of a JPEG file before its pixels: kind, where the contents begin, how many bytes they are to be."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:  # noqa: PLR2004 - every marker begins so
        kind = data[at + 1]
        if kind == _SCAN[1]:
            return
        if kind == 0xFF or kind in _ALONE:  # noqa: PLR2004 - fill bytes
            at += 1 if kind == 0xFF else 2  # noqa: PLR2004
            continue
        length = max(int(unpack_from(">H", data, at + 2)[0]), 2) - 2
        yield kind, at + 4, length
        at += 4 + length


def _jpeg_size(data: bytes) -> Size:
    for kind, at, _ in segments_of(data):
        if kind in _SIZES and at + 5 <= len(data):
            height, width = unpack_from(">HH", data, at + 1)
            return Size(width, height)
    raise NoPicture("ends before it says how large it is")


def _require_bounded_png(data: bytes) -> None:
    """Unpack it piece by piece, keep nothing, and stop where there is more than its size allows."""
    width, height, depth, colour = unpack_from(">IIBB", data, 16)
    row = (width * depth * _CHANNELS.get(colour, 4) + 7) // 8 + 1
    allowed = 2 * row * height + SPARE_BYTES  # interlaced rows are shorter, and more
    unpacker = zlib.decompressobj()
    waiting = b"".join(_png_data(data))
    while waiting and allowed >= 0 and not unpacker.eof:
        try:
            allowed -= len(unpacker.decompress(waiting, SPARE_BYTES))
        except zlib.error as error:
            raise NoPicture("is damaged") from error
        waiting = unpacker.unconsumed_tail
    if allowed < 0:
        raise NoPicture("unpacks to more than its stated size")


def _png_data(data: bytes) -> list[memoryview]:
    """Its compressed parts."""
    whole, at, found = memoryview(data), len(PNG), []
    while at + 8 <= len(data):
        (length,) = unpack_from(">I", data, at)
        if data[at + 4 : at + 8] == b"IDAT":
            found.append(whole[at + 8 : at + 8 + length])
        at += 12 + length
    return found
