"""What the parent and the engine process say to each other.

A frame is a 4-byte little-endian length and one MessagePack object. Requests go down, events come up, and
nothing else passes: no path is opened and no code is run because of a frame's contents but the model's files.
"""

import socket
import struct
from contextlib import suppress
from typing import Final, Literal

import msgspec

FRAME_LIMIT_BYTES: Final = 64 << 20
"""A frame larger than this is a fault of the sender; a long document is a few hundred kilobytes."""

_LENGTH: Final = struct.Struct("<I")


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


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Stop the generation that is under way, also while it reads its prompt."""


Request = Load | Rehearse | Generate | Cancel


class Ready(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The process is up. Nothing of a model has been read."""

    engine: str
    """Name and version of the engine and its build."""
    sealed: bool
    """Whether the process has given up the network and the file system."""


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


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The request could not be carried out; the process lives on."""

    message: str
    hint: str = ""


Event = Ready | Loading | Loaded | Rehearsed | Reading | Text | Done | Failed


class Channel:
    """One end of the pair of sockets: sends and receives whole frames."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over a connected stream socket."""
        self._connection = connection
        self._encoder = msgspec.msgpack.Encoder()

    def send(self, frame: Request | Event) -> None:
        """Send one frame. Raises OSError when the other end is gone."""
        body = self._encoder.encode(frame)
        self._connection.sendall(_LENGTH.pack(len(body)) + body)

    def receive_raw(self) -> bytes:
        """Wait for one frame. Raises EOFError when the other end is gone."""
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        if length > FRAME_LIMIT_BYTES:
            raise EOFError(f"a frame of {length} bytes")
        return self._exactly(length)

    def close(self) -> None:
        """Close this end; the other one sees the end of the stream, also while a thread here still waits for it."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _exactly(self, count: int) -> bytes:
        received = bytearray()
        while len(received) < count:
            try:
                piece = self._connection.recv(count - len(received))
            except ConnectionError as error:
                raise EOFError(str(error)) from error
            if not piece:
                raise EOFError("the other end is closed")
            received += piece
        return bytes(received)


request_decoder: Final[msgspec.msgpack.Decoder[Request]] = msgspec.msgpack.Decoder(Request)
event_decoder: Final[msgspec.msgpack.Decoder[Event]] = msgspec.msgpack.Decoder(Event)
