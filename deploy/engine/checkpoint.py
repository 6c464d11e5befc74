"""A copy of the part of a model's memory that cannot go back by itself: sliding windows and recurrent state."""

import ctypes
from typing import Any, Final

import llama_cpp.llama_cpp as native

PARTIAL: Final = native.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY


class Checkpoint:
    """At most one copy, of the state after the first `count` tokens."""

    def __init__(self, context: Any, limit_bytes: int) -> None:
        """Hold none. No copy is made that is larger than the limit."""
        self._context = context
        self._limit_bytes = limit_bytes
        self._copy: Any = None
        self.count = 0
        """0 is none."""

    def take(self, count: int) -> None:
        """Copy the state, where it is small enough."""
        self.count = 0
        size = int(native.llama_state_seq_get_size_ext(self._context, 0, PARTIAL))
        if size > self._limit_bytes:
            return
        if self._copy is None or len(self._copy) < size:
            self._copy = None  # before the next one is made
            self._copy = (ctypes.c_uint8 * size)()
        if native.llama_state_seq_get_data_ext(self._context, self._copy, size, 0, PARTIAL):
            self.count = count

    @property
    def copy(self) -> bytes:
        """Its bytes; none where there is no copy."""
        return bytes(self._copy) if self.count else b""

    def put(self, count: int, data: bytes | bytearray) -> None:
        """Take over a copy that an earlier session made of the state after the first `count` tokens."""
        self._copy = (ctypes.c_uint8 * len(data)).from_buffer_copy(data)
        self.count = count

    def within(self, common: int) -> bool:
        """Whether the copy belongs to so many of the first tokens."""
        return 0 < self.count <= common

    def restore(self) -> bool:
        """Put the copy in place of the state."""
        return bool(native.llama_state_seq_set_data_ext(self._context, self._copy, len(self._copy), 0, PARTIAL))

    def forget_after(self, count: int) -> None:
        """The tokens after the first `count` are others from now on."""
        if self.count > count:
            self.count = 0
