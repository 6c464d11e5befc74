"""Writes small JPEG files of flat grey squares, with a camera's notes: what is decoded from them is exactly known."""

import struct
from collections.abc import Sequence
from typing import Final

from deploy.engine.picture import JPEG

BLOCK: Final = 8
"""Side of a square, in pixels: the one that JPEG has."""
CODE_BITS: Final = 4
"""Of each of the twelve codes for how many bits the difference of two squares has."""
MOST_BITS: Final = 11

Greys = Sequence[Sequence[int]]
"""Rows of squares."""


def exif(orientation: int, *, order: str = "<", kind: int = 3, count: int = 1) -> bytes:
    """A camera's notes: its make, which does not matter, and how it was held."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, 2)
    make = struct.pack(f"{order}HHII", 0x010F, 2, 4, 0)
    held = struct.pack(f"{order}HHIHH", 0x0112, kind, count, orientation, 0)
    return segment(0xE1, b"Exif\0\0" + head + make + held + bytes(4))


def segment(kind: int, contents: bytes) -> bytes:
    """A part of a JPEG file."""
    return struct.pack(">BBH", 0xFF, kind, len(contents) + 2) + contents


def photo(greys: Greys, notes: bytes = b"") -> bytes:
    """A JPEG file of these squares."""
    size = struct.pack(">BHHBBBB", 8, BLOCK * len(greys), BLOCK * len(greys[0]), 1, 1, 0x11, 0)
    lengths = bytes(CODE_BITS - 1) + bytes([MOST_BITS + 1]) + bytes(16 - CODE_BITS)
    tables = b"\x00" + lengths + bytes(range(MOST_BITS + 1)) + b"\x10\x01" + bytes(16)
    parts = segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC0, size) + segment(0xC4, tables)
    return JPEG[:2] + notes + parts + segment(0xDA, b"\1\1\0\0\x3f\0") + _scan(greys) + b"\xff\xd9"


def _scan(greys: Greys) -> bytes:
    """Each square as its difference from the one before, and nothing beside."""
    bits, before = "", 0
    for grey in (grey for row in greys for grey in row):
        bits += _difference(BLOCK * (grey - 128) - before) + "0"
        before = BLOCK * (grey - 128)
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")


def _difference(value: int) -> str:
    length = abs(value).bit_length()
    told = value if value >= 0 else value + (1 << length) - 1
    return f"{length:0{CODE_BITS}b}" + (f"{told:0{length}b}" if length else "")
