"""Judges a low-rank adapter (LoRA) in a GGUF file, by itself and beside the model that it is to be laid over.

The rules are those of llama.cpp's own reader (src/llama-adapter.cpp): a part that does not belong to the model is
refused here, with a sentence, before native code sees the file.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from deploy.errors import InvalidModel
from deploy.gguf.cursor import shown
from deploy.gguf.fields import Fields
from deploy.gguf.parts import join
from deploy.gguf.reader import Header, Tensor, read_header, read_open_header

SUFFIXES: Final = (".lora_a", ".lora_b")
PASSED_OVER: Final = "_norm.weight"
"""The engine reads these and uses them for nothing."""
TOKEN_EMBEDDING: Final = "token_embd.weight"  # noqa: S105 - the name of a tensor
RANK_LIMIT: Final = 4096
HINT: Final = "Give a LoRA adapter as a GGUF file."


class AdapterFile(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter's file says."""

    name: str
    architecture: str
    """Of the models that it can be laid over."""
    rank: int
    """The largest of any tensor."""
    tensors: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    """Shapes of its two parts, by the name of the model's tensor that they change."""
    file_bytes: int


def inspect_adapter(path: Path) -> AdapterFile:
    """Read and judge the file by itself. Raises NotFound, Incomplete or InvalidModel."""
    return _judged(read_header(path), path.name)


def inspect_open_adapter(stream: BinaryIO, name: str) -> AdapterFile:
    """Read and judge an open file by itself. Raises Incomplete or InvalidModel."""
    return _judged(read_open_header(stream, name), name)


def _judged(header: Header, file: str) -> AdapterFile:
    fields = Fields(header, file)
    if fields.text("general.type") != "adapter":
        raise InvalidModel(f"{file} is not an adapter.", hint=HINT)
    kind = fields.text("adapter.type")
    if kind != "lora":
        raise InvalidModel(
            f"{file} is an adapter of the kind {shown(kind or '')}; the engine knows only lora.", hint=HINT
        )
    architecture = fields.text("general.architecture")
    if not architecture:
        raise InvalidModel(f"{file} does not say what models it is for.", hint=HINT)
    tensors = _pairs(header, file)
    return AdapterFile(
        name=file,
        architecture=architecture,
        rank=max(_rank(name, first) for name, (first, _) in tensors.items()),
        tensors=tensors,
        file_bytes=header.file_bytes,
    )


def require_fits(adapter: AdapterFile, architecture: str, model: Sequence[Path]) -> None:
    """Raises InvalidModel where an adapter was made for another model than the one in these files."""
    if adapter.architecture != architecture:
        raise _stranger(adapter, f"it is for models of the kind {adapter.architecture}, and this is {architecture}")
    whole = join([read_header(path) for path in model], model)
    known = {tensor.name: tensor for tensor in whole.tensors}
    for name, (first, second) in adapter.tensors.items():
        tensor = known.get(name)
        if tensor is None:
            raise _stranger(adapter, f"the model has no tensor {shown(name)}")
        if not _matches(tensor, first, second):
            raise _stranger(adapter, f"the model's tensor {shown(name)} has another shape")


def _pairs(header: Header, file: str) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    shapes = {tensor.name: tensor.shape for tensor in header.tensors if not tensor.name.endswith(PASSED_OVER)}
    strange = next((name for name in shapes if not name.endswith(SUFFIXES)), None)
    if strange is not None or not shapes:
        raise InvalidModel(f"{file} holds {_what(strange)}, which is not part of an adapter.", hint=HINT)
    pairs = {}
    for name in sorted({name.removesuffix(end) for name in shapes for end in SUFFIXES if name.endswith(end)}):
        first, second = (shapes.get(name + end) for end in SUFFIXES)
        if first is None or second is None:
            raise InvalidModel(f"{file} has only one half of {shown(name)}.", hint=HINT)
        if not _fit_together(name, first, second):
            raise InvalidModel(f"The halves of {shown(name)} in {file} do not match.", hint=HINT)
        pairs[name] = (first, second)
    return pairs


def _fit_together(name: str, first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    if len(first) < 2 or len(first) != len(second):  # noqa: PLR2004 - they are matrices, or stacks of them
        return False
    rank = _rank(name, first)
    return rank == second[0] and rank <= RANK_LIMIT


def _rank(name: str, first: tuple[int, ...]) -> int:
    """The embedding's halves are stored the other way round."""
    return first[0] if name == TOKEN_EMBEDDING else first[1]


def _what(name: str | None) -> str:
    return "nothing" if name is None else f"the tensor {shown(name)}"


def _matches(tensor: Tensor, first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    if len(tensor.shape) != len(first):
        return False
    if tensor.name == TOKEN_EMBEDDING:
        return tensor.shape[:2] == (second[1], first[1])
    return tensor.shape[:2] == (first[0], second[1]) and tensor.shape[2:] == first[2:] == second[2:]


def _stranger(adapter: AdapterFile, why: str) -> InvalidModel:
    return InvalidModel(
        f"{adapter.name} does not belong to this model: {why}.", hint="Choose the model that it was made for."
    )
