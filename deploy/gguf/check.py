"""Judges what a GGUF header means, before native code sees the file, and says what kind of model it is.

The bounds are those of llama.cpp: values that make it throw, abort the process or read out of bounds are refused
here, with a sentence. The rules come from src/llama-model.cpp, src/llama-vocab.cpp and src/llama-hparams.h of the
version that llama-cpp-python 0.3.36 brings.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from deploy.errors import InvalidModel
from deploy.gguf.cursor import AGAIN
from deploy.gguf.fields import Fields
from deploy.gguf.ggml_types import FILE_TYPES
from deploy.gguf.parts import join, model_stem, part_of
from deploy.gguf.reader import Header, read_header
from deploy.gguf.shape import Shape, shape_of
from deploy.gguf.template import check_template

BLOCKS_LIMIT: Final = 512
"""llama.cpp's LLAMA_MAX_LAYERS; beyond it the engine aborts."""
EXPERTS_LIMIT: Final = 1024
"""llama.cpp's LLAMA_MAX_EXPERTS; likewise."""
CONTEXT_LIMIT: Final = 1 << 27
"""The longest context in use is 10 million tokens."""
WIDTH_LIMIT: Final = 1 << 20
HEADS_LIMIT: Final = 1 << 14
TOKENS_LIMIT: Final = 1 << 24
SPARE_BYTES: Final = 1 << 20
"""So much after the last tensor is padding; more is worth a word."""
GUESSED_FILE_TYPE: Final = 1024
"""Bit that llama.cpp sets where it guessed the file type."""
NAME_CHARACTERS: Final = 120
TEMPLATES_LIMIT: Final = 80 << 10
"""Characters of all chat templates; a model has one to four of them."""
ROPE_SCALINGS: Final = frozenset({"none", "linear", "yarn", "longrope"})
TURN_TOKENS: Final = ("bos", "eos", "eot", "eom")
"""Tokens that begin and end an answer: a wrong one makes a model talk without end."""
OTHER_TOKENS: Final = ("unknown", "seperator", "padding", "mask")
"""The second is spelt as the format spells it."""

_ARCHITECTURE: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_BLOCK: Final = re.compile(r"blk\.(\d{1,9})\.")
_QUERY: Final = re.compile(r"blk\.(\d{1,9})\.attn_q\.weight")


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a GGUF file, or all files of a split model, say about the model. Nothing here was measured."""

    architecture: str
    name: str
    """As the file names itself, or the file's own name."""
    parameters: int
    """Elements of all tensors."""
    quant: str
    """As quantisers write it, "Q4_K_M"; the commonest tensor type where the file does not say."""
    context_tokens: int
    """Longest context the model was trained for."""
    block_count: int
    embedding_length: int
    head_count: int
    """Query heads, the most of any block; 0 for a model without attention."""
    head_count_kv: int
    """Key and value heads, the most of any block."""
    key_length: int
    """Width of one key; 0 for a model without attention."""
    value_length: int
    expert_count: int
    """0 for a dense model."""
    expert_used_count: int
    """Experts that a token passes through, the most of any block."""
    expert_tensor_bytes: int
    """Bytes of the experts among tensor_bytes: a token reads expert_used_count / expert_count of them."""
    vocab_size: int
    """0 for a file without a vocabulary, which can be measured but not talked to."""
    chat_template: str | None
    """None where there is none: such a model continues texts."""
    tensor_bytes: int
    file_bytes: int
    shape: Shape
    warnings: tuple[str, ...] = ()
    """Whole sentences about what is odd but does no harm."""


def inspect(path: Path) -> ModelFile:
    """Read and judge one GGUF file. Raises NotFound, Incomplete or InvalidModel."""
    return check(read_header(path), path)


def inspect_parts(paths: Sequence[Path]) -> ModelFile:
    """Read and judge all files of a model, in order; a model in one file is the usual case.

    Raises NotFound, InvalidModel or Incomplete, the last also when a part is missing.
    """
    headers = [read_header(path) for path in paths]
    joined = join(headers, paths)
    spare = [text for header, path in zip(headers, paths, strict=True) for text in _spare_bytes(header, path)]
    return _judge(joined, paths[0], spare, whole=True)


