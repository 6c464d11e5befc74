"""A copy of all that a session has in memory: handed to the parent, and taken back. For the engine process alone.

The engine's own reader of such copies is native code, so the parent hands over nothing but what it has proved to be
written by itself (deploy.engine.state_file).
"""

import ctypes
from collections.abc import Iterator
from typing import Any, Final

import llama_cpp.llama_cpp as native

from deploy.engine.context import Context
from deploy.engine.native import Refusal
from deploy.engine.state_protocol import StateEnded, StatePiece, StateShape

SEQUENCE: Final = 0


class States:
    """Copies of the state of one context."""

    def __init__(self, context: Context, vocabulary_size: int) -> None:
        """Hold none."""
        self._context = context
        self._vocabulary_size = vocabulary_size
        self._coming: tuple[StateShape, bytearray] | None = None

    def shape(self) -> StateShape:
        """What a copy would be now. Raises Refusal where there is nothing to copy."""
        if not self._context.tokens:
            raise Refusal("The session has read nothing yet.", "Ask something first.")
        if self._context.has_seen:
            raise Refusal("A session in which there are images cannot be kept.", "Begin one with text alone.")
        copy = self._context.checkpoint.copy
        return StateShape(
            tokens=tuple(self._context.tokens),
            size_bytes=int(native.llama_state_seq_get_size(self._context.pointer, SEQUENCE)),
            checkpoint_tokens=self._context.checkpoint.count,
            checkpoint_bytes=len(copy),
        )

    def pieces(self) -> Iterator[StatePiece]:
        """The copy itself. Raises Refusal before the first piece."""
        shape = self.shape()
        copy = (ctypes.c_uint8 * shape.size_bytes)()
        got = int(native.llama_state_seq_get_data(self._context.pointer, copy, shape.size_bytes, SEQUENCE))
        if got != shape.size_bytes:
            raise Refusal("The engine gave no copy of its state.")
        state, kept = memoryview(copy).cast("B"), self._context.checkpoint.copy
        start = 0
        for size in shape.pieces_bytes:
            yield StatePiece(_cut(state, kept, start, size))
            start += size

    def begin(self, shape: StateShape) -> None:
        """Expect the pieces of a copy; an earlier one that was not ended is forgotten."""
        self._coming = (shape, bytearray())

    def add(self, piece: StatePiece) -> None:
        """Take the next piece; more than was announced is not kept."""
        if self._coming is not None and len(self._coming[1]) < self._coming[0].total_bytes:
            self._coming[1].extend(piece.data)

    def end(self, *, whole: bool) -> StateEnded:
        """Put the copy in place of what is in memory, where it is whole. Raises Refusal; memory is then empty."""
        coming, self._coming = self._coming, None
        if whole and coming is not None:
            self._restore(*coming)
        return StateEnded(len(self._context.tokens))

    def _restore(self, shape: StateShape, data: bytearray) -> None:
        context = self._context
        context.clear()
        if len(data) != shape.total_bytes or not 0 < len(shape.tokens) < context.size:
            raise Refusal("The session's state does not fit this context.")
        if not all(0 <= token < self._vocabulary_size for token in shape.tokens):
            raise Refusal("The session's state is not one of this model.")
        copy = (ctypes.c_uint8 * len(data)).from_buffer(data)
        read = int(native.llama_state_seq_set_data(context.pointer, copy, shape.size_bytes, SEQUENCE))
        if read != shape.size_bytes or context.last_position != len(shape.tokens) - 1:
            context.clear()
            raise Refusal("The engine does not take the session's state.")
        context.tokens += shape.tokens
        if shape.checkpoint_tokens:
            context.checkpoint.put(shape.checkpoint_tokens, data[shape.size_bytes :])


def _cut(first: Any, second: Any, start: int, size: int) -> bytes:
    """A piece of two buffers that are thought of as one."""
    end, seam = start + size, len(first)
    return bytes(first[start : min(end, seam)]) + bytes(second[max(0, start - seam) : max(0, end - seam)])
