"""Which way up a photo is to be shown: what its camera noted in it (EXIF), and its pixels turned accordingly."""

from struct import error as StructError  # noqa: N812 - struct names it in lower case
from struct import unpack_from
from typing import Final

from deploy.engine.picture import JPEG, Size, segments_of

CHANNELS: Final = 3
_NOTES: Final = 0xE1
"""The JPEG segment that notes of the camera come in."""
_EXIF: Final = b"Exif\0\0"
_ORIENTATION: Final = 0x0112
_SHORT: Final = 3
_ENTRY_BYTES: Final = 12
_BYTE_ORDERS: Final = {b"II*\0": "<", b"MM\0*": ">"}
UPRIGHT: Final = 1
_LYING: Final = 5
"""From this orientation on, what is stored as a row is shown as a column."""


def orientation_of(data: bytes) -> int:
    """An image's note on how to turn it, from 1 (not at all) to 8; 1 where it has none, or a damaged one."""
    if not data.startswith(JPEG):
        return UPRIGHT
    for kind, at, length in segments_of(data):
        if kind == _NOTES and data.startswith(_EXIF, at):
            return _noted(data[at + len(_EXIF) : at + length])
    return UPRIGHT


def shown_size(stored: Size, orientation: int) -> Size:
    """The size of an image once it is turned."""
    return Size(stored.height, stored.width) if orientation >= _LYING else stored


def turned(pixels: bytes, stored: Size, orientation: int) -> bytearray:
    """The same pixels, three bytes each, row by row as they are to be shown."""
    width, height = shown_size(stored, orientation)
    out = bytearray(CHANNELS * stored.pixels)
    for row in range(height):
        start, step = _path(stored, orientation, row)
        for channel in range(CHANNELS):
            line = _every(pixels, CHANNELS * start + channel, CHANNELS * step, width)
            out[CHANNELS * width * row + channel : CHANNELS * width * (row + 1) : CHANNELS] = line
    return out


def _path(stored: Size, orientation: int, row: int) -> tuple[int, int]:
    """Where a shown row begins among the stored pixels, and how far it is from one of its pixels to the next."""
    width, height = stored
    last = (height - 1) * width
    return {
        2: (row * width + width - 1, -1),
        3: (last - row * width + width - 1, -1),
        4: (last - row * width, 1),
        5: (row, width),
        6: (last + row, -width),
        7: (last + width - 1 - row, -width),
        8: (width - 1 - row, width),
    }.get(orientation, (row * width, 1))


def _every(data: bytes, start: int, step: int, count: int) -> bytes:
    end = start + step * count
    return data[start : end if end >= 0 else None : step]


def _noted(notes: bytes) -> int:
    """The orientation in a camera's notes, which are laid out as in a TIFF file."""
    order = _BYTE_ORDERS.get(notes[:4])
    if order is None:
        return UPRIGHT
    try:
        (at,) = unpack_from(f"{order}I", notes, 4)
        (entries,) = unpack_from(f"{order}H", notes, at)
        for entry in range(at + 2, at + 2 + _ENTRY_BYTES * entries, _ENTRY_BYTES):
            tag, kind, count, value = unpack_from(f"{order}HHIH", notes, entry)
            if tag == _ORIENTATION:
                right = (kind, count) == (_SHORT, 1) and UPRIGHT <= value <= 8  # noqa: PLR2004 - the last that there is
                return value if right else UPRIGHT
    except StructError:
        pass
    return UPRIGHT