def check(header: Header, path: Path) -> ModelFile:
    """Judge one file's header. The first part of a split model passes, with a warning; a later one cannot.

    Raises InvalidModel when the engine could not, or should not, load the file.
    """
    part = part_of(header, path)
    if part.number > 1:
        raise InvalidModel(
            f"{path.name} is part {part.number} of {part.count} and is not a model by itself.",
            hint="Give every part, in order.",
        )
    warnings = list(_spare_bytes(header, path))
    if part.count > 1:
        warnings.append(f"It is part 1 of {part.count}: the figures are those of this part alone.")
    return _judge(header, path, warnings, whole=part.count == 1)


def _judge(header: Header, path: Path, warnings: list[str], *, whole: bool) -> ModelFile:
    fields = Fields(header, path.name)
    architecture = _architecture(fields)
    if whole and not header.tensors:
        raise fields.refused("it holds no tensors")
    blocks = _blocks(fields, architecture, header, whole=whole)
    embedding_length = fields.required(f"{architecture}.embedding_length", 1, WIDTH_LIMIT)
    heads, heads_kv = _heads(fields, architecture, header, blocks)
    experts, experts_used = _experts(fields, architecture, blocks)
    _check_rope(fields, architecture)
    vocab_size = _vocab_size(fields, architecture, warnings)
    template = _chat_template(fields, warnings)
    head_length = embedding_length // heads[0] if heads[0] else 0
    return ModelFile(
        architecture=architecture,
        name=_name(fields, path),
        parameters=sum(tensor.elements for tensor in header.tensors),
        quant=_quant(fields, header),
        context_tokens=fields.required(f"{architecture}.context_length", 1, CONTEXT_LIMIT),
        block_count=blocks,
        embedding_length=embedding_length,
        head_count=max(heads),
        head_count_kv=max(heads_kv),
        key_length=_head_length(fields, f"{architecture}.attention.key_length", head_length),
        value_length=_head_length(fields, f"{architecture}.attention.value_length", head_length),
        expert_count=experts,
        expert_used_count=experts_used,
        expert_tensor_bytes=sum(tensor.size_bytes for tensor in header.tensors if "_exps" in tensor.name),
        vocab_size=vocab_size,
        chat_template=template,
        tensor_bytes=sum(tensor.size_bytes for tensor in header.tensors),
        file_bytes=header.file_bytes,
        shape=shape_of(header, tokens=vocab_size, heads=max(heads), experts_used=experts_used),
        warnings=tuple(warnings),
    )


def _architecture(fields: Fields) -> str:
    architecture = fields.text("general.architecture")
    kind = fields.text("general.type") or "model"
    if architecture == "clip" or kind != "model":
        hint = "`landfast adapters add FILE` installs a LoRA adapter." if kind == "adapter" else AGAIN
        raise fields.refused("it is an addition to a model (for pictures, sound or another style), not a model", hint)
    if architecture is None or not _ARCHITECTURE.fullmatch(architecture):
        raise fields.refused("it does not name an architecture")
    return architecture


def _name(fields: Fields, path: Path) -> str:
    """Give the model's own name without what a terminal would obey."""
    name = "".join(letter for letter in fields.text("general.name") or "" if letter.isprintable())
    return name[:NAME_CHARACTERS].strip() or model_stem(path)


def _quant(fields: Fields, header: Header) -> str:
    file_type = fields.whole("general.file_type", 0, (1 << 32) - 1)
    if file_type is not None and file_type & ~GUESSED_FILE_TYPE in FILE_TYPES:
        return FILE_TYPES[file_type & ~GUESSED_FILE_TYPE]
    elements: Counter[str] = Counter()
    for tensor in header.tensors:
        elements[tensor.type_name] += tensor.elements
    return elements.most_common(1)[0][0] if elements else ""


def _blocks(fields: Fields, architecture: str, header: Header, *, whole: bool) -> int:
    key = f"{architecture}.block_count"
    blocks = fields.required(key, 1, BLOCKS_LIMIT)
    predicting = fields.whole(f"{architecture}.nextn_predict_layers", 0, blocks) or 0
    present = [int(match[1]) for tensor in header.tensors if (match := _BLOCK.match(tensor.name))]
    if present and max(present) >= blocks:
        raise fields.refused(f"{key} is {blocks}, but there is a tensor of block {max(present)}")
    if whole and present and max(present) + 1 < blocks - predicting:
        raise fields.refused(f"{key} is {blocks}, but the last tensor is of block {max(present)}")
    return blocks


