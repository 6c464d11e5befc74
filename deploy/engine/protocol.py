"""What the parent and the engine process say to each other.

A frame is a 4-byte little-endian length and one MessagePack object. Requests go down, events come up, and
nothing else passes: no path is opened and no code is run because of a frame's contents but the model's files.
"""

import os
import select
import socket
import struct
from contextlib import suppress
from typing import Final, Literal

import msgspec

FRAME_LIMIT_BYTES: Final = 64 << 20
"""A frame larger than this is a fault of the sender; a long document is a few hundred kilobytes."""

_LENGTH: Final = struct.Struct("<I")


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine process must know before it seals itself. It stands on its command line."""

    files: tuple[int, ...] = ()
    """Descriptors of the model's files, open for reading: the only files of a person's that it will see."""
    paths: tuple[str, ...] = ()
    """The names under which they are opened."""
    gpu: bool = False
    """Whether the plan uses a graphics processor."""
    data_limit_bytes: int | None = None
    """Most memory of its own; mapped weights are not counted."""
    unsealed: bool = False
    audit: bool = False
    """Whether it may be asked to attack its own seal."""
    landlock_abi_at_most: int | None = None
    """Pretend that the kernel is older; to show what an older one would give."""


class SealReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine process has given up."""

    level: Literal["full", "two-stage", "none"]
    """Files and calls; calls alone, in stages; nothing."""
    platform: str = ""
    landlock_abi: int = 0
    """Version of Landlock in force; 0 is none."""
    calls_allowed: int = 0
    """System calls that are left when a model is in memory."""
    filter_sha256: str = ""
    """Of the first filter of system calls."""
    gpu: bool = False
    notes: tuple[str, ...] = ()
    """What is weaker than it could be, and why."""
    seconds: float = 0.0
    """How long sealing took."""


class LoadPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Exactly how a model is loaded. Made by fit, obeyed by the engine, stored with the installed model."""

    context_tokens: int
    batch_tokens: int = 512
    """Tokens that are read in one step, and the physical batch: the compute buffer grows with it."""
    kv_type: Literal["f16", "q8_0"] = "f16"
    threads: int = 1
    flash_attention: bool = True
    load_mode: Literal["mmap", "read"] = "mmap"
    """Mapped weights are page cache, which the kernel may take back; read weights are not."""
    repack: bool = False
    """Weights rearranged for this processor: a second, anonymous copy of them."""
    gpu_layers: int = 0
    data_limit_bytes: int | None = None
    """Most memory of its own that the process may take, mapped weights not counted; None is no limit."""


class ChatMessage(msgspec.Struct, frozen=True):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How the next token is drawn. Temperature 0 takes the likeliest one, always."""

    temperature: float = 0.7
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    seed: int = 0


class Load(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Load a model. `paths` lists its parts in order."""

    paths: tuple[str, ...]
    plan: LoadPlan


class Rehearse(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Ask what loading would allocate, without loading: takes about a second and 100 MB."""

    paths: tuple[str, ...]
    plan: LoadPlan


class Generate(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Answer a conversation, or continue a text. Exactly one of `messages` and `prompt` is given."""

    messages: tuple[ChatMessage, ...] = ()
    prompt: str | None = None
    max_tokens: int = 512
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()


class Targets(msgspec.Struct, frozen=True, kw_only=True):
    """What was planted for an attack, all of it on this machine and made for the purpose."""

    tcp4_port: int
    tcp6_port: int
    udp_port: int
    abstract_name: str
    socket_path: str
    secret_path: str
    drop_path: str
    """A file name in a folder that its user may write to."""
    mount_path: str
    model_path: str
    victim: int
    """Another process of the same user."""
    victim_address: int
    """Where its secret lies in its memory."""


class Attack(msgspec.Struct, frozen=True, tag=True):
    """Try every way out. Only a process that was started for an audit obeys."""

    targets: Targets
    while_loading: bool = False
    """In the state in which a model is read; otherwise in the one in which it answers."""


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Stop the generation that is under way, also while it reads its prompt."""


Request = Load | Rehearse | Generate | Cancel | Attack


class Ready(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The process is up. Nothing of a model has been read."""

    engine: str
    """Name and version of the engine and its build."""
    sealed: bool
    """Whether the process has given up the network and the file system."""
    seal: SealReport = SealReport(level="none")


class Loading(msgspec.Struct, frozen=True, tag=True):
    """How far loading has come, from 0 to 1."""

    fraction: float


class Loaded(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The model is ready for generation."""

    description: str
    context_tokens: int
    has_chat_template: bool
    load_s: float
    memory_bytes: int
    """Resident memory of the process after loading, page cache of the mapped weights included."""


class Rehearsed(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The engine's own figures for a load, in bytes."""

    weights_bytes: int
    state_bytes: int
    """KV cache and recurrent state."""
    compute_bytes: int
    output_bytes: int


class Reading(msgspec.Struct, frozen=True, tag=True):
    """How much of the prompt has been read, in tokens. `reused` of them were still in memory."""

    done: int
    total: int
    reused: int


class Text(msgspec.Struct, frozen=True, tag=True):
    """A piece of the answer; always whole characters."""

    text: str


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one generation. Evaluated tokens and their seconds are the engine's own counters."""

    prompt_tokens: int
    reused_tokens: int
    """Tokens of the prompt that were still in memory from the turn before."""
    answer_tokens: int
    prompt_eval_tokens: int
    prompt_eval_s: float
    decode_tokens: int
    """One less than the answer's as a rule: the first token comes out of reading the prompt."""
    decode_s: float
    first_token_s: float
    """From receipt of the request to the first token drawn."""
    total_s: float
    memory_bytes: int
    """Resident memory of the engine process at the end."""
    peak_memory_bytes: int

    @property
    def decode_tok_s(self) -> float:
        """Speed of writing; 0 where no token was decoded."""
        return self.decode_tokens / self.decode_s if self.decode_s > 0 else 0.0

    @property
    def prompt_tok_s(self) -> float:
        """Speed of reading the prompt; 0 where nothing had to be read."""
        return self.prompt_eval_tokens / self.prompt_eval_s if self.prompt_eval_s > 0 else 0.0


class Done(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The generation is over."""

    reason: Literal["stop", "length", "cancelled", "context"]
    """The model ended; max_tokens was reached; it was cancelled; the context is full."""
    stats: Stats


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attack and how it ended."""

    name: str
    what: str
    """What it tries, in a sentence."""
    open: bool
    """Whether it worked."""
    outcome: str
    """The name of the error that stopped it; empty when nothing did."""


class Attacked(msgspec.Struct, frozen=True, tag=True):
    """All attacks, in order."""

    attempts: tuple[Attempt, ...]


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The request could not be carried out; the process lives on."""

    message: str
    hint: str = ""


Event = Ready | Loading | Loaded | Rehearsed | Reading | Text | Done | Attacked | Failed


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
