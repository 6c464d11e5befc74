"""A session on the disk: what was said, the tokens of it, and the engine's state, proved to be what this user wrote.

A file is a magic word, the header's length, the header, its code, and then pieces of the state, each with a code of
its own. A code is an HMAC-SHA256 with a key that this user alone has; a piece's is over the header's code and its
number too, so that no piece of another file or from another place passes. Nothing of a file is understood, and no
byte of it reaches the engine, before its code was right. The contents are not encrypted.
"""

import hashlib
import hmac
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final

import msgspec

from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import ChatMessage
from deploy.engine.state_protocol import StateShape
from deploy.errors import EngineFailed, IntegrityError, NotFound

MAGIC: Final = b"landfast session 1\n"
CODE_BYTES: Final = hashlib.sha256().digest_size
HEADER_LIMIT_BYTES: Final = 64 << 20
"""Ten million tokens and what they say."""
_LENGTH: Final = Struct("<Q")
_HEADER_AT: Final = len(MAGIC) + _LENGTH.size


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """From what a state is, to the bit: none of it may be other when it is used again."""

    model: str
    """The model as it is asked for: its id, or the path of its file."""
    sha256: tuple[str, ...]
    """Of the model's files, in order."""
    adapters: tuple[tuple[str, float], ...] = ()
    """SHA-256 and scale of each adapter that was laid over it."""
    engine: str
    """Name, version and build."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says of itself."""

    name: str
    created: str
    """UTC, ISO 8601."""
    origin: Origin
    plan_id: str
    """Of what the plan is."""
    plan: LoadPlan
    peak_bytes: int
    hard_bytes: int
    """What the plan takes of memory."""
    messages: tuple[ChatMessage, ...]
    """All that was said, the system prompt included."""
    shape: StateShape
    salt: bytes
    """Makes every file's codes its own."""

    def mismatch(self, origin: Origin, plan: LoadPlan) -> str:
        """Why the state is of no use to a model that is loaded so; empty where it is."""
        was, kept = self.origin, self.plan
        if was.sha256 != origin.sha256:
            return f"it belongs to another model, {was.model}"
        if was.adapters != origin.adapters:
            return "it was kept with other adapters"
        if was.engine != origin.engine:
            return "it was kept by another version or build of the engine"
        if kept.kv_type != plan.kv_type or kept.flash_attention != plan.flash_attention:
            return "the model is loaded in another way now"
        if kept.context_tokens != plan.context_tokens:
            return f"it was kept with a context of {kept.context_tokens:,} tokens"
        return ""


class StateFile:
    """An open file whose header was proved."""

    def __init__(self, file: BinaryIO, key: bytes, name: str) -> None:
        """Read and prove the header. Raises IntegrityError."""
        self._file, self._key, self._name = file, key, name
        self._code = b""
        self.header = self._read_header()
        self.size_bytes = os.fstat(file.fileno()).st_size
        wanted = file.tell() + self.header.shape.total_bytes + CODE_BYTES * len(self.header.shape.pieces_bytes)
        self.whole = self.size_bytes == wanted
        """Whether all of the state can be there, by the file's length."""

    def pieces(self) -> Iterator[bytes]:
        """The state, every piece proved before it is given. Raises IntegrityError at the first that is not right."""
        if not self.whole:
            raise self._refused("its length has changed since it was written")
        for number, size in enumerate(self.header.shape.pieces_bytes):
            data, code = self._read(size), self._read(CODE_BYTES)
            if not hmac.compare_digest(code, _code_of_piece(self._key, self._code, number, data)):
                raise self._refused("it was altered after it was written")
            yield data

    def _read_header(self) -> Header:
        prefix = self._file.read(_HEADER_AT)
        if len(prefix) != _HEADER_AT or not prefix.startswith(MAGIC):
            raise self._refused("it was written by another version of Landfast")
        (length,) = _LENGTH.unpack_from(prefix, len(MAGIC))
        if length > HEADER_LIMIT_BYTES:
            raise self._refused("it was altered after it was written")
        raw, self._code = self._read(length), self._read(CODE_BYTES)
        if not hmac.compare_digest(self._code, _code(self._key, prefix, raw)):
            raise self._refused("it was altered, or written by another user or with another key")
        header = msgspec.msgpack.decode(raw, type=Header)
        if header.name != self._name:
            raise self._refused(f"it was written as {header.name}")
        return header

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) != size:
            raise self._refused("it ends before its contents do")
        return data

    def _refused(self, why: str) -> IntegrityError:
        return IntegrityError(
            f"The kept session {self._name} is not used: {why}.",
            hint=f"Remove it with `landfast sessions remove {self._name}`, then give the document again.",
        )


@contextmanager
def opened(path: Path, key: bytes, name: str) -> Iterator[StateFile]:
    """Open a kept session and prove its header. Raises NotFound, and IntegrityError for a file that is not ours."""
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError as error:
        hint = "`landfast sessions` lists those that are kept."
        raise NotFound(f"There is no kept session {name}.", hint=hint) from error
    except OSError as error:
        raise IntegrityError(
            f"The kept session {name} cannot be read: {error.strerror}.", hint="Check its permissions."
        ) from error
    try:
        _require_own(os.fstat(descriptor), name)
    except IntegrityError:
        os.close(descriptor)
        raise
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        yield StateFile(file, key, name)


def write(file: BinaryIO, key: bytes, header: Header, pieces: Iterable[bytes]) -> None:
    """Write a whole session. Raises EngineFailed where the pieces are not what the header says, and OSError."""
    raw = msgspec.msgpack.encode(header)
    prefix = MAGIC + _LENGTH.pack(len(raw))
    code = _code(key, prefix, raw)
    file.write(prefix + raw + code)
    sizes = header.shape.pieces_bytes
    count = 0
    for number, data in enumerate(pieces):
        if number >= len(sizes) or len(data) != sizes[number]:
            raise EngineFailed("The engine gave another state than it had described.")
        file.write(data)
        file.write(_code_of_piece(key, code, number, data))
        count += 1
    if count != len(sizes):
        raise EngineFailed("The engine gave less of its state than it had described.")


def length_bytes(header: Header) -> int:
    """How long the file of a session is."""
    pieces = CODE_BYTES * len(header.shape.pieces_bytes)
    return _HEADER_AT + len(msgspec.msgpack.encode(header)) + CODE_BYTES + header.shape.total_bytes + pieces


def _code(key: bytes, prefix: bytes, raw: bytes) -> bytes:
    made = hmac.new(key, b"header", hashlib.sha256)
    made.update(prefix)
    made.update(raw)
    return made.digest()


def _code_of_piece(key: bytes, header_code: bytes, number: int, data: bytes) -> bytes:
    made = hmac.new(key, b"piece", hashlib.sha256)
    made.update(header_code + _LENGTH.pack(number))
    made.update(data)
    return made.digest()


def _require_own(found: os.stat_result, name: str) -> None:
    owner = getattr(os, "geteuid", lambda: found.st_uid)()
    if not stat.S_ISREG(found.st_mode) or found.st_uid != owner:
        raise IntegrityError(
            f"The kept session {name} is not used: the file belongs to another user.",
            hint="Keep it again as this user: only sessions of this user are resumed.",
        )
