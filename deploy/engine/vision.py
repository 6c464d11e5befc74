"""Images beside text: decoded, encoded by a projector, read into the model's memory. For the engine process alone.

Only what decodes PNG and JPEG is called: the engine's own helper would take a damaged image for a film and start
another program to look at it.
"""

import ctypes
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import llama_cpp.llama_cpp as native
import llama_cpp.mtmd_cpp as mtmd

from deploy.engine.context import Context
from deploy.engine.load_plan import LoadPlan
from deploy.engine.native import Log, Refusal, StopFlag
from deploy.engine.orientation import CHANNELS, UPRIGHT, orientation_of, shown_size, turned
from deploy.engine.picture import NoPicture, Size, require_bounded, size_of

LOOK_EVERY_NODES: Final = 16
"""Operations of the projector between two looks at whether the user asked to stop."""
CHATTER: Final = 1
"""Log level (debug) of lines that repeat the prompt."""
ERROR: Final = 4
_PREFIX: Final = re.compile(r"^(?:\w+: )+(?:error: )?")
OTHER_PROJECTOR: Final = "Use the projector that was published with the model."
DAMAGED: Final = "Open it in an image program and save it again as PNG or JPEG."

Part = str | bytes
"""Of a prompt: a text, or an image's file."""


class Eyes:
    """A projector beside a loaded model."""

    def __init__(self, log: Log, model: Any, path: str, plan: LoadPlan, stop: StopFlag) -> None:
        """Read it; this must be done while files can still be opened. Raises Refusal."""
        self._log = log
        self._batch_tokens = min(plan.batch_tokens, plan.context_tokens)
        self._stop = stop
        self._asked = 0
        log.lines.clear()
        self._hear = native.llama_log_callback(self._take)
        mtmd.mtmd_helper_log_set(self._hear, ctypes.c_void_p(0))
        self._look = native.ggml_backend_sched_eval_callback(self._go_on)
        self.pointer = mtmd.mtmd_init_from_file(path.encode(), model, self._params(plan))
        if not self.pointer:
            raise Refusal(f"The engine refuses the projector {path}: {_first_cause(log)}.", OTHER_PROJECTOR)
        if not mtmd.mtmd_support_vision(self.pointer):
            self.close()
            raise Refusal("This projector is not for images.", OTHER_PROJECTOR)
        self._stb = _decoder()

    def close(self) -> None:
        """Give it back."""
        mtmd.mtmd_free(self.pointer)

    def prompt(self, parts: Sequence[Part], *, add_special: bool) -> "SeenPrompt":
        """A prompt with images, as tokens; no image is decoded yet. Raises Refusal."""
        return SeenPrompt(self, parts, add_special=add_special)

    def decoded(self, data: bytes, number: int) -> Any:
        """The pixels of an image, to be freed by the caller. Raises Refusal."""
        with _named(number):
            size = size_of(data)
            require_bounded(data)
        width, height, channels = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        stated = ctypes.byref(width), ctypes.byref(height), ctypes.byref(channels)
        same = self._stb.stbi_info_from_memory(data, len(data), *stated)
        if not same or (width.value, height.value) != size:
            raise Refusal(f"Image {number} is damaged.", DAMAGED)
        pixels = self._stb.stbi_load_from_memory(data, len(data), *stated, CHANNELS)
        if not pixels:
            raise Refusal(f"Image {number} cannot be decoded ({self._why()}).", DAMAGED)
        return self._upright(pixels, size, orientation_of(data))

    def read(self, context: Context, chunk: Any, token: int) -> bool:
        """Compute a piece of an image into memory, as copies of a token.

        False when it was stopped; memory is as before. Raises Refusal.
        """
        tokens = int(mtmd.mtmd_input_chunk_get_n_tokens(chunk))
        if mtmd.mtmd_decode_use_non_causal(self.pointer, chunk) and tokens > self._batch_tokens:
            raise Refusal(
                f"A piece of an image has {tokens:,} tokens, and {self._batch_tokens:,} can be read at once.",
                "Ask for a longer --context, or choose another model.",
            )
        status = mtmd.mtmd_encode_chunk(self.pointer, chunk)
        if self._stop.raised:
            return False
        if status != 0:
            raise Refusal(f"The projector cannot encode an image: {self._log.cause()}.", "Try another image.")
        places = int(mtmd.mtmd_input_chunk_get_n_pos(chunk))
        return context.see([token] * tokens, places, lambda position: self._into(context, chunk, position))

    def cause(self) -> str:
        """What the engine complained of last."""
        return self._log.cause()

    def _into(self, context: Context, chunk: Any, position: int) -> int:
        """Have what was encoded computed into memory: the engine's status."""
        after = native.llama_pos(0)
        return int(
            mtmd.mtmd_helper_decode_image_chunk(
                self.pointer,
                context.pointer,
                chunk,
                mtmd.mtmd_get_output_embd(self.pointer),
                position,
                0,
                self._batch_tokens,
                ctypes.byref(after),
                mtmd.mtmd_helper_post_decode_callback(),
                ctypes.c_void_p(0),
            )
        )

    def _upright(self, pixels: Any, size: Size, orientation: int) -> Any:
        """What was decoded, turned as it is to be shown; the decoder's memory is given back."""
        try:
            if orientation == UPRIGHT:
                return mtmd.mtmd_bitmap_init(*size, pixels)
            stored = ctypes.string_at(pixels, CHANNELS * size.pixels)
        finally:
            self._stb.stbi_image_free(pixels)
        shown = turned(stored, size, orientation)
        return mtmd.mtmd_bitmap_init(*shown_size(size, orientation), (ctypes.c_uint8 * len(shown)).from_buffer(shown))

    def _params(self, plan: LoadPlan) -> Any:
        params = mtmd.mtmd_context_params_default()
        params.use_gpu = plan.gpu_layers != 0
        params.print_timings = False
        params.n_threads = plan.threads
        params.cb_eval = self._look
        return params

    def _take(self, level: int, text: bytes, _data: object) -> None:
        if level > CHATTER:
            self._log.lines.append((level, text.decode("utf-8", "replace").rstrip()))

    def _go_on(self, _tensor: object, ask: bool, _data: object) -> bool:  # noqa: FBT001 - the engine's signature
        """Asked before every operation whether to stop after it for a look, and at the look whether to go on."""
        if not ask:
            return not self._stop.raised
        self._asked += 1
        return self._asked % LOOK_EVERY_NODES == 0

    def _why(self) -> str:
        return (self._stb.stbi_failure_reason() or b"no reason was given").decode("utf-8", "replace")


