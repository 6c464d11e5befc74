"""Text to tokens and back where the engine's own code says that the room is not enough."""

import ctypes
from typing import Any

import pytest

from deploy.engine import vocabulary
from deploy.engine.native import Refusal
from deploy.engine.vocabulary import PIECE_BYTES, Vocabulary

pytestmark = pytest.mark.engine
LONG = b"a" * (PIECE_BYTES * 3)


@pytest.fixture
def long_pieces(monkeypatch: pytest.MonkeyPatch) -> Vocabulary:
    """A vocabulary in which every token is a long text, and which takes no text."""

    def piece(_vocabulary: Any, _token: int, buffer: Any, room: int, *_: Any) -> int:
        if room < len(LONG):
            return -len(LONG)
        ctypes.memmove(buffer, LONG, len(LONG))
        return len(LONG)

    native = vocabulary.native  # type: ignore[attr-defined] # the engine has no types
    monkeypatch.setattr(native, "llama_token_to_piece", piece)
    monkeypatch.setattr(native, "llama_tokenize", lambda *_: -50)
    monkeypatch.setattr(native, "llama_model_get_vocab", lambda model: model)
    for name in ("llama_vocab_n_tokens", "llama_vocab_bos", "llama_vocab_eos"):
        monkeypatch.setattr(native, name, lambda _: 1)
    return Vocabulary(None)


def test_a_token_longer_than_the_buffer_comes_whole(long_pieces: Vocabulary) -> None:
    """Nothing of an answer goes missing without a word."""
    assert long_pieces.letters(7) == LONG
    assert long_pieces.end_text == LONG.decode()


def test_a_text_that_gives_no_tokens_is_refused(long_pieces: Vocabulary) -> None:
    """A negative number of tokens is no end of a list."""
    with pytest.raises(Refusal, match="cannot turn this text into tokens"):
        long_pieces.tokenize("Hello", add_special=False, parse_special=False)
