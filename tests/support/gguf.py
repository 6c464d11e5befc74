"""Writes tiny GGUF files for tests: a valid model by default, with every field open to be broken.

It shares no code and no table with the reader, so that one mistake cannot hide in both.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Final

NUMBER_TYPES: Final = {
    "u8": (0, "B"),
    "i8": (1, "b"),
    "u16": (2, "H"),
    "u32": (4, "I"),
    "i32": (5, "i"),
    "f32": (6, "f"),
}
TEXT, ARRAY = 8, 9
F32, Q4_0, Q4_K = 0, 2, 12
PACKING: Final = {F32: (1, 4), Q4_0: (32, 18), Q4_K: (256, 144)}
"""Elements and bytes of a block, for the types that the tests write."""
TEMPLATE: Final = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m['content'] | trim }}\n"
    "{% set ns = namespace(n=0) %}{% if loop.last and m.role != 'user' %}{% set ns.n = ns.n + 1 %}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
BLOCKS: Final = 2
WIDTH: Final = 32
TOKENS: Final = ("<unk>", "<s>", "</s>", "<0x0A>", "▁", "a", "b", "c")
TOKEN_TYPES: Final = (2, 3, 3, 6, 1, 1, 1, 1)
"""Unknown, control, byte and normal tokens, as the engine's SentencePiece vocabulary must have them."""


def number(kind: str, value: float) -> bytes:
    """Encode one number with its type, as a setting's value."""
    type_id, letter = NUMBER_TYPES[kind]
    return struct.pack(f"<I{letter}", type_id, value)


def numbers(kind: str, values: Sequence[float]) -> bytes:
    """Encode a list of numbers."""
    type_id, letter = NUMBER_TYPES[kind]
    return struct.pack(f"<IIQ{len(values)}{letter}", ARRAY, type_id, len(values), *values)


def raw_text(value: str | bytes) -> bytes:
    """Encode a text's length and bytes, as keys and names stand in the file."""
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(data)) + data


def text(value: str | bytes) -> bytes:
    """Encode a text with its type."""
    return struct.pack("<I", TEXT) + raw_text(value)


def texts(values: Sequence[str]) -> bytes:
    """Encode a list of texts."""
    return struct.pack("<IIQ", ARRAY, TEXT, len(values)) + b"".join(map(raw_text, values))


@dataclass
class TensorSpec:
    """One tensor; fields left None are what a valid file would say."""

    name: str | bytes
    shape: tuple[int, ...]
    type_id: int = F32
    offset: int | None = None
    dimensions: int | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes of its data; types that no test writes count as one byte an element, absurd shapes as nothing."""
        elements, size = PACKING.get(self.type_id, (1, 1))
        size_bytes = prod(self.shape) // elements * size
        return size_bytes if size_bytes < 1 << 30 else 0

    def encode(self, offset: int) -> bytes:
        """Encode the tensor's entry in the header."""
        dimensions = len(self.shape) if self.dimensions is None else self.dimensions
        shape = struct.pack(f"<I{len(self.shape)}Q", dimensions, *self.shape)
        return (
            raw_text(self.name)
            + shape
            + struct.pack("<IQ", self.type_id, self.offset if self.offset is not None else offset)
        )


@dataclass
class GgufFile:
    """A GGUF file before it is written."""

    settings: dict[str, bytes] = field(default_factory=dict)
    tensors: list[TensorSpec] = field(default_factory=list)
    magic: bytes = b"GGUF"
    version: int = 3
    alignment: int = 32
    tensor_count: int | None = None
    setting_count: int | None = None
    extra_settings: bytes = b""
    """Encoded entries after the others, for what a dictionary cannot hold."""

    def header(self) -> bytes:
        """Encode everything before the padding in front of the first tensor."""
        entries = b"".join(raw_text(key) + value for key, value in self.settings.items()) + self.extra_settings
        start = self.magic + struct.pack(
            "<IQQ",
            self.version,
            len(self.tensors) if self.tensor_count is None else self.tensor_count,
            len(self.settings) if self.setting_count is None else self.setting_count,
        )
        return start + entries + self._tensor_entries()

    def build(self) -> bytes:
        """Encode the whole file, with zeros for weights; the last tensor is not padded."""
        header = self.header()
        padding = bytes(-len(header) % self.alignment)
        sizes = [self._padded(tensor.size_bytes) for tensor in self.tensors[:-1]]
        data = bytes(sum(sizes) + (self.tensors[-1].size_bytes if self.tensors else 0))
        return header + padding + data

    def write(self, path: Path) -> Path:
        """Write the file and give its path back."""
        path.write_bytes(self.build())
        return path

    def _tensor_entries(self) -> bytes:
        entries, offset = b"", 0
        for tensor in self.tensors:
            entries += tensor.encode(offset)
            offset += self._padded(tensor.size_bytes)
        return entries

    def _padded(self, size_bytes: int) -> int:
        return size_bytes + -size_bytes % self.alignment


