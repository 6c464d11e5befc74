"""Asks llama.cpp for the memory of a model of which only the hyper-parameters are known: no file, no weights.

Exact bytes come from a C++ function that is called through its x86-64 Linux calling convention. One process asks
about one model, because bad hyper-parameters may abort it.
"""

import ctypes
import os
from pathlib import Path
from typing import Any, NamedTuple

import llama_cpp
import llama_cpp.llama_cpp as native

from deploy.engine.load_plan import LoadPlan
from deploy.engine.native import Log, context_params

Metadata = dict[str, Any]
"""GGUF keys and values. "~types" gives tensor types, "~u64" arrays of 64-bit numbers."""

_UINT32, _FLOAT32, _BOOL, _UINT64 = 4, 6, 7, 10
"""Array element types (gguf.h)."""


class EngineRefuses(ValueError):
    """The engine does not take these hyper-parameters, or no such context."""


class Dry(NamedTuple):
    """What one context would take, in bytes."""

    state: int
    compute: int


class InitParams(ctypes.Structure):
    """What ggml_init takes (ggml.h)."""

    _fields_ = (("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))


class DryRun:
    """One model, built by the engine from metadata alone."""

    def __init__(self, metadata: Metadata) -> None:
        """Build the model. Raises EngineRefuses where the engine refuses it."""
        os.environ["GGML_NO_BACKTRACE"] = "1"  # an abort would start a debugger
        self.log = Log()
        self._base = ggml_library()
        self._breakdown = native._lib._Z26llama_get_memory_breakdownPK13llama_context  # noqa: SLF001 - no other door
        self._breakdown.argtypes, self._breakdown.restype = [ctypes.c_void_p, ctypes.c_void_p], ctypes.c_void_p
        self._set_tensor = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(lambda _tensor, _data: None)
        self._model = self._built(metadata)
        if not self._model:
            raise EngineRefuses(self.log.cause())

    def context(self, plan: LoadPlan) -> Dry:
        """Make and drop a context as planned. Raises EngineRefuses where the engine refuses it."""
        context = native.llama_init_from_model(self._model, context_params(plan))
        if not context:
            raise EngineRefuses(self.log.cause())
        _, state, compute = self._sizes(context)
        native.llama_free(context)
        return Dry(state, compute)

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor: the std::vector of pairs that the engine keeps."""
        listed = native._lib._Z29llama_internal_get_tensor_mapB5cxx11PK11llama_model  # noqa: SLF001 - no other door
        listed.argtypes, listed.restype = [ctypes.c_void_p], ctypes.c_void_p
        begin, end = (ctypes.c_uint64 * 2).from_address(listed(self._model))
        found: dict[str, tuple[int, ...]] = {}
        for pair in range(begin, end, 40):  # text, length, two words of its buffer, tensor
            text, length, _, _, tensor = (ctypes.c_uint64 * 5).from_address(pair)
            found[ctypes.string_at(text, length).decode()] = tuple((ctypes.c_int64 * 4).from_address(tensor + 16))
        return found

    def _built(self, metadata: Metadata) -> Any:
        params = native.llama_model_default_params()
        params.no_alloc = True
        build = native._lib.llama_model_init_from_user  # noqa: SLF001 - the binding leaves it out
        build.restype = ctypes.c_void_p
        build.argtypes = [ctypes.c_void_p, type(self._set_tensor), ctypes.c_void_p, native.llama_model_params]
        return build(self._gguf(metadata), self._set_tensor, None, params)

    def _gguf(self, metadata: Metadata) -> Any:
        base, gguf = self._base, self._base.gguf_init_empty()
        fill_metadata(base, gguf, metadata)
        test_vocabulary(base, gguf, metadata)
        if "~types" in metadata:
            self._type_tensors(gguf, metadata["~types"])
        return gguf

    def _type_tensors(self, gguf: Any, types: dict[str, int]) -> None:
        """A tensor that is named in the metadata gives its type; all others become F32."""
        arena = self._base.ggml_init(InitParams(1 << 20, None, True))  # noqa: FBT003 - a C structure
        for name, kind in types.items():
            tensor = self._base.ggml_new_tensor_1d(arena, kind, 256)
            self._base.ggml_set_name(tensor, name.encode())
            self._base.gguf_add_tensor(gguf, tensor)
            self._base.ggml_reset(arena)
        self._base.ggml_free(arena)

    def _sizes(self, context: Any) -> tuple[int, int, int]:
        """Bytes of model, state and compute: the std::map of all buffer types that the engine returns, added up."""
        found = (ctypes.c_uint64 * 6)()
        self._breakdown(ctypes.addressof(found), context)
        sums = [0, 0, 0]

        def add(node: int) -> None:
            if node:
                # colour, parent, left, right, key, model, state, compute
                words = (ctypes.c_uint64 * 8).from_address(node)
                for index in range(3):
                    sums[index] += words[5 + index]
                add(words[2])
                add(words[3])

        add(found[2])
        return sums[0], sums[1], sums[2]


def fill_metadata(base: Any, gguf: Any, metadata: Metadata) -> None:
    """Put all keys and values into a gguf context."""
    for key, numbers in metadata.get("~u64", {}).items():
        _array(base, gguf, key, _UINT64, (ctypes.c_uint64 * len(numbers))(*numbers))
    for key, value in metadata.items():
        if not key.startswith("~"):
            _put(base, gguf, key, value)


def test_vocabulary(base: Any, gguf: Any, metadata: Metadata) -> None:
    """The engine's own test vocabulary: as many tokens as the model has rows."""
    size = int(metadata[f"{metadata['general.architecture']}.vocab_size"])
    base.gguf_set_val_str(gguf, b"tokenizer.ggml.model", b"test")
    put_texts(base, gguf, "tokenizer.ggml.tokens", [b"t%d" % number for number in range(size)])
    _array(base, gguf, "tokenizer.ggml.scores", _FLOAT32, (ctypes.c_float * size)())


def put_texts(base: Any, gguf: Any, key: str, texts: list[bytes]) -> None:
    """Put an array of texts into a gguf context."""
    base.gguf_set_arr_str(gguf, key.encode(), (ctypes.c_char_p * len(texts))(*texts), len(texts))


def _put(base: Any, gguf: Any, key: str, value: Any) -> None:
    name = key.encode()
    match value:
        case bool():
            base.gguf_set_val_bool(gguf, name, value)
        case int():
            base.gguf_set_val_u32(gguf, name, value)
        case float():
            base.gguf_set_val_f32(gguf, name, value)
        case str():
            base.gguf_set_val_str(gguf, name, value.encode())
        case [bool(), *_]:
            _array(base, gguf, key, _BOOL, (ctypes.c_bool * len(value))(*value))
        case [int(), *_]:
            _array(base, gguf, key, _UINT32, (ctypes.c_uint32 * len(value))(*value))
        case _:
            _array(base, gguf, key, _FLOAT32, (ctypes.c_float * len(value))(*value))


def _array(base: Any, gguf: Any, key: str, kind: int, values: Any) -> None:
    base.gguf_set_arr_data(gguf, key.encode(), kind, values, len(values))


def ggml_library() -> Any:
    """The engine's base library with the argument types of what is called there."""
    folder = Path(llama_cpp.__file__).parent / "lib"
    base = ctypes.CDLL(str(folder / "libggml-base.so"))
    pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    base.gguf_init_empty.restype = pointer
    base.ggml_init.argtypes, base.ggml_init.restype = [InitParams], pointer
    base.ggml_new_tensor_1d.argtypes = [pointer, ctypes.c_int, ctypes.c_int64]
    base.ggml_new_tensor_1d.restype = pointer
    arguments: dict[str, list[Any]] = {
        "gguf_set_val_str": [pointer, text, text],
        "gguf_set_val_u32": [pointer, text, ctypes.c_uint32],
        "gguf_set_val_f32": [pointer, text, ctypes.c_float],
        "gguf_set_val_bool": [pointer, text, ctypes.c_bool],
        "gguf_set_arr_str": [pointer, text, ctypes.POINTER(text), size],
        "gguf_set_arr_data": [pointer, text, ctypes.c_int, pointer, size],
        "ggml_set_name": [pointer, text],
        "gguf_add_tensor": [pointer, pointer],
        "ggml_reset": [pointer],
        "ggml_free": [pointer],
    }
    for name, types in arguments.items():
        getattr(base, name).argtypes = types
    return base