class SeenPrompt:
    """A prompt with images. In `tokens` a number below zero stands for a token of an image, alike for alike pieces."""

    def __init__(self, eyes: Eyes, parts: Sequence[Part], *, add_special: bool) -> None:
        """Count what every part takes. Raises Refusal."""
        self._eyes = eyes
        self._parts = parts
        self._add_special = add_special
        self._chunks: Any = None
        self._chunk_of: dict[int, Any] = {}
        with self._bitmaps(placeholders=True) as bitmaps:
            self._chunks = self._tokenized(bitmaps)
        try:
            self.tokens = [token for token, _ in _walk(self._chunks)]
        finally:
            self.close()

    @property
    def image_tokens(self) -> int:
        """Those that stand for images."""
        return sum(token < 0 for token in self.tokens)

    def decode(self) -> None:
        """Look at the images. Raises Refusal where one is damaged."""
        with self._bitmaps(placeholders=False) as bitmaps:
            self._chunks = self._tokenized(bitmaps)
        self._chunk_of = {token: chunk for token, chunk in _walk(self._chunks) if token < 0}

    def read(self, context: Context, token: int) -> bool:
        """Compute the piece of an image that this token stands for. False when it was stopped. Raises Refusal."""
        return self._eyes.read(context, self._chunk_of[token], token)

    def close(self) -> None:
        """Give the images back."""
        if self._chunks is not None:
            mtmd.mtmd_input_chunks_free(self._chunks)
        self._chunks, self._chunk_of = None, {}

    @contextmanager
    def _bitmaps(self, *, placeholders: bool) -> Iterator[list[Any]]:
        made: list[Any] = []
        try:
            for number, data in enumerate((part for part in self._parts if isinstance(part, bytes)), 1):
                with _named(number):
                    size = shown_size(size_of(data), orientation_of(data))
                made.append(mtmd.mtmd_bitmap_init(*size, None) if placeholders else self._eyes.decoded(data, number))
                name = hashlib.sha256(data + number.to_bytes(4, "little")).hexdigest()
                mtmd.mtmd_bitmap_set_id(made[-1], name.encode())
            yield made
        finally:
            for bitmap in made:
                mtmd.mtmd_bitmap_free(bitmap)

    def _tokenized(self, bitmaps: Sequence[Any]) -> Any:
        """The engine's own list of pieces, to be freed."""
        waiting = iter(bitmaps)
        parts = [_input_part(part, waiting) for part in self._parts]
        pointers = (ctypes.POINTER(mtmd.mtmd_input_part) * len(parts))(*map(ctypes.pointer, parts))
        chunks = mtmd.mtmd_input_chunks_init()
        if mtmd.mtmd_tokenize_from_parts(self._eyes.pointer, chunks, pointers, len(parts), self._add_special):
            mtmd.mtmd_input_chunks_free(chunks)
            raise Refusal(f"The projector cannot take an image apart: {self._eyes.cause()}.", "Try another image.")
        return chunks


