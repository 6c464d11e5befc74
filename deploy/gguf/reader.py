"""Reads a GGUF header before any native code sees the file: bounded in time and memory, whatever the file says.

What is refused here is what the format itself forbids, by the rules of llama.cpp's own reader (ggml/src/gguf.cpp)
and by limits far above any real model. What the values mean is judged in check.py.
"""

import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final

import msgspec

from deploy.errors import Incomplete, InvalidModel, NotFound
from deploy.gguf.cursor import AGAIN, U32, U64, Cursor, shown
from deploy.gguf.ggml_types import TENSOR_TYPES, TensorType

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
KEYS_LIMIT: Final = 4096
KEY_LIMIT_BYTES: Final = 256
TENSORS_LIMIT: Final = 16384
NAME_LIMIT_BYTES: Final = 63
"""llama.cpp's GGML_MAX_NAME, less the final zero."""
DIMENSIONS_LIMIT: Final = 4
ELEMENTS_LIMIT: Final = 1 << 63
ARRAY_LIMIT: Final = 16 << 20
KEPT_VALUE_BYTES: Final = 64 << 10
"""A chat template has 20 KB at most; anything larger is a vocabulary."""
KEPT_ARRAY_BYTES: Final = 8 << 10
"""Two numbers of eight bytes for each of the 512 blocks that the engine can hold; longer lists are vocabularies."""
KEPT_TOTAL_BYTES: Final = 4 << 20
DEFAULT_ALIGNMENT: Final = 32
ALIGNMENT_LIMITS: Final = (8, 1 << 16)

TEXT: Final = 8
ARRAY: Final = 9
NUMBERS: Final[dict[int, tuple[str, str]]] = {
    0: ("uint8", "B"),
    1: ("int8", "b"),
    2: ("uint16", "H"),
    3: ("int16", "h"),
    4: ("uint32", "I"),
    5: ("int32", "i"),
    6: ("float32", "f"),
    7: ("bool", "?"),
    10: ("uint64", "Q"),
    11: ("int64", "q"),
    12: ("float64", "d"),
}
"""Name and struct letter of each number type of the format."""


class ArraySummary(msgspec.Struct, frozen=True):
    """An array that stands for itself by type and length. A text too long to keep is one too, of bytes."""

    element_type: str
    length: int
    values: tuple[int | float | bool, ...] | None = None
    """The numbers themselves where they are few, as for one number per block; None for all others."""


Value = str | int | float | bool | ArraySummary


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """Where one tensor lies and how it is packed."""

    name: str
    shape: tuple[int, ...]
    """First the dimension along which elements are packed, as the format lists them."""
    type_id: int
    type_name: str
    offset: int
    """From the header's data_offset."""
    size_bytes: int

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """All that stands before the weights. Its tensors follow each other without gaps and end within the file."""

    version: int
    metadata: Mapping[str, Value]
    tensors: tuple[Tensor, ...]
    alignment: int
    data_offset: int
    """Where in the file the first tensor's data begin."""
    file_bytes: int

    @property
    def end(self) -> int:
        """Where in the file the last tensor's data end."""
        return self.data_offset + max((tensor.offset + tensor.size_bytes for tensor in self.tensors), default=0)


