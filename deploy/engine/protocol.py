"""What the parent and the engine process say to each other.

Requests go down, events come up, and nothing else passes: no path is opened and no code is run because of a frame's
contents but the model's files.
"""

from typing import Literal

import msgspec

from deploy.engine.attack_protocol import Attack, Attacked
from deploy.engine.load_plan import LoadPlan
from deploy.engine.measure_protocol import Measure, Measured
from deploy.engine.state_protocol import (
    BeginState,
    DescribeState,
    EndState,
    SaveState,
    StateDescribed,
    StateEnded,
    StatePiece,
)
from profiles.machine import EngineDevice


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine process must know before it seals itself. It stands on its command line."""

    files: tuple[int, ...] = ()
    """Descriptors of the model's files, open for reading: the only files of a person's that it will see."""
    paths: tuple[str, ...] = ()
    """The names under which they are opened."""
    gpu: bool = False
    """Whether the plan uses a graphics processor."""
    sees: bool = False
    """Whether it will be shown images."""
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


class ChatMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str
    thinking: str = ""
    """What an assistant thought before it answered. Whether it is read again, the model's template decides."""
    images: tuple[bytes, ...] = ()
    """PNG or JPEG files that go before the text. They are looked at in the engine process and nowhere else."""


class Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """How the next token is drawn, every value decided. Temperature 0 takes the likeliest one, always."""

    temperature: float = 0.6
    top_k: int = 40
    """0 takes all."""
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    seed: int = 0


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How the next token is to be drawn. None is the value that the model's makers recommend, or else ours."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    seed: int = 0

    def decided(self, recommended: Drawing) -> Drawing:
        """Every value: the wish where there is one, or else the recommendation."""
        wishes = {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}
        return msgspec.structs.replace(recommended, **wishes)


class Adapter(msgspec.Struct, frozen=True, kw_only=True):
    """A low-rank adapter (LoRA) that is laid over a model's weights."""

    path: str
    scale: float = 1.0
    sha256: str = ""
    """Of the file that was judged: no other is loaded. Empty where nobody has hashed it."""


class Load(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Load a model. `paths` lists its parts in order."""

    paths: tuple[str, ...]
    plan: LoadPlan
    adapters: tuple[Adapter, ...] = ()
    projector: str | None = None
    """Path of a projector; None for text alone."""


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
    """Texts that end the answer. They are not looked for in what the model thinks."""
    schema: str | None = None
    """A JSON Schema that the answer must follow, as JSON."""


class Count(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Ask how many tokens a text has, or a conversation as the model's template writes it."""

    text: str = ""
    messages: tuple[ChatMessage, ...] = ()


class Embed(msgspec.Struct, frozen=True, tag=True):
    """Turn each text into one vector."""

    texts: tuple[str, ...]


class ListDevices(msgspec.Struct, frozen=True, tag=True):
    """Say which devices the engine's build can compute on."""


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Stop the generation that is under way, also while it reads its prompt."""


StateRequest = DescribeState | SaveState | BeginState | StatePiece | EndState
Request = Load | Rehearse | Measure | Generate | Count | Embed | Cancel | Attack | ListDevices | StateRequest


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
    thinks: bool = False
    """Whether its template knows a channel for reasoning."""
    sampling: Drawing = Drawing()
    """What is used where a request decides nothing: the model's own recommendation, or else ours."""
    sees: bool = False
    """Whether it can be shown images."""


class Rehearsed(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The engine's own figures for a load, in bytes."""

    weights_bytes: int
    state_bytes: int
    """KV cache and recurrent state."""
    compute_bytes: int
    output_bytes: int
    recurrent_bytes: int = 0
    """Of the state, what does not grow with the context."""
    window_bytes: int = 0
    """Of the state, what is kept of sliding windows."""


class Reading(msgspec.Struct, frozen=True, tag=True):
    """How much of the prompt has been read, in tokens. `reused` of them were still in memory."""

    done: int
    total: int
    reused: int


class Text(msgspec.Struct, frozen=True, tag=True):
    """A piece of the answer; always whole characters."""

    text: str
    tokens: int = 1
    """That it was sent for."""


class Thinking(msgspec.Struct, frozen=True, tag=True):
    """A piece of what the model says to itself before or between its answer; always whole characters."""

    text: str
    tokens: int = 1


class Counted(msgspec.Struct, frozen=True, tag=True):
    """How many tokens it was."""

    tokens: int


class Embedded(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """One vector for each text, of length 1, in their order."""

    vectors: tuple[tuple[float, ...], ...]
    tokens: int
    """Of all texts together."""
    pooling: str
    """How the vectors of a text's tokens became one: mean, cls or last."""
    made_for_it: bool
    """Whether the model says how to pool, as those made for embeddings do; else the mean was taken."""


class Speculation(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens that were guessed from the text so far and checked several in one step."""

    guessed: int = 0
    right: int = 0
    """Guessed tokens that the model then drew itself."""
    why_not: str = ""
    """Why it was left off at the end of the answer; empty where it was on."""


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one generation, by the clock: drawing and sending included."""

    prompt_tokens: int
    reused_tokens: int
    """Tokens of the prompt that were still in memory from the turn before."""
    image_tokens: int = 0
    """Of the prompt, those that stand for images."""
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
    speculation: Speculation = Speculation()

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


class Devices(msgspec.Struct, frozen=True, tag=True):
    """What the engine lists, the processor included."""

    devices: tuple[EngineDevice, ...]


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The request could not be carried out; the process lives on."""

    message: str
    hint: str = ""


Event = (
    Ready
    | Loading
    | Loaded
    | Rehearsed
    | Measured
    | Reading
    | Text
    | Thinking
    | Counted
    | Embedded
    | Done
    | Attacked
    | Devices
    | StateDescribed
    | StatePiece
    | StateEnded
    | Failed
)
