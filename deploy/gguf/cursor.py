"""Reads forward through a file that may lie about itself: every step is held against the file's real length."""

from struct import Struct
from typing import BinaryIO, Final

from deploy.errors import Incomplete, InvalidModel

HEADER_LIMIT_BYTES: Final = 128 << 20
"""Everything before the tensors. The largest vocabularies in use take about 20 MB; this bounds the time."""
TEXTS_LIMIT: Final = 3 << 20
"""In all lists together; the largest vocabularies with their merges have under a million."""
CHUNK_BYTES: Final = 1 << 20
SHOWN_CHARACTERS: Final = 60

AGAIN: Final = "Download it again, or choose another .gguf file."
"""The cure for a file that is broken."""

U32: Final = Struct("<I")
U64: Final = Struct("<Q")


def shown(text: str) -> str:
    """Quote a text that comes from a file: short, and without anything that a terminal would obey."""
    return repr(text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…")


class Cursor:
    """A position in a binary file, and the pieces of GGUF that can be read there."""

    def __init__(self, stream: BinaryIO, name: str, file_bytes: int) -> None:
        """Start at the first byte of an open file; `name` is what error sentences call it."""
        self._stream = stream
        self.name = name
        self.file_bytes = file_bytes
        self._buffer = b""
        self._base = 0
        self._index = 0
        self._texts = 0

    @property
    def position(self) -> int:
        """Offset in the file of the next byte."""
        return self._base + self._index

    def damaged(self, reason: str) -> InvalidModel:
        """Make the error for contents that cannot be right."""
        return InvalidModel(f"{self.name} is damaged or forged: {reason}.", hint=AGAIN)

    def cut_short(self) -> Incomplete:
        """Make the error for a file that ends inside its header."""
        return Incomplete(
            f"{self.name} is cut short: it ends inside its header, after {self.file_bytes:,} bytes.", hint=AGAIN
        )

    def take(self, count: int) -> bytes:
        """Read so many bytes."""
        self._load(count)
        start = self._index
        self._index += count
        return self._buffer[start : self._index]

    def count(self, layout: Struct) -> int:
        """Read one whole number."""
        return int.from_bytes(self.take(layout.size), "little")

    def text(self, limit_bytes: int, what: str) -> str:
        """Read a text of a bounded length that must be UTF-8."""
        length = self.count(U64)
        if length > limit_bytes:
            raise self.damaged(f"{what} is {length:,} bytes long, at most {limit_bytes} are allowed")
        try:
            return self.take(length).decode()
        except UnicodeDecodeError as error:
            raise self.damaged(f"{what} is not text") from error

    def skip(self, count: int) -> None:
        """Pass over so many bytes without reading them."""
        self._bound(count)
        self._index += count

    def skip_texts(self, count: int) -> None:
        """Pass over so many texts, each of which states its own length."""
        self._bound(count * U64.size)
        self._texts += count
        if self._texts > TEXTS_LIMIT:
            raise self.damaged(f"its lists hold more than {TEXTS_LIMIT:,} texts")
        while count:
            self._load(U64.size)
            count -= self._pass_buffered_texts(count)
            self._bound(0)

    def _pass_buffered_texts(self, count: int) -> int:
        """Pass over the texts that start in the buffer; the hot loop for vocabularies of 260,000 tokens."""
        buffer, index, last = self._buffer, self._index, len(self._buffer) - U64.size
        length_at = U64.unpack_from
        passed = 0
        while passed < count and index <= last:
            index += U64.size + length_at(buffer, index)[0]
            passed += 1
        self._index = index
        return passed

    def _bound(self, count: int) -> None:
        end = self.position + count
        if end > HEADER_LIMIT_BYTES:
            raise self.damaged(f"its header would be larger than {HEADER_LIMIT_BYTES >> 20} MiB")
        if end > self.file_bytes:
            raise self.cut_short()

    def _load(self, count: int) -> None:
        self._bound(count)
        if self._index + count <= len(self._buffer):
            return
        self._base, self._index = self.position, 0
        self._stream.seek(self._base)
        self._buffer = self._stream.read(max(count, CHUNK_BYTES))
        if len(self._buffer) < count:
            raise self.cut_short()