def _heads(fields: Fields, architecture: str, header: Header, blocks: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    heads = fields.per_block(f"{architecture}.attention.head_count", blocks, HEADS_LIMIT) or (0,) * blocks
    heads_kv = fields.per_block(f"{architecture}.attention.head_count_kv", blocks, HEADS_LIMIT) or heads
    for count, count_kv in zip(heads, heads_kv, strict=True):
        if count and count_kv and count % count_kv:
            raise fields.refused(f"{count} attention heads cannot share {count_kv} heads of keys and values")
    for tensor in header.tensors:
        match = _QUERY.fullmatch(tensor.name)
        if match and (not any(heads) or _splits_heads(tensor.shape, heads[int(match[1])])):
            raise fields.refused(f"{heads[int(match[1])]} attention heads do not match the tensor {tensor.name}")
    return heads, heads_kv


def _splits_heads(shape: tuple[int, ...], heads: int) -> bool:
    return len(shape) > 1 and heads > 0 and shape[1] % heads != 0


def _head_length(fields: Fields, key: str, default: int) -> int:
    length = fields.whole(key, 0, WIDTH_LIMIT)
    return default if length is None else length


def _experts(fields: Fields, architecture: str, blocks: int) -> tuple[int, int]:
    key = f"{architecture}.expert_count"
    count = fields.whole(key, 0, EXPERTS_LIMIT) or 0
    used = max(fields.per_block(f"{architecture}.expert_used_count", blocks, EXPERTS_LIMIT) or (0,))
    groups = fields.whole(f"{architecture}.expert_group_count", 0, EXPERTS_LIMIT) or 0
    if used > count or (count > 1 and not used):
        raise fields.refused(f"{key} is {count}, of which {used} are used")
    if groups and (groups >= count or count % groups):
        raise fields.refused(f"{key} is {count}, in {groups} groups")
    return count, used


def _check_rope(fields: Fields, architecture: str) -> None:
    key = f"{architecture}.rope.scaling.type"
    scaling = fields.text(key)
    if scaling is not None and scaling not in ROPE_SCALINGS:
        raise fields.refused(f"{key} is none of {', '.join(sorted(ROPE_SCALINGS))}")


def _vocab_size(fields: Fields, architecture: str, warnings: list[str]) -> int:
    tokens = fields.length("tokenizer.ggml.tokens", ["text"])
    if tokens is None:
        warnings.append("It has no vocabulary: it can be measured, but it cannot answer.")
        return fields.whole(f"{architecture}.vocab_size", 0, TOKENS_LIMIT) or 0
    for key, types in {"scores": ("float32", "int32"), "token_type": ("int32",)}.items():
        length = fields.length(f"tokenizer.ggml.{key}", types)
        if length is not None and length < tokens:
            raise fields.refused(f"tokenizer.ggml.{key} has {length:,} entries for {tokens:,} tokens")
    for role in TURN_TOKENS:
        fields.whole(f"tokenizer.ggml.{role}_token_id", 0, tokens - 1)
    for role in OTHER_TOKENS:
        token = fields.whole(f"tokenizer.ggml.{role}_token_id", -(1 << 31), (1 << 32) - 1)
        if token is not None and not 0 <= token < tokens:
            warnings.append(f"Its {role} token {token} is none of its {tokens:,} tokens; the engine uses another.")
    return tokens


def _chat_template(fields: Fields, warnings: list[str]) -> str | None:
    templates = fields.texts("tokenizer.chat_template")
    length = sum(map(len, templates.values()))
    if length > TEMPLATES_LIMIT:
        raise fields.refused(f"its chat templates are {length:,} characters long")
    for key, template in templates.items():
        for finding in check_template(template):
            if finding.level == "error":
                raise fields.refused(f"the chat template {finding.text}")
            if key == "tokenizer.chat_template":
                warnings.append(f"The chat template {finding.text}.")
    return templates.get("tokenizer.chat_template")


def _spare_bytes(header: Header, path: Path) -> Iterator[str]:
    spare = header.file_bytes - header.end
    if header.tensors and spare > SPARE_BYTES:
        yield f"{path.name} has {spare:,} more bytes after its last tensor."