def _input_part(part: Part, bitmaps: Iterator[Any]) -> Any:
    made = mtmd.mtmd_input_part()
    if isinstance(part, bytes):
        made.bitmap = next(bitmaps)
        return made
    text, raw = mtmd.mtmd_input_text(), part.encode()
    text.text, text.text_len, text.parse_special = raw, len(raw), True
    made.text = ctypes.pointer(text)
    return made


def _walk(chunks: Any) -> Iterator[tuple[int, Any]]:
    """Every token with its piece of the prompt. Raises Refusal."""
    count: Counter[bytes] = Counter()
    for number in range(mtmd.mtmd_input_chunks_size(chunks)):
        chunk = mtmd.mtmd_input_chunks_get(chunks, number)
        if mtmd.mtmd_input_chunk_get_type(chunk) == mtmd.MTMD_INPUT_CHUNK_TYPE_TEXT:
            yield from ((token, chunk) for token in _text_tokens(chunk))
            continue
        image = mtmd.mtmd_input_chunk_get_id(chunk) or b""
        count[image] += 1
        token = _stand_in(image, count[image])
        yield from ((token, chunk) for _ in range(mtmd.mtmd_input_chunk_get_n_tokens(chunk)))


def _text_tokens(chunk: Any) -> list[int]:
    length = ctypes.c_size_t()
    found = mtmd.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(length))
    tokens = list(found[: length.value])
    if any(token < 0 for token in tokens):
        raise Refusal("The model does not know the marks that this projector puts around images.", OTHER_PROJECTOR)
    return tokens


def _stand_in(image: bytes, piece: int) -> int:
    """A number below zero that is the same for the same piece of the same image at the same place in a conversation."""
    return -1 - int.from_bytes(hashlib.sha256(image + piece.to_bytes(4, "little")).digest()[:6], "little")


@contextmanager
def _named(number: int) -> Iterator[None]:
    try:
        yield
    except NoPicture as error:
        raise Refusal(f"Image {number} {error}.", DAMAGED) from error


def _first_cause(log: Log) -> str:
    """What the engine complained of first; what follows only says that it will not do it."""
    found = next((line for level, line in log.lines if level >= ERROR), "no reason was given")
    if "mismatch between" in found:
        return "it was made for models of another width"
    return " ".join(_PREFIX.sub("", found).split()).rstrip(".,")


def _decoder() -> Any:
    """What decodes PNG and JPEG in the engine's library. Raises Refusal where the build keeps it to itself."""
    library = mtmd._libmtmd  # noqa: SLF001 - the binding leaves it out
    try:
        library.stbi_load_from_memory.restype = ctypes.POINTER(ctypes.c_uint8)
        library.stbi_failure_reason.restype = ctypes.c_char_p
        library.stbi_image_free.argtypes = (ctypes.c_void_p,)
    except AttributeError as error:
        raise Refusal(
            "This build of the engine does not decode images.", "Install the engine that comes with Landfast."
        ) from error
    return library
