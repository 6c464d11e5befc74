"""Writes tiny projectors (mmproj files) with random weights, and pictures, for tests of vision without a real model."""

import random
import struct
import zlib
from array import array
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Final

from tests.support.gguf import ARRAY, TEXT, GgufFile, TensorSpec, number, numbers, raw_text, text

SMOLLM2_WIDTH: Final = 576
GEMMA3_WIDTH: Final = 640
WIDTH, HEADS, INNER, PATCH, MERGE = 32, 2, 64, 16, 2
"""Of the vision part: numbers for each patch, heads, feed forward, side of a patch, patches merged along a side."""
TILE: Final = 64
"""Side of what the vision part looks at, in pixels."""
TOKENS: Final = {"mlp": (TILE // PATCH) ** 2, "gemma3": (TILE // PATCH // MERGE) ** 2}
"""Of one picture, by the kind of projector."""
QWEN: Final = "qwen2vl_merger"
"""A kind that takes an image in its own size, for models that count positions in two dimensions."""
TRUE: Final = struct.pack("<I?", 7, 1)
SIZES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a number, by its type."""
Pixel = Callable[[int, int], tuple[int, int, int]]


def projector(kind: str = "mlp", width: int = SMOLLM2_WIDTH, *, blocks: int = 1) -> GgufFile:
    """A projector of one of the smallest kinds, for models of this width."""
    return GgufFile(settings=_settings(kind, width, blocks), tensors=_tensors(kind, width, blocks))


def write_projector(path: Path, made: GgufFile, seed: int = 1) -> Path:
    """Write it with random weights: what comes out depends on the picture."""
    header = made.header()
    drawn = random.Random(seed)  # noqa: S311 - any numbers will do
    with path.open("wb") as file:
        file.write(header + bytes(-len(header) % made.alignment))
        for tensor in made.tensors:
            weights = array("f", (drawn.uniform(-0.5, 0.5) for _ in range(prod(tensor.shape)))).tobytes()
            file.write(weights + bytes(-len(weights) % made.alignment))
    return path


def as_qwen2vl(model: Path, path: Path) -> Path:
    """Write a Llama file anew as a model that counts the positions of images in two dimensions; it talks nonsense."""
    data = model.read_bytes()
    tensors, settings = struct.unpack_from("<QQ", data, 8)
    entries, at = [], 24
    for _ in range(settings):
        value = at + 8 + int(struct.unpack_from("<Q", data, at)[0])
        end = _end(data, value + 4, *struct.unpack_from("<I", data, value))
        key = data[at + 8 : value].replace(b"llama.", b"qwen2vl.")
        is_name = key == b"general.architecture"
        entries.append(raw_text(key) + (text("qwen2vl") if is_name else data[value:end]))
        at = end
    entries.append(raw_text("qwen2vl.rope.dimension_sections") + numbers("i32", (8, 12, 12, 0)))
    begin = at
    for _ in range(tensors):
        at += 8 + int(struct.unpack_from("<Q", data, at)[0])
        at += 4 + 8 * int(struct.unpack_from("<I", data, at)[0]) + 12
    header = data[:16] + struct.pack("<Q", settings + 1) + b"".join(entries) + data[begin:at]
    path.write_bytes(header + bytes(-len(header) % 32) + data[at + -at % 32 :])
    return path


def stripes(x: int, y: int) -> tuple[int, int, int]:
    """Red and blue columns."""
    return (255, 0, 0) if x // 8 % 2 else (0, 0, 255)


def disc(x: int, y: int) -> tuple[int, int, int]:
    """A green disc on white."""
    return (0, 160, 0) if (x - 32) ** 2 + (y - 32) ** 2 < 400 else (255, 255, 255)


def png(pixel: Pixel = stripes, size: tuple[int, int] = (64, 64)) -> bytes:
    """A picture as PNG."""
    width, height = size
    rows = b"".join(b"\0" + bytes(v for x in range(width) for v in pixel(x, y)) for y in range(height))
    return png_of(struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), zlib.compress(rows))


def png_of(header: bytes, data: bytes) -> bytes:
    """PNG of a header and compressed rows, whatever they say."""
    parts = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )


def bomb(width: int, height: int) -> bytes:
    """A small PNG file that says it has so many pixels."""
    return png_of(struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), zlib.compress(bytes(1 << 16)))


def _end(data: bytes, at: int, kind: int) -> int:
    """Where a setting's value ends."""
    if kind == TEXT:
        return at + 8 + int(struct.unpack_from("<Q", data, at)[0])
    if kind != ARRAY:
        return at + SIZES[kind]
    of, length = struct.unpack_from("<IQ", data, at)
    at += 12
    if of != TEXT:
        return at + SIZES[of] * int(length)
    for _ in range(length):
        at = _end(data, at, TEXT)
    return at


def _settings(kind: str, width: int, blocks: int) -> dict[str, bytes]:
    settings = {
        "general.architecture": text("clip"),
        "general.type": text("mmproj"),
        "clip.has_vision_encoder": TRUE,
        "clip.use_gelu": TRUE,
        "clip.projector_type": text(kind),
        "clip.vision.image_size": number("u32", TILE),
        "clip.vision.patch_size": number("u32", PATCH),
        "clip.vision.embedding_length": number("u32", WIDTH),
        "clip.vision.feed_forward_length": number("u32", INNER),
        "clip.vision.block_count": number("u32", blocks),
        "clip.vision.projection_dim": number("u32", width),
        "clip.vision.attention.head_count": number("u32", HEADS),
        "clip.vision.attention.layer_norm_epsilon": number("f32", 1e-6),
        "clip.vision.image_mean": numbers("f32", (0.5, 0.5, 0.5)),
        "clip.vision.image_std": numbers("f32", (0.5, 0.5, 0.5)),
        "clip.vision.projector.scale_factor": number("u32", MERGE),
    }
    if kind == "idefics3":
        settings["clip.vision.preproc_image_size"] = number("u32", 2 * TILE)
    return settings


def _tensors(kind: str, width: int, blocks: int) -> list[TensorSpec]:
    found = [
        TensorSpec("v.patch_embd.weight", (PATCH, PATCH, 3, WIDTH)),
        TensorSpec("v.post_ln.weight", (WIDTH,)),
        TensorSpec("v.post_ln.bias", (WIDTH,)),
    ]
    if kind == QWEN:
        found.append(TensorSpec("v.patch_embd.weight.1", (PATCH, PATCH, 3, WIDTH)))
    else:
        found.append(TensorSpec("v.patch_embd.bias", (WIDTH,)))
        found.append(TensorSpec("v.position_embd.weight", (WIDTH, (TILE // PATCH) ** 2)))
    for block in range(blocks):
        name = f"v.blk.{block}."
        shapes = {f"attn_{part}": (WIDTH, WIDTH) for part in ("q", "k", "v", "out")}
        shapes |= {"ffn_up": (WIDTH, INNER), "ffn_down": (INNER, WIDTH)}
        for part, shape in shapes.items():
            found += [TensorSpec(f"{name}{part}.weight", shape), TensorSpec(f"{name}{part}.bias", shape[1:])]
        for part in ("ln1", "ln2"):
            found += [TensorSpec(f"{name}{part}.{end}", (WIDTH,)) for end in ("weight", "bias")]
    if kind in {"mlp", QWEN}:
        inner = width if kind == "mlp" else WIDTH * MERGE * MERGE
        for layer, shape in ((0, (WIDTH if kind == "mlp" else inner, inner)), (2, (inner, width))):
            found += [TensorSpec(f"mm.{layer}.weight", shape), TensorSpec(f"mm.{layer}.bias", shape[1:])]
    elif kind == "gemma3":
        found += [
            TensorSpec("mm.input_projection.weight", (width, WIDTH)),
            TensorSpec("mm.soft_emb_norm.weight", (WIDTH,)),
        ]
    else:
        found.append(TensorSpec("mm.model.fc.weight", (WIDTH * MERGE * MERGE, width)))
    return found