def read_header(path: Path) -> Header:
    """Read the header of a GGUF file.

    Raises NotFound when there is no readable file, InvalidModel when it is not GGUF or contradicts itself, and
    Incomplete when it ends before its header or its tensors do.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InvalidModel(f"{path.name} is not a plain file.", hint="Choose a .gguf file.")
        with path.open("rb") as stream:
            return _read(Cursor(stream, path.name, os.fstat(stream.fileno()).st_size))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"There is no file {path}.", hint="Check the path, or choose another .gguf file.") from error
    except OSError as error:
        raise NotFound(
            f"{path} cannot be read: {error.strerror}.", hint="Check its permissions and the disk."
        ) from error


def read_open_header(stream: BinaryIO, name: str) -> Header:
    """Read the header of an open GGUF file. Raises as `read_header` does."""
    stream.seek(0)
    return _read(Cursor(stream, name, os.fstat(stream.fileno()).st_size))


def _read(cursor: Cursor) -> Header:
    version = _read_version(cursor)
    tensor_count = _read_count(cursor, TENSORS_LIMIT, "tensors")
    metadata = _read_metadata(cursor, _read_count(cursor, KEYS_LIMIT, "settings"))
    alignment = _alignment(cursor, metadata)
    tensors = _read_tensors(cursor, tensor_count, alignment)
    header = Header(
        version=version,
        metadata=metadata,
        tensors=tensors,
        alignment=alignment,
        data_offset=_padded(cursor.position, alignment),
        file_bytes=cursor.file_bytes,
    )
    if tensors and header.end > header.file_bytes:
        raise Incomplete(
            f"{cursor.name} is cut short: its tensors need {header.end:,} bytes, the file has {header.file_bytes:,}.",
            hint=AGAIN,
        )
    return header


def _read_version(cursor: Cursor) -> int:
    magic = cursor.take(min(len(MAGIC), cursor.file_bytes))
    if not MAGIC.startswith(magic):
        raise InvalidModel(
            f"{cursor.name} is not a GGUF file: it does not begin with the letters GGUF.",
            hint="Choose a .gguf file; models in other formats must be converted first.",
        )
    if magic != MAGIC:
        raise cursor.cut_short()
    version = cursor.count(U32)
    if version not in VERSIONS:
        raise InvalidModel(
            f"{cursor.name} has GGUF version {version}; the engine reads versions 2 and 3.",
            hint="Look for a newer version of this file.",
        )
    return version


def _read_count(cursor: Cursor, limit: int, what: str) -> int:
    count = cursor.count(U64)
    if count > limit:
        raise cursor.damaged(f"it announces {count:,} {what}, at most {limit:,} are allowed")
    return count


def _read_metadata(cursor: Cursor, count: int) -> dict[str, Value]:
    metadata: dict[str, Value] = {}
    budget = KEPT_TOTAL_BYTES
    for _ in range(count):
        key = cursor.text(KEY_LIMIT_BYTES, "the name of a setting")
        if not key or key in metadata:
            raise cursor.damaged(f"the setting {shown(key)} appears twice" if key else "a setting has no name")
        start = cursor.position
        metadata[key] = value = _read_value(cursor, key, min(budget, KEPT_VALUE_BYTES))
        if not isinstance(value, ArraySummary) or value.values is not None:
            budget = max(0, budget - (cursor.position - start))
    return metadata


def _read_value(cursor: Cursor, key: str, kept_bytes: int) -> Value:
    kind = cursor.count(U32)
    if kind in NUMBERS:
        return _read_numbers(cursor, kind, 1)[0]
    if kind == TEXT:
        return _read_text(cursor, kept_bytes)
    if kind == ARRAY:
        return _read_array(cursor, key, kept_bytes)
    raise cursor.damaged(f"the setting {shown(key)} has the unknown type {kind}")


def _read_text(cursor: Cursor, kept_bytes: int) -> Value:
    length = cursor.count(U64)
    if length <= kept_bytes:
        return cursor.take(length).decode(errors="replace")
    cursor.skip(length)
    return ArraySummary("byte", length)


def _read_array(cursor: Cursor, key: str, kept_bytes: int) -> ArraySummary:
    kind = cursor.count(U32)
    length = _read_count(cursor, ARRAY_LIMIT, f"values of {shown(key)}")
    if kind == TEXT:
        cursor.skip_texts(length)
        return ArraySummary("text", length)
    if kind not in NUMBERS:
        raise cursor.damaged(f"the setting {shown(key)} is a list of the unknown type {kind}")
    name, letter = NUMBERS[kind]
    size_bytes = length * Struct(f"<{letter}").size
    if size_bytes <= min(kept_bytes, KEPT_ARRAY_BYTES):
        return ArraySummary(name, length, _read_numbers(cursor, kind, length))
    cursor.skip(size_bytes)
    return ArraySummary(name, length)


def _read_numbers(cursor: Cursor, kind: int, count: int) -> tuple[int | float | bool, ...]:
    layout = Struct(f"<{count}{NUMBERS[kind][1]}")
    return layout.unpack(cursor.take(layout.size))


def _alignment(cursor: Cursor, metadata: Mapping[str, Value]) -> int:
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    lowest, highest = ALIGNMENT_LIMITS
    if not isinstance(alignment, int) or not lowest <= alignment <= highest or alignment & (alignment - 1):
        raise cursor.damaged("the alignment of its tensors is not a power of two from 8 to 65,536")
    return alignment


def _read_tensors(cursor: Cursor, count: int, alignment: int) -> tuple[Tensor, ...]:
    tensors: dict[str, Tensor] = {}
    expected_offset = 0
    for _ in range(count):
        tensor = _read_tensor(cursor)
        if tensor.name in tensors:
            raise cursor.damaged(f"the tensor {shown(tensor.name)} appears twice")
        if tensor.offset != expected_offset:
            raise cursor.damaged(f"the tensor {shown(tensor.name)} does not lie where the one before it ends")
        tensors[tensor.name] = tensor
        expected_offset = _padded(tensor.offset + tensor.size_bytes, alignment)
    return tuple(tensors.values())


def _read_tensor(cursor: Cursor) -> Tensor:
    name = cursor.text(NAME_LIMIT_BYTES, "the name of a tensor")
    shape = _read_shape(cursor, name)
    type_id = cursor.count(U32)
    kind = TENSOR_TYPES.get(type_id)
    if kind is None:
        raise cursor.damaged(f"the tensor {shown(name)} has the unknown type {type_id}")
    return Tensor(
        name=name,
        shape=shape,
        type_id=type_id,
        type_name=kind.name,
        offset=cursor.count(U64),
        size_bytes=_size_bytes(cursor, name, shape, kind),
    )


def _read_shape(cursor: Cursor, name: str) -> tuple[int, ...]:
    dimensions = cursor.count(U32)
    if not 1 <= dimensions <= DIMENSIONS_LIMIT:
        raise cursor.damaged(f"the tensor {shown(name)} has {dimensions:,} dimensions instead of 1 to 4")
    shape = tuple(cursor.count(U64) for _ in range(dimensions))
    if not 0 < math.prod(shape) < ELEMENTS_LIMIT:
        raise cursor.damaged(f"the tensor {shown(name)} has an impossible shape")
    return shape


def _size_bytes(cursor: Cursor, name: str, shape: tuple[int, ...], kind: TensorType) -> int:
    if shape[0] % kind.block_elements:
        raise cursor.damaged(
            f"the rows of the tensor {shown(name)} are not whole blocks of {kind.block_elements} elements"
        )
    return math.prod(shape) // kind.block_elements * kind.block_bytes


def _padded(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment
