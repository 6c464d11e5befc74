"""Writes GGUF files of full shape whose weights are a hole in a sparse file.

The engine lists the tensors of the hyper-parameters and writes the header, so any architecture that it knows can be
written in a second. Such a file loads, computes and takes memory like the real one; only its words are nonsense.
"""

import ctypes
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from scripts.dry_run import DryRun, InitParams, Metadata, fill_metadata, ggml_library, put_texts

F32, F16, Q4_0, Q5_0, Q8_0, Q4_K, Q6_K, IQ4_NL, IQ4_XS, MXFP4 = 0, 1, 2, 6, 8, 12, 14, 20, 23, 39
"""ggml type numbers (ggml.h)."""
PLAIN: Final = {"F16": F16, "Q4_0": Q4_0, "Q8_0": Q8_0}
OF_BLOCKS: Final = {"Q6_K": (Q6_K, Q8_0), "IQ4_XS": (IQ4_XS, IQ4_NL)}
"""The type of most matrices, and that of those whose rows are no whole blocks."""
FILE_TYPES: Final = {"F16": 1, "Q4_0": 2, "Q8_0": 7, "Q6_K": 18, "IQ4_XS": 30, "MXFP4": 38}
Q4_K_M: Final = 15
"""What a file says that it is made of, as a whole (llama.h: llama_ftype); Q4_K_M for every other name."""
KEPT_WHOLE: Final = re.compile(r"norm|gate_inp|conv1d|shortconv\.conv|rope|(?<!\.weight)$")
"""Tensors that quantisers leave in F32. Source: llama.cpp's quantiser (src/llama-quant.cpp)."""
BLOCK: Final = 256
ALIGNMENT: Final = 32


class Tensor(NamedTuple):
    """A tensor as the engine wants it."""

    name: str
    shape: tuple[int, ...]
    """Fastest dimension first."""


def write(metadata: Metadata, quant: str, path: Path, *, tied: bool) -> int:
    """Write the file and give its size in bytes. `tied` leaves the output matrix out, as tied models do."""
    base = _library()
    tensors = [found for found in listed(metadata) if not (tied and found.name == "output.weight")]
    gguf = base.gguf_init_empty()
    fill_metadata(base, gguf, metadata | {"general.file_type": FILE_TYPES.get(quant, Q4_K_M)})
    _byte_vocabulary(base, gguf, metadata)
    layers = int(metadata[f"{metadata['general.architecture']}.block_count"])
    arena = base.ggml_init(InitParams(len(tensors) * 512 + (1 << 20), None, True))  # noqa: FBT003 - a C structure
    for tensor in tensors:
        dimensions = (ctypes.c_int64 * len(tensor.shape))(*tensor.shape)
        made = base.ggml_new_tensor(arena, type_of(tensor, quant, layers), len(tensor.shape), dimensions)
        base.ggml_set_name(made, tensor.name.encode())
        base.gguf_add_tensor(gguf, made)
    base.gguf_write_to_file(gguf, os.fsencode(path), True)  # noqa: FBT003 - the header alone
    last = len(tensors) - 1
    end = base.gguf_get_tensor_offset(gguf, last) + base.gguf_get_tensor_size(gguf, last)
    size = int(base.gguf_get_meta_size(gguf)) + -(-int(end) // ALIGNMENT) * ALIGNMENT
    os.truncate(path, size)
    base.ggml_free(arena)
    return size


def listed(metadata: Metadata) -> list[Tensor]:
    """All tensors that the engine creates for these hyper-parameters."""
    return [Tensor(name, _short(shape)) for name, shape in DryRun(metadata).tensors().items()]


def _short(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without the ones at the end, which stand for dimensions that are not there."""
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def type_of(tensor: Tensor, quant: str, layers: int) -> int:
    """The type that llama.cpp's quantiser would give it, to a good approximation."""
    name, shape = tensor
    if len(shape) < 2 or shape[0] % ALIGNMENT or KEPT_WHOLE.search(name):  # noqa: PLR2004 - vectors stay whole
        return F32
    if quant in PLAIN:
        return PLAIN[quant]
    if quant == "MXFP4":
        return MXFP4 if "exps" in name else Q8_0
    plain, short = OF_BLOCKS.get(quant, (Q4_K, Q5_0))
    outer = name.startswith(("output", "token_embd"))
    if shape[0] % BLOCK:
        return Q8_0 if outer and quant in OF_BLOCKS else short
    return Q6_K if outer or (plain == Q4_K and _important(name, layers)) else plain


def _important(name: str, layers: int) -> bool:
    """Where Q4_K_M takes Q6_K: values and down projections in the outer eighths and every third layer between."""
    found = re.match(r"blk\.(\d+)\.(?:attn_v|ffn_down)", name)
    if found is None:
        return False
    layer = int(found[1])
    return layer < layers / 8 or layer >= 7 * layers / 8 or (layer - layers // 8) % 3 == 2  # noqa: PLR2004 - its rule


def _byte_vocabulary(base: Any, gguf: Any, metadata: Metadata) -> None:
    """A byte-pair vocabulary of the right size: bytes, fillers as long as words are, and a merge for each filler."""
    size = int(metadata[f"{metadata['general.architecture']}.vocab_size"])
    letters = list(_byte_letters())
    fillers = [f"w{number:06}".encode() for number in range(size - len(letters) - 1)]
    base.gguf_set_val_str(gguf, b"tokenizer.ggml.model", b"gpt2")
    base.gguf_set_val_str(gguf, b"tokenizer.ggml.pre", b"default")
    put_texts(base, gguf, "tokenizer.ggml.tokens", [*letters, *fillers, b"<|end|>"])
    kinds = (ctypes.c_int32 * size)(*([1] * (size - 1)), 3)
    base.gguf_set_arr_data(gguf, b"tokenizer.ggml.token_type", 5, kinds, size)
    put_texts(base, gguf, "tokenizer.ggml.merges", [b"%s %s" % (word[:3], word[3:]) for word in fillers] or [b"a b"])
    for key in (b"tokenizer.ggml.eos_token_id", b"tokenizer.ggml.bos_token_id"):
        base.gguf_set_val_u32(gguf, key, size - 1)


def _byte_letters() -> Iterator[bytes]:
    """The 256 characters that stand for bytes in byte-pair vocabularies."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    for byte in range(256):
        yield chr(byte if byte in plain else next(others)).encode()


def _library() -> Any:
    base = ggml_library()
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    base.ggml_new_tensor.argtypes = [pointer, ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_int64)]
    base.ggml_new_tensor.restype = pointer
    base.ggml_get_name.argtypes, base.ggml_get_name.restype = [pointer], ctypes.c_char_p
    base.gguf_write_to_file.argtypes = [pointer, ctypes.c_char_p, ctypes.c_bool]
    base.gguf_get_meta_size.argtypes, base.gguf_get_meta_size.restype = [pointer], size
    for name in ("gguf_get_tensor_offset", "gguf_get_tensor_size"):
        getattr(base, name).argtypes, getattr(base, name).restype = [pointer, ctypes.c_int64], size
    return base
