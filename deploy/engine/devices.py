"""The devices that the engine itself can compute on, as ggml lists them. For the engine process alone."""

import ctypes
from typing import Final

from llama_cpp._ggml import libggml

from profiles.machine import EngineDevice

_KINDS: Final = {0: "cpu", 1: "gpu", 2: "igpu"}
"""enum ggml_backend_dev_type (ggml-backend.h); what comes after these is a library or card that helps the processor."""


def list_devices() -> tuple[EngineDevice, ...]:
    """Ask every back end of this build for its devices, with total and free memory in bytes."""
    device_at = _function("ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)
    count = _function("ggml_backend_dev_count", ctypes.c_size_t)()
    return tuple(_device(device_at(index)) for index in range(count))


def _device(handle: int) -> EngineDevice:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    _function("ggml_backend_dev_memory", None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(
        handle, ctypes.byref(free), ctypes.byref(total)
    )
    kind = _function("ggml_backend_dev_type", ctypes.c_int, ctypes.c_void_p)(handle)
    return EngineDevice(
        name=_text("ggml_backend_dev_name", handle),
        description=_text("ggml_backend_dev_description", handle),
        kind=_KINDS.get(kind, "accel"),  # type: ignore[arg-type] # the table's values are the kinds
        total_bytes=total.value,
        free_bytes=free.value,
    )


def _text(name: str, handle: int) -> str:
    raw = _function(name, ctypes.c_char_p, ctypes.c_void_p)(handle)
    return "" if raw is None else bytes(raw).decode("utf-8", "replace")


def _function(name: str, result: object, *arguments: object) -> "ctypes._NamedFuncPointer":
    """A function of ggml's C interface: the bindings leave these out."""
    found = getattr(libggml, name)
    found.restype, found.argtypes = result, arguments
    return found  # type: ignore[no-any-return] # the bindings have no types
