"""Text to tokens and back, as one model does it."""

import ctypes
from typing import Any, Final

import llama_cpp.llama_cpp as native

from deploy.engine.native import Refusal

PIECE_BYTES: Final = 256
"""Room for one token's bytes at first; the longest pieces of today's vocabularies take half of it."""

CONTROL: Final = native.LLAMA_TOKEN_ATTR_CONTROL | native.LLAMA_TOKEN_ATTR_UNKNOWN


class Vocabulary:
    """The tokens of a loaded model."""

    def __init__(self, model: Any) -> None:
        """Look at the model's own vocabulary, which lives as long as the model."""
        self._vocabulary = native.llama_model_get_vocab(model)
        self._buffer = ctypes.create_string_buffer(PIECE_BYTES)
        self.size = int(native.llama_vocab_n_tokens(self._vocabulary))
        self.start_text = self._special_text(native.llama_vocab_bos(self._vocabulary))
        self.end_text = self._special_text(native.llama_vocab_eos(self._vocabulary))
        self._spoken: frozenset[int] = frozenset()

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Text to tokens. `parse_special` reads control tokens out of the text: for templates only."""
        raw = text.encode()
        room = len(raw) + 16
        buffer = (native.llama_token * room)()
        count = native.llama_tokenize(self._vocabulary, raw, len(raw), buffer, room, add_special, parse_special)
        if count < 0:
            raise Refusal("The engine cannot turn this text into tokens.", "Ask with a shorter text.")
        return list(buffer[:count])

    def piece(self, token: int) -> bytes:
        """The bytes that a token stands for; nothing for control tokens that are not spoken."""
        return self._bytes(token, special=token in self._spoken)

    def letters(self, token: int) -> bytes:
        """The bytes of a token of text; nothing for any control token, nor for what stands for an image."""
        return b"" if token < 0 else self._bytes(token, special=False)

    def speak(self, texts: tuple[str, ...]) -> None:
        """Have the control tokens in these texts read as text from now on."""
        tokens = [self.tokenize(text, add_special=False, parse_special=True) for text in texts]
        self._spoken = frozenset(token for some in tokens for token in some)

    def control_texts(self, text: str) -> set[str]:
        """The control tokens that a template's reader would find in a text, as they are written."""
        plain = self.tokenize(text, add_special=False, parse_special=False)
        parsed = self.tokenize(text, add_special=False, parse_special=True)
        if parsed == plain:
            return set()
        return {self._special_text(token) for token in set(parsed) - set(plain) if self._is_control(token)}

    @property
    def pointer(self) -> Any:
        """For the engine's own calls."""
        return self._vocabulary

    def ends(self, token: int) -> bool:
        """Whether the token ends an answer."""
        return bool(native.llama_vocab_is_eog(self._vocabulary, token))

    def _is_control(self, token: int) -> bool:
        return bool(native.llama_vocab_get_attr(self._vocabulary, token) & CONTROL)

    def _special_text(self, token: int) -> str:
        return self._bytes(token, special=True).decode("utf-8", "replace") if token >= 0 else ""

    def _bytes(self, token: int, *, special: bool) -> bytes:
        length = self._copy(token, special=special)
        if length < 0:
            self._buffer = ctypes.create_string_buffer(-length)
            length = self._copy(token, special=special)
        return self._buffer.raw[: max(length, 0)]

    def _copy(self, token: int, *, special: bool) -> int:
        """Have the token's bytes written to the buffer: how many they are, or, negative, how many it would take."""
        room = len(self._buffer)
        return int(native.llama_token_to_piece(self._vocabulary, token, self._buffer, room, 0, special))
