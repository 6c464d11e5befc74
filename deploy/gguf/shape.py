"""What of a model's shape decides memory that the engine does not announce: vocabulary, widths, repacked weights."""

from typing import Final

import msgspec

from deploy.gguf.reader import Header, Tensor

REARRANGED: Final = frozenset({"Q4_0", "Q4_K", "Q2_K", "IQ4_NL", "MXFP4"})
"""Types that the engine can repack for some processor (ggml-cpu/repack.cpp)."""
SENTENCEPIECE: Final = frozenset({"llama", "t5"})
"""Vocabularies without merges, as GGUF files call them."""
EMBEDDING: Final = "token_embd.weight"
OUTPUT: Final = "output.weight"


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Widths and counts of one model."""

    tokens: int
    """Size of the vocabulary."""
    merges: bool
    """Whether the vocabulary has a table of merges, which takes more memory than the tokens."""
    heads: int
    """Query heads, the most of any block."""
    widest: int
    """Most numbers of one token that a matrix is multiplied with."""
    repacked_bytes: int = 0
    """Matrices that the engine can repack for a processor."""
    repacked_twice_bytes: int = 0
    """Of them, an embedding that is the output matrix too: it is needed in both forms."""


def shape_of(header: Header, *, tokens: int, heads: int, experts_used: int) -> Shape:
    """Read a shape off a header whose settings are judged already."""
    matrices = [tensor for tensor in header.tensors if len(tensor.shape) > 1 and tensor.name != EMBEDDING]
    tied = not any(tensor.name == OUTPUT for tensor in header.tensors)
    embedding = sum(_repacked(tensor) for tensor in header.tensors if tensor.name == EMBEDDING)
    twice = embedding if tied else 0
    return Shape(
        tokens=tokens,
        merges=header.metadata.get("tokenizer.ggml.model") not in SENTENCEPIECE,
        heads=heads,
        widest=max((_width(tensor, experts_used) for tensor in matrices), default=0),
        repacked_bytes=sum(map(_repacked, matrices)) + twice,
        repacked_twice_bytes=twice,
    )


def _width(tensor: Tensor, experts_used: int) -> int:
    """Numbers that go into a product with this matrix; those of all experts that a token passes go in at once."""
    return tensor.shape[0] * (experts_used if "_exps" in tensor.name else 1)


def _repacked(tensor: Tensor) -> int:
    return tensor.size_bytes if tensor.type_name in REARRANGED else 0
