"""Models that are split over several files: which part a file is, and all parts as one."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from deploy.errors import Incomplete, InvalidModel
from deploy.gguf.cursor import shown
from deploy.gguf.fields import Fields
from deploy.gguf.reader import Header

PARTS_LIMIT: Final = (1 << 16) - 1
"""The engine counts parts in 16 bits."""
TENSOR_COUNT_LIMIT: Final = (1 << 31) - 1

_PART_NAME: Final = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
_ALL_PARTS: Final = "Give every part, in order."


class Part(msgspec.Struct, frozen=True):
    """A file's place among the files of its model."""

    number: int
    """From 1."""
    count: int


def part_of(header: Header, path: Path) -> Part:
    """Say which part a file is; a file that was never split is part 1 of 1.

    Raises InvalidModel when the file's contents and its name say different things.
    """
    fields = Fields(header, path.name)
    count = fields.whole("split.count", 0, PARTS_LIMIT) or 1
    part = Part((fields.whole("split.no", 0, count - 1) or 0) + 1, count)
    named = _PART_NAME.search(path.name)
    if named and count > 1 and Part(int(named[1]), int(named[2])) != part:
        raise InvalidModel(
            f"{path.name} was renamed: it is part {part.number} of {part.count}.", hint="Give it back its own name."
        )
    return part


def model_stem(path: Path) -> str:
    """Give a file's name without its ending and its part number."""
    return _PART_NAME.sub("", path.name).removesuffix(".gguf")


def join(headers: Sequence[Header], paths: Sequence[Path]) -> Header:
    """Make one header of all parts of a model, given in order.

    The result has the first part's settings and everyone's tensors; their offsets stay those within their files.
    Raises Incomplete when a part is missing, and InvalidModel when a file is no part of this model.
    """
    parts = [part_of(header, path) for header, path in zip(headers, paths, strict=True)]
    _require_in_order(parts, paths)
    joined = msgspec.structs.replace(
        headers[0],
        tensors=tuple(tensor for header in headers for tensor in header.tensors),
        file_bytes=sum(header.file_bytes for header in headers),
    )
    _require_one_model(joined, paths[0])
    return joined


def _require_in_order(parts: Sequence[Part], paths: Sequence[Path]) -> None:
    count = parts[0].count
    for number, (part, path) in enumerate(zip(parts, paths, strict=True), start=1):
        if part.count != count or number > count:
            raise InvalidModel(f"{path.name} is not a part of the same model as {paths[0].name}.", hint=_ALL_PARTS)
        if part.number != number:
            raise _out_of_place(parts, paths, number)
    if len(parts) < count:
        raise Incomplete(f"Of {paths[0].name}, {len(parts)} of {count} parts are given.", hint=_ALL_PARTS)


def _out_of_place(parts: Sequence[Part], paths: Sequence[Path], number: int) -> Incomplete | InvalidModel:
    if number not in {part.number for part in parts}:
        return Incomplete(f"Part {number} of {parts[0].count} of {paths[0].name} is missing.", hint=_ALL_PARTS)
    name, actual = paths[number - 1].name, parts[number - 1].number
    return InvalidModel(f"{name} is part {actual}, given where part {number} belongs.", hint=_ALL_PARTS)


def _require_one_model(joined: Header, first: Path) -> None:
    names = [tensor.name for tensor in joined.tensors]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidModel(
            f"The parts of {first.name} do not belong together: {shown(twice)} is in two of them.",
            hint="Download them again.",
        )
    announced = Fields(joined, first.name).whole("split.tensors.count", 0, TENSOR_COUNT_LIMIT)
    if announced is not None and announced != len(names):
        raise InvalidModel(
            f"The parts of {first.name} hold {len(names):,} tensors instead of {announced:,}.", hint=_ALL_PARTS
        )
