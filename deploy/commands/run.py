"""`landfast run`: one prompt, one answer."""

from collections.abc import Callable

import msgspec

from deploy.commands.context import Context
from deploy.commands.session import MemoryUse, Opened, open_model
from deploy.engine.protocol import ChatMessage, Done, Event, Generate, Sampling, SealReport, Stats, Text
from deploy.errors import EngineFailed, UsageError
from deploy.fit.fit import Workload
from deploy.results import Result, warning


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt and how to answer it."""

    prompt: str
    model: str | None = None
    system: str | None = None
    workload: Workload = Workload()
    max_tokens: int = 1024
    sampling: Sampling = Sampling()


class RunData(msgspec.Struct, frozen=True, kw_only=True):
    """An answer with the engine's own figures."""

    model: str
    why: str
    answer: str
    ended: str
    """stop, length, cancelled or context."""
    sampling: Sampling
    stats: Stats
    decode_tok_s: float
    prompt_tok_s: float
    forecast_decode_tok_s: float | None
    memory: MemoryUse
    sealed: bool
    seal: SealReport
    """What the engine process had given up before it read the model."""
    engine: str


def run(context: Context, request: RunRequest, on_event: Callable[[Event], None]) -> Result[RunData]:
    """Answer one prompt; `on_event` sees every event as it comes. Raises what `open_model` and the engine raise."""
    if not request.prompt.strip():
        raise UsageError("There is no prompt.", hint='Give one: `landfast run "..."`, or pipe a text into the command.')
    opened = open_model(context, request.model, request.workload)
    try:
        answer, done = _answer(opened, request, on_event)
    finally:
        opened.session.close()
    return Result(
        command="run",
        data=_data(opened, request, answer, done),
        messages=tuple(warning(sentence) for sentence in opened.warnings),
    )


def _answer(opened: Opened, request: RunRequest, on_event: Callable[[Event], None]) -> tuple[str, Done]:
    turns = [ChatMessage("system", request.system)] if request.system else []
    turns.append(ChatMessage("user", request.prompt))
    generate = Generate(messages=tuple(turns), max_tokens=request.max_tokens, sampling=request.sampling)
    pieces: list[str] = []
    for event in opened.session.generate(generate):
        on_event(event)
        if isinstance(event, Text):
            pieces.append(event.text)
        elif isinstance(event, Done):
            return "".join(pieces), event
    raise EngineFailed("The engine ended its answer without a word.")


def _data(opened: Opened, request: RunRequest, answer: str, done: Done) -> RunData:
    session = opened.session
    return RunData(
        model=opened.plan.id,
        why=opened.why,
        answer=answer,
        ended=done.reason,
        sampling=request.sampling,
        stats=done.stats,
        decode_tok_s=round(done.stats.decode_tok_s, 2),
        prompt_tok_s=round(done.stats.prompt_tok_s, 2),
        forecast_decode_tok_s=opened.plan.speed.decode_tok_s.known,
        memory=MemoryUse(planned_peak_bytes=opened.plan.peak_bytes, resident_bytes=session.loaded.memory_bytes),
        sealed=session.ready.sealed,
        seal=session.ready.seal,
        engine=session.ready.engine,
    )
