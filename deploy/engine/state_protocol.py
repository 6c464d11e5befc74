"""What the parent and the engine process say to each other about a session's state: tokens and bytes, never a path."""

from typing import Final

import msgspec

PIECE_BYTES: Final = 4 << 20
"""A state goes over the channel, and lies in its file, in pieces of this size; the last one may be shorter."""


class StateShape(msgspec.Struct, frozen=True, kw_only=True):
    """What a state is of, and how large it is."""

    tokens: tuple[int, ...]
    """All tokens in memory, in order."""
    size_bytes: int
    checkpoint_tokens: int = 0
    """Of how many of the first tokens it also holds a copy to go back to; 0 is none."""
    checkpoint_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """State and copy, one after the other."""
        return self.size_bytes + self.checkpoint_bytes

    @property
    def pieces_bytes(self) -> tuple[int, ...]:
        """The size of every piece."""
        whole, rest = divmod(self.total_bytes, PIECE_BYTES)
        return (*[PIECE_BYTES] * whole, *([rest] if rest else []))


class DescribeState(msgspec.Struct, frozen=True, tag=True):
    """Ask what a copy of the session's state would be."""


class StateDescribed(msgspec.Struct, frozen=True, tag=True):
    """It would be this."""

    shape: StateShape


class SaveState(msgspec.Struct, frozen=True, tag=True):
    """Send the state that was described, piece by piece."""


class BeginState(msgspec.Struct, frozen=True, tag=True):
    """A state that an earlier session sent follows, piece by piece."""

    shape: StateShape


class StatePiece(msgspec.Struct, frozen=True, tag=True):
    """The next piece of a state, in either direction."""

    data: bytes


class EndState(msgspec.Struct, frozen=True, tag=True):
    """Take the state that has come into memory, or throw it away where it is not whole."""

    whole: bool


class StateEnded(msgspec.Struct, frozen=True, tag=True):
    """Done: memory holds so many tokens."""

    tokens: int
