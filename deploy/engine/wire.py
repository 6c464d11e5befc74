"""Frames between the parent and the engine process: a 4-byte little-endian length and one MessagePack object."""

import os
import select
import socket
import struct
from contextlib import suppress
from typing import Final

import msgspec

from deploy.engine.protocol import Event, Request

FRAME_LIMIT_BYTES: Final = 64 << 20
"""A frame larger than this is a fault of the sender; a long document is a few hundred kilobytes."""

_LENGTH: Final = struct.Struct("<I")


class FrameTooLarge(ValueError):
    """A frame that the other end would refuse. Nothing of it was sent."""


class Channel:
    """One end of the pair of sockets: sends and receives whole frames.

    It reads and writes as if it were a file: the sealed process has no call for networks left.
    """

    def __init__(self, connection: socket.socket, send_limit_s: float | None = None) -> None:
        """Take over a connected, blocking stream socket; a send may wait so long for a reader that does not read."""
        self._connection = connection
        if send_limit_s is not None:
            limit = struct.pack("@ll", int(send_limit_s), int(send_limit_s % 1 * 1e6))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._encoder = msgspec.msgpack.Encoder()
        self._received = bytearray()

    def send(self, frame: Request | Event) -> None:
        """Send one frame. Raises FrameTooLarge, and OSError when the other end is gone or does not read."""
        body = self._encoder.encode(frame)
        if len(body) > FRAME_LIMIT_BYTES:
            raise FrameTooLarge(f"a frame of {len(body)} bytes")
        rest = memoryview(_LENGTH.pack(len(body)) + body)
        while rest:
            rest = rest[os.write(self._connection.fileno(), rest) :]

    def receive_raw(self, limit_s: float | None = None) -> bytes:
        """Wait for one frame. Raises EOFError when the other end is gone.

        Raises TimeoutError when nothing came for `limit_s`; what came of a frame is kept for the next call.
        """
        self._gather(_LENGTH.size, limit_s)
        (length,) = _LENGTH.unpack_from(self._received)
        if length > FRAME_LIMIT_BYTES:
            raise EOFError(f"a frame of {length} bytes")
        whole = _LENGTH.size + length
        self._gather(whole, limit_s)
        frame = bytes(self._received[_LENGTH.size : whole])
        del self._received[:whole]
        return frame

    def close(self) -> None:
        """Close this end; the other one sees the end of the stream, also while a thread here still waits for it."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _gather(self, count: int, limit_s: float | None) -> None:
        while len(self._received) < count:
            if limit_s is not None and not self._readable(limit_s):
                raise TimeoutError
            try:
                piece = os.read(self._connection.fileno(), count - len(self._received))
            except OSError as error:
                raise EOFError(str(error)) from error
            if not piece:
                raise EOFError("the other end is closed")
            self._received += piece

    def _readable(self, limit_s: float) -> bool:
        """Whether something comes in time; the end of the stream is something too."""
        poll = select.poll()
        try:
            poll.register(self._connection.fileno(), select.POLLIN)
            return bool(poll.poll(limit_s * 1000))
        except (OSError, ValueError):  # closed by another thread
            return True


request_decoder: Final[msgspec.msgpack.Decoder[Request]] = msgspec.msgpack.Decoder(Request)
event_decoder: Final[msgspec.msgpack.Decoder[Event]] = msgspec.msgpack.Decoder(Event)
