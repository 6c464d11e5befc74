"""Writes small GGUF models whose weights are a hole in a sparse file, for measuring the engine on them.

Such a file takes no disk, computes like a model of its shape, and says nothing of sense. Norms are one and the
embedding is random, so that tokens differ and a router sends them to different experts.
"""

import math
import random
import struct
from array import array
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from deploy.gguf.ggml_types import TENSOR_TYPES

ALIGNMENT: Final = 32
TOKENS: Final = 256
"""Size of the vocabulary: its matrices are to cost nothing."""
NUMBER_OF: Final = {kind.name: number for number, kind in TENSOR_TYPES.items()}
_UINT32, _FLOAT32, _TEXT = 4, 6, 8
"""Types of metadata values (gguf.md)."""


class HollowModel(msgspec.Struct, frozen=True, kw_only=True):
    """The shape of a model with Llama's architecture."""

    weight_type: str
    """Tensor type of every matrix of the blocks; of the experts alone, where there are experts."""
    blocks: int
    embedding: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_size: int
    experts: int = 0
    experts_used: int = 0

    @property
    def other_type(self) -> str:
        """Tensor type of the matrices that are not experts."""
        return "Q8_0" if self.experts else self.weight_type

    def matrices(self) -> "tuple[Matrix, ...]":
        """All matrices of the blocks."""
        return tuple(matrix for block in range(self.blocks) for matrix in self._block(block))

    def _block(self, number: int) -> "tuple[Matrix, ...]":
        name, kind = f"blk.{number}.", self.other_type
        width, heads, kv = self.embedding, self.heads * self.head_size, self.kv_heads * self.head_size
        attention = (
            Matrix(f"{name}attn_q.weight", (width, heads), kind),
            Matrix(f"{name}attn_k.weight", (width, kv), kind),
            Matrix(f"{name}attn_v.weight", (width, kv), kind),
            Matrix(f"{name}attn_output.weight", (heads, width), kind),
        )
        if not self.experts:
            return (*attention, *self._feed_forward(name, "", ()))
        router = Matrix(f"{name}ffn_gate_inp.weight", (width, self.experts), "F32")
        return (*attention, router, *self._feed_forward(name, "_exps", (self.experts,)))

    def _feed_forward(self, name: str, ending: str, experts: tuple[int, ...]) -> "tuple[Matrix, ...]":
        width, inner, kind = self.embedding, self.feed_forward, self.weight_type
        return (
            Matrix(f"{name}ffn_gate{ending}.weight", (width, inner, *experts), kind),
            Matrix(f"{name}ffn_up{ending}.weight", (width, inner, *experts), kind),
            Matrix(f"{name}ffn_down{ending}.weight", (inner, width, *experts), kind),
        )


class Matrix(NamedTuple):
    """One tensor; the fastest dimension comes first."""

    name: str
    shape: tuple[int, ...]
    type_name: str

    @property
    def parameters(self) -> int:
        """Its elements."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Its bytes in the file."""
        kind = TENSOR_TYPES[NUMBER_OF[self.type_name]]
        return self.parameters // kind.block_elements * kind.block_bytes


def write_hollow(path: Path, model: HollowModel) -> None:
    """Write the file; its size is that of a real model, and what it takes of the disk is next to nothing."""
    tensors = _tensors(model)
    header = _header(model, tensors)
    start = _aligned(len(header))
    with path.open("wb") as file:
        file.write(header)
        for tensor, offset in zip(tensors, _offsets(tensors), strict=True):
            contents = _contents(tensor)
            file.seek(start + offset)
            file.write(contents)
            end = start + offset + tensor.size_bytes
        file.truncate(end)


def _tensors(model: HollowModel) -> tuple[Matrix, ...]:
    norms = [Matrix("output_norm.weight", (model.embedding,), "F32")]
    for block in range(model.blocks):
        norms += [Matrix(f"blk.{block}.{name}_norm.weight", (model.embedding,), "F32") for name in ("attn", "ffn")]
    embedding = Matrix("token_embd.weight", (model.embedding, TOKENS), "F32")
    return (embedding, *norms, *model.matrices())


def _contents(tensor: Matrix) -> bytes:
    """What is written of a tensor: nothing of the matrices of the blocks, but for routers."""
    if "norm" in tensor.name:
        return array("f", [1.0] * tensor.parameters).tobytes()
    if "embd" in tensor.name or "gate_inp" in tensor.name:
        words = random.Random(tensor.name).randbytes(tensor.parameters)  # noqa: S311 - any numbers will do
        return array("f", [word / 4096 - 1 / 32 for word in words]).tobytes()
    return b""


def _header(model: HollowModel, tensors: tuple[Matrix, ...]) -> bytes:
    settings = _settings(model)
    parts = [struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(settings))]
    parts += [_text(key) + _value(value) for key, value in settings.items()]
    for tensor, offset in zip(tensors, _offsets(tensors), strict=True):
        parts.append(_text(tensor.name) + struct.pack("<I", len(tensor.shape)))
        parts.append(struct.pack(f"<{len(tensor.shape)}Q", *tensor.shape))
        parts.append(struct.pack("<IQ", NUMBER_OF[tensor.type_name], offset))
    return b"".join(parts)


def _settings(model: HollowModel) -> dict[str, int | float | str]:
    found: dict[str, int | float | str] = {
        "general.architecture": "llama",
        "llama.vocab_size": TOKENS,
        "llama.context_length": 1 << 17,
        "llama.embedding_length": model.embedding,
        "llama.block_count": model.blocks,
        "llama.feed_forward_length": model.feed_forward,
        "llama.attention.head_count": model.heads,
        "llama.attention.head_count_kv": model.kv_heads,
        "llama.attention.key_length": model.head_size,
        "llama.attention.value_length": model.head_size,
        "llama.rope.dimension_count": model.head_size,
        "llama.attention.layer_norm_rms_epsilon": 1e-6,
        "tokenizer.ggml.model": "no_vocab",
    }
    if model.experts:
        found |= {"llama.expert_count": model.experts, "llama.expert_used_count": model.experts_used}
    return found


def _offsets(tensors: tuple[Matrix, ...]) -> list[int]:
    found, offset = [], 0
    for tensor in tensors:
        found.append(offset)
        offset = _aligned(offset + tensor.size_bytes)
    return found


def _aligned(count: int) -> int:
    return -(-count // ALIGNMENT) * ALIGNMENT


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def _value(value: float | str) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", _TEXT) + _text(value)
    if isinstance(value, int):
        return struct.pack("<II", _UINT32, value)
    return struct.pack("<If", _FLOAT32, value)
