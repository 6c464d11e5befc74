"""Frames: whatever is sent arrives as it was, and what is not a frame ends the conversation in order."""

import os
import signal
import socket
import struct
import threading
import types
from collections.abc import Iterator
from typing import Any, Final, Literal, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.engine import wire
from deploy.engine.protocol import (
    Event,
    Generate,
    Request,
    Text,
)
from deploy.engine.wire import FRAME_LIMIT_BYTES, Channel, FrameTooLarge, event_decoder, request_decoder

PLAIN: Final[dict[Any, st.SearchStrategy[Any]]] = {
    int: st.integers(0, 2**63 - 1),
    float: st.floats(allow_nan=False),
    str: st.text(),
    bytes: st.binary(max_size=64),
    bool: st.booleans(),
    type(None): st.none(),
}


def anything(kind: Any) -> st.SearchStrategy[Any]:
    """Every value that an annotation of the protocol allows."""
    if kind in PLAIN:
        return PLAIN[kind]
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if get_origin(kind) in {Union, types.UnionType}:
        return st.one_of(*map(anything, get_args(kind)))
    if get_origin(kind) is tuple:
        return st.lists(anything(get_args(kind)[0]), max_size=4).map(tuple)
    return st.builds(kind, **{field.name: anything(field.type) for field in msgspec.structs.fields(kind)})


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Channel]]:
    """A raw end to send anything through, and a channel on the other end."""
    raw, theirs = socket.socketpair()
    with raw:
        channel = Channel(theirs)
        yield raw, channel
        channel.close()


def through(frame: Request | Event) -> bytes:
    """What arrives of a frame at the other end of a pair of sockets."""
    ours, theirs = socket.socketpair()
    sender, receiver = Channel(ours), Channel(theirs)
    try:
        sender.send(frame)
        return receiver.receive_raw()
    finally:
        sender.close()
        receiver.close()


@given(anything(Event))
def test_any_event_arrives_as_it_was_sent(event: Event) -> None:
    """No value of a field, however odd, is changed on the way up."""
    assert event_decoder.decode(through(event)) == event


@given(anything(Request))
def test_any_request_arrives_as_it_was_sent(request: Request) -> None:
    """No value of a field, however odd, is changed on the way down."""
    assert request_decoder.decode(through(request)) == request


def test_frames_keep_their_borders_however_the_bytes_come(ends: tuple[socket.socket, Channel]) -> None:
    """Frames that arrive in one piece are told apart."""
    raw, channel = ends
    bodies = [msgspec.msgpack.encode(Text(word)) for word in ("one", "two", "")]
    raw.sendall(b"".join(struct.pack("<I", len(body)) + body for body in bodies))
    assert [channel.receive_raw() for _ in bodies] == bodies


@pytest.mark.parametrize("sent", [b"", b"\x05\x00", struct.pack("<I", 10) + b"four"])
def test_a_cut_frame_is_the_end(ends: tuple[socket.socket, Channel], sent: bytes) -> None:
    """Half a length or half a body is never taken for a frame."""
    raw, channel = ends
    raw.sendall(sent)
    raw.shutdown(socket.SHUT_WR)
    with pytest.raises(EOFError):
        channel.receive_raw()


def test_an_oversize_length_is_refused_before_its_body(ends: tuple[socket.socket, Channel]) -> None:
    """A length of gigabytes reserves nothing and waits for nothing."""
    raw, channel = ends
    raw.sendall(struct.pack("<I", FRAME_LIMIT_BYTES + 1))
    with pytest.raises(EOFError, match="a frame of"):
        channel.receive_raw()


def test_an_oversize_frame_is_not_sent(ends: tuple[socket.socket, Channel], monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender hears of it, and the conversation can go on."""
    raw, channel = ends
    monkeypatch.setattr(wire, "FRAME_LIMIT_BYTES", 100)
    with pytest.raises(FrameTooLarge):
        channel.send(Generate(prompt="x" * 200))
    channel.send(Text("y"))
    assert b"\xa1y" in raw.recv(1000)


class _CtrlCError(BaseException):
    """Stands for KeyboardInterrupt, which would end the test run if it came too late."""


@pytest.fixture
def interrupt() -> Iterator[None]:
    """Interrupt the test's thread once, shortly, as Ctrl-C would."""

    def stop(_number: int, _frame: object) -> None:
        raise _CtrlCError

    before = signal.signal(signal.SIGUSR1, stop)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    yield
    timer.join()
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("interrupt")
def test_an_interrupted_wait_loses_nothing(ends: tuple[socket.socket, Channel]) -> None:
    """After Ctrl-C in the middle of a frame the next read gives that same frame."""
    raw, channel = ends
    body = msgspec.msgpack.encode(Text("a piece of an answer"))
    frame = struct.pack("<I", len(body)) + body
    raw.sendall(frame[:7])
    with pytest.raises(_CtrlCError):
        channel.receive_raw()
    raw.sendall(frame[7:])
    assert channel.receive_raw() == body


@given(st.binary(max_size=200))
def test_bytes_of_a_stranger_are_an_event_or_a_decode_error(body: bytes) -> None:
    """Nothing else can come out of decoding, so the client need catch nothing else."""
    try:
        event = event_decoder.decode(body)
    except msgspec.DecodeError:
        return
    assert isinstance(event, get_args(Event))