def tiny_model() -> GgufFile:
    """Make a valid llama of two blocks and eight tokens, about 15 KB large, which the engine loads and runs."""
    return GgufFile(settings=_settings(), tensors=_tensors())


def split_model(count: int) -> list[GgufFile]:
    """Make the tiny model in parts, as llama.cpp splits one: settings in the first, tensors shared out."""
    whole = tiny_model()
    parts = [GgufFile(settings=dict(whole.settings) if number == 0 else {}) for number in range(count)]
    for index, tensor in enumerate(whole.tensors):
        parts[index * count // len(whole.tensors)].tensors.append(tensor)
    for index, part in enumerate(parts):
        part.settings["split.no"] = number("u16", index)
        part.settings["split.count"] = number("u16", count)
        part.settings["split.tensors.count"] = number("i32", len(whole.tensors))
    return parts


def adapter_file(*tensors: TensorSpec, alpha: float = 8.0, architecture: str = "llama") -> GgufFile:
    """The file of a LoRA adapter with these tensors."""
    settings = {
        "general.type": text("adapter"),
        "general.architecture": text(architecture),
        "adapter.type": text("lora"),
        "adapter.lora.alpha": number("f32", alpha),
    }
    return GgufFile(settings=settings, tensors=list(tensors))


def _settings() -> dict[str, bytes]:
    return {
        "general.architecture": text("llama"),
        "general.name": text("Tiny"),
        "general.file_type": number("u32", 2),
        "llama.block_count": number("u32", BLOCKS),
        "llama.context_length": number("u32", 4096),
        "llama.embedding_length": number("u32", WIDTH),
        "llama.feed_forward_length": number("u32", 64),
        "llama.attention.head_count": number("u32", 4),
        "llama.attention.head_count_kv": number("u32", 2),
        "llama.attention.layer_norm_rms_epsilon": number("f32", 1e-5),
        "llama.rope.freq_base": number("f32", 10000.0),
        "tokenizer.ggml.model": text("llama"),
        "tokenizer.ggml.tokens": texts(TOKENS),
        "tokenizer.ggml.scores": numbers("f32", [0.0] * len(TOKENS)),
        "tokenizer.ggml.token_type": numbers("i32", TOKEN_TYPES),
        "tokenizer.ggml.bos_token_id": number("u32", 1),
        "tokenizer.ggml.eos_token_id": number("u32", 2),
        "tokenizer.chat_template": text(TEMPLATE),
    }


def _tensors() -> list[TensorSpec]:
    tensors = [TensorSpec("token_embd.weight", (WIDTH, len(TOKENS)))]
    for block in range(BLOCKS):
        tensors += [
            TensorSpec(f"blk.{block}.attn_norm.weight", (WIDTH,)),
            TensorSpec(f"blk.{block}.attn_q.weight", (WIDTH, WIDTH), Q4_0),
            TensorSpec(f"blk.{block}.attn_k.weight", (WIDTH, WIDTH // 2), Q4_0),
            TensorSpec(f"blk.{block}.attn_v.weight", (WIDTH, WIDTH // 2), Q4_0),
            TensorSpec(f"blk.{block}.attn_output.weight", (WIDTH, WIDTH), Q4_0),
            TensorSpec(f"blk.{block}.ffn_norm.weight", (WIDTH,)),
            TensorSpec(f"blk.{block}.ffn_gate.weight", (WIDTH, 64), Q4_0),
            TensorSpec(f"blk.{block}.ffn_up.weight", (WIDTH, 64), Q4_0),
            TensorSpec(f"blk.{block}.ffn_down.weight", (64, WIDTH), Q4_0),
        ]
    return [*tensors, TensorSpec("output_norm.weight", (WIDTH,))]
