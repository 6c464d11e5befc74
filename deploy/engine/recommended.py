"""How the makers of a model recommend to draw from it, as its file tells. For the engine process alone."""

import ctypes
import math
from typing import Any, Final

import llama_cpp.llama_cpp as native
import msgspec

from deploy.engine.protocol import Drawing

KEYS: Final = {
    "temperature": ("general.sampling.temp", 0.0, 5.0),
    "top_k": ("general.sampling.top_k", 0.0, 1e6),
    "top_p": ("general.sampling.top_p", 0.0, 1.0),
    "min_p": ("general.sampling.min_p", 0.0, 1.0),
    "repeat_penalty": ("general.sampling.penalty_repeat", 0.1, 5.0),
}
"""For each value its key in a GGUF file, and what is sensible; anything else is passed over."""
VALUE_BYTES: Final = 64


def recommended(model: Any) -> Drawing:
    """The values that the file gives, and ours for the rest."""
    given = {name: value for name in KEYS if (value := _value(model, *KEYS[name])) is not None}
    if "top_k" in given:
        given["top_k"] = int(given["top_k"])
    return msgspec.structs.replace(Drawing(), **given)


def metadata(model: Any, key: str) -> str:
    """A short value of the file's metadata, as text; empty where it has none."""
    buffer = ctypes.create_string_buffer(VALUE_BYTES)
    native.llama_model_meta_val_str(model, key.encode(), buffer, VALUE_BYTES)
    return buffer.value.decode("utf-8", "replace")


def _value(model: Any, key: str, lowest: float, highest: float) -> float | None:
    try:
        value = float(metadata(model, key))
    except ValueError:
        return None
    return value if math.isfinite(value) and lowest <= value <= highest else None
