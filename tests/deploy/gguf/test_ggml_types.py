"""The tables of types agree with the engine that is installed."""

import ctypes
import importlib.util
import re
import sys
from pathlib import Path

import pytest

from deploy.gguf.ggml_types import FILE_TYPES, TENSOR_TYPES

pytestmark = pytest.mark.engine

SUFFIX = {"darwin": "lib{}.dylib", "win32": "{}.dll"}.get(sys.platform, "lib{}.so")

SHORTENINGS = {
    "all F32": "F32",
    "Q2_K - Medium": "Q2_K",
    "IQ3_S mix": "IQ3_M",
    " - Small": "_S",
    " - Medium": "_M",
    " - Large": "_L",
    " MoE": "_MOE",
}


@pytest.fixture(scope="module")
def libraries() -> Path:
    """Find the engine's own libraries without importing the engine."""
    spec = importlib.util.find_spec("llama_cpp")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "lib"


def test_tensor_types_are_the_engines(libraries: Path) -> None:
    """Every type has the engine's name and block sizes, and none that the engine can read is missing."""
    ggml = ctypes.CDLL(str(libraries / SUFFIX.format("ggml-base")))
    ggml.ggml_type_name.restype = ctypes.c_char_p
    ggml.ggml_blck_size.restype = ctypes.c_int64
    ggml.ggml_type_size.restype = ctypes.c_size_t
    for number in range(max(TENSOR_TYPES) + 1):
        elements = ggml.ggml_blck_size(number)
        known = TENSOR_TYPES.get(number)
        assert (known is not None) == (elements > 0), number
        if known:
            assert known.name == ggml.ggml_type_name(number).decode().upper()
            assert (known.block_elements, known.block_bytes) == (elements, ggml.ggml_type_size(number))


def test_file_types_are_the_engines(libraries: Path) -> None:
    """The engine's longer names, "Q4_K - Medium" or "IQ2_S - 2.5 bpw", shorten to those of the table."""
    llama = ctypes.CDLL(str(libraries / SUFFIX.format("llama")))
    llama.llama_ftype_name.restype = ctypes.c_char_p
    said = {number: llama.llama_ftype_name(number).decode() for number in range(max(FILE_TYPES) + 1)}
    assert {number: short(name) for number, name in said.items() if "unknown" not in name} == FILE_TYPES


def short(name: str) -> str:
    """Write a file type of the engine as quantisers do."""
    for long, replacement in SHORTENINGS.items():
        name = name.replace(long, replacement)
    return re.sub(r" - [0-9.]+ bpw.*", "", name)
