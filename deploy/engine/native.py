"""What this project needs of llama.cpp's C interface beside the calls themselves: logs, stopping, parameters."""

import ctypes
import re
import threading
from collections.abc import Callable
from typing import Any, Final

import llama_cpp.llama_cpp as native

from deploy.engine.load_plan import LoadPlan

KV_TYPES: Final = {"f16": (1, 1), "q8_0/f16": (8, 1), "q8_0": (8, 8)}
"""ggml type numbers (ggml.h) of keys and values."""
WARNING: Final = 3
"""Log levels from here on say what went wrong (ggml.h: 3 warn, 4 error)."""
MIB: Final = 1 << 20
LEAST_PRINTED_BYTES: Final = MIB // 100
"""The engine's log says sizes to 0.01 MiB."""
STOP, AGAIN = b"\x01", b"\x02"
"""What a switch may say beside nothing."""
_SAYS_NOTHING: Final = re.compile(r"failed to load model(?: from .*)?$")
"""The lines that follow every other complaint about a model."""
_PREFIX: Final = re.compile(r"^\w+: (?:error loading model: )?")


class Refusal(Exception):
    """The engine will not do it, and why; the process is whole."""

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep cause and cure."""
        super().__init__(message)
        self.message = message
        self.hint = hint


class Log:
    """The engine's own log, kept in memory: nothing native ever reaches a screen."""

    def __init__(self) -> None:
        """Route llama.cpp's log here for the life of the process, and start its back ends."""
        self.lines: list[tuple[int, str]] = []
        self._callback = native.llama_log_callback(self._take)
        native.llama_log_set(self._callback, ctypes.c_void_p(0))
        native.llama_backend_init()

    def _take(self, level: int, text: bytes, _data: object) -> None:
        self.lines.append((level, text.decode("utf-8", "replace").rstrip()))

    def cause(self) -> str:
        """The last complaint that says what is wrong, and not only that something is."""
        complaints = [line for level, line in self.lines if level >= WARNING and line]
        telling = [line for line in complaints if not _SAYS_NOTHING.search(line)]
        return " ".join(_PREFIX.sub("", (telling or complaints or ["no reason was given"])[-1]).split()).rstrip(".,")

    def mebibytes(self, pattern: str) -> int:
        """Bytes of every "… = N MiB" line that matches, added up. The engine prints them to 0.01 MiB."""
        text = "\n".join(line for _, line in self.lines)
        return round(sum(float(size) for size in re.findall(pattern, text)) * MIB)


class StopFlag:
    """A switch that native code can read without the interpreter.

    ggml asks its abort callback at every node of the graph; a Python function there would cost more than a small
    model's token. `strlen` of a two-byte buffer has the same shape: it takes the pointer and gives 0 or 1.
    """

    def __init__(self) -> None:
        """Start lowered."""
        self._bytes = ctypes.create_string_buffer(2)
        self._lock = threading.Lock()
        address = ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p).value
        self.callback = native.ggml_abort_callback(address)
        self.data = ctypes.addressof(self._bytes)

    def raise_(self) -> None:
        """Stop what is being computed."""
        with self._lock:
            self._bytes[0] = STOP

    def lower(self) -> None:
        """Let the next computation run."""
        with self._lock:
            self._bytes[0] = b"\x00"

    @property
    def raised(self) -> bool:
        """Whether a stop was asked for."""
        return self._bytes[0] == STOP

    def interrupt(self) -> None:
        """Have what is being computed begun anew; a stop is not taken back by it."""
        with self._lock:
            if self._bytes[0] == b"\x00":
                self._bytes[0] = AGAIN

    def resume(self) -> bool:
        """Let it run again: whether it was interrupted."""
        with self._lock:
            interrupted = self._bytes[0] == AGAIN
            if interrupted:
                self._bytes[0] = b"\x00"
            return interrupted


def engine_name() -> str:
    """Version of the binding and the processor features its build uses."""
    import llama_cpp

    features = re.findall(r"(\w+) = 1", native.llama_print_system_info().decode())
    return f"llama-cpp-python {llama_cpp.__version__} ({' '.join(features)})"


def open_model(
    log: Log, paths: tuple[str, ...], plan: LoadPlan, *, rehearsal: bool, on_fraction: Callable[[float], None]
) -> Any:
    """Read a model's header, and its weights unless it is a rehearsal. Raises Refusal."""
    params = _model_params(plan, rehearsal=rehearsal)

    def on_progress(fraction: float, _data: object) -> bool:
        on_fraction(fraction)
        return True

    progress = native.llama_progress_callback(on_progress)
    params.progress_callback = progress
    if len(paths) == 1:
        model = native.llama_model_load_from_file(paths[0].encode(), params)
    else:
        parts = (ctypes.c_char_p * len(paths))(*(path.encode() for path in paths))
        model = native.llama_model_load_from_splits(parts, len(paths), params)
    if not model:
        raise Refusal(f"The engine refuses this model: {log.cause()}.", "Try another model or another quantisation.")
    return model


def _model_params(plan: LoadPlan, *, rehearsal: bool) -> Any:
    params = native.llama_model_default_params()
    params.n_gpu_layers = plan.gpu_layers
    params.use_extra_bufts = plan.repack
    mapped = plan.load_mode == "mmap" and not rehearsal
    params.load_mode = native.LLAMA_LOAD_MODE_MMAP if mapped else native.LLAMA_LOAD_MODE_NONE
    params.no_alloc = rehearsal
    _place(params, plan)
    return params


class _Override(ctypes.Structure):
    """Tensors of this name go into this memory (llama.h: llama_model_tensor_buft_override)."""

    _fields_ = (("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p))


def _place(params: Any, plan: LoadPlan) -> None:
    """Say what goes where. The arrays live as long as the parameters, which the engine reads while it loads."""
    if plan.tensor_split:
        shares = (ctypes.c_float * native.llama_max_devices())(*plan.tensor_split)
        params.tensor_split = shares
    if plan.experts_on_host:
        layers = "|".join(map(str, range(plan.experts_on_host)))
        host = native._lib.ggml_backend_cpu_buffer_type  # noqa: SLF001 - the binding leaves it out
        host.restype = ctypes.c_void_p
        pattern = rf"blk\.({layers})\.ffn_(up|down|gate|gate_up)_(ch|)exps".encode()
        overrides = (_Override * 2)(_Override(pattern, host()), _Override(None, None))
        params.kept = overrides
        params.tensor_buft_overrides = ctypes.addressof(overrides)


def context_params(plan: LoadPlan, stop: StopFlag | None = None) -> Any:
    """The engine's context parameters for a plan; a rehearsal uses the very same."""
    params = native.llama_context_default_params()
    params.n_ctx = plan.context_tokens
    params.n_batch = params.n_ubatch = min(plan.batch_tokens, plan.context_tokens)
    params.n_threads = params.n_threads_batch = plan.threads
    params.type_k, params.type_v = KV_TYPES[plan.kv_type]
    params.flash_attn_type = (
        native.LLAMA_FLASH_ATTN_TYPE_ENABLED if plan.flash_attention else native.LLAMA_FLASH_ATTN_TYPE_DISABLED
    )
    params.swa_full = False  # the default keeps window caches at full length: three times the memory on Gemma 3
    params.n_outputs_max = plan.reserved_rows  # the default reserves a row of logits for each token of the batch
    params.no_perf = False
    if stop is not None:
        params.abort_callback = stop.callback
        params.abort_callback_data = stop.data
    return params
