"""Low-rank adapters (LoRA) laid over a model's weights. For the engine process alone."""

import ctypes
from typing import Any

import llama_cpp.llama_cpp as native

from deploy.engine.native import Log, Refusal
from deploy.engine.protocol import Adapter


class Adapters:
    """The adapters of one loaded model. They are freed with it."""

    def __init__(self, log: Log, model: Any, wanted: tuple[Adapter, ...]) -> None:
        """Read them; this must be done while files can still be opened. Raises Refusal."""
        self._loaded = [_read(log, model, adapter) for adapter in wanted]
        self._scales = [adapter.scale for adapter in wanted]

    def lay_over(self, context: Any) -> None:
        """Have a context use them. Raises Refusal."""
        if not self._loaded:
            return
        adapters = (native.llama_adapter_lora_p_ctypes * len(self._loaded))(*self._loaded)
        scales = (ctypes.c_float * len(self._scales))(*self._scales)
        if native.llama_set_adapters_lora(context, adapters, len(self._loaded), scales):
            raise Refusal("The engine does not take these adapters together.", "Use one of them alone.")


def _read(log: Log, model: Any, adapter: Adapter) -> Any:
    loaded = native.llama_adapter_lora_init(model, adapter.path.encode())
    if not loaded:
        raise Refusal(
            f"The engine refuses the adapter {adapter.path}: {log.cause()}.",
            "Use it with the model that it was made for.",
        )
    return loaded
