"""`landfast run`: one prompt, one answer."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from deploy.commands.answers import problem_of, read_schema
from deploy.commands.context import Context
from deploy.commands.session import MemoryUse, Opened, open_model
from deploy.engine.protocol import (
    Adapter,
    ChatMessage,
    Done,
    Drawing,
    Event,
    Generate,
    Sampling,
    SealReport,
    Stats,
    Text,
    Thinking,
)
from deploy.errors import EngineFailed, LandfastError, UsageError
from deploy.fit.fit import Workload
from deploy.results import Problem, Result, warning


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt and how to answer it."""

    prompt: str
    model: str | None = None
    system: str | None = None
    workload: Workload = Workload()
    max_tokens: int = 1024
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    schema: Path | None = None
    """A file with a JSON Schema that the answer must follow."""
    adapters: tuple[Adapter, ...] = ()


class RunData(msgspec.Struct, frozen=True, kw_only=True):
    """An answer with the engine's own figures."""

    model: str
    why: str
    answer: str
    thinking: str
    """What the model said to itself before; empty for most models."""
    ended: str
    """stop, length, cancelled or context."""
    sampling: Drawing
    """How it was drawn, every value decided."""
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
    schema = None if request.schema is None else read_schema(request.schema)
    opened = open_model(context, request.model, request.workload, request.adapters)
    try:
        answer, done = _answer(opened, _question(request, schema), on_event)
    finally:
        opened.session.close()
    problem = None if schema is None else problem_of(answer.content, done.reason, schema)
    return _result(opened, _data(opened, request, answer, done), problem)


def _question(request: RunRequest, schema: str | None) -> Generate:
    turns = [ChatMessage("system", request.system)] if request.system else []
    turns.append(ChatMessage("user", request.prompt))
    return Generate(
        messages=tuple(turns),
        max_tokens=request.max_tokens,
        sampling=request.sampling,
        stop=request.stop,
        schema=schema,
    )


def _answer(opened: Opened, question: Generate, on_event: Callable[[Event], None]) -> tuple[ChatMessage, Done]:
    pieces: list[str] = []
    thoughts: list[str] = []
    for event in opened.session.generate(question):
        on_event(event)
        if isinstance(event, Text):
            pieces.append(event.text)
        elif isinstance(event, Thinking):
            thoughts.append(event.text)
        elif isinstance(event, Done):
            return ChatMessage("assistant", "".join(pieces), "".join(thoughts)), event
    raise EngineFailed("The engine ended its answer without a word.")


def _result(opened: Opened, data: RunData, problem: LandfastError | None) -> Result[RunData]:
    """An answer that breaks its schema is handed on, and is an error all the same."""
    messages = tuple(warning(sentence) for sentence in opened.warnings)
    if problem is None:
        return Result(command="run", data=data, messages=messages)
    return Result(
        command="run",
        status="error",
        data=data,
        messages=messages,
        errors=(Problem(problem.code, problem.message, problem.hint),),
        exit_code=problem.exit_code,
    )


def _data(opened: Opened, request: RunRequest, answer: ChatMessage, done: Done) -> RunData:
    session = opened.session
    return RunData(
        model=opened.plan.id,
        why=opened.why,
        answer=answer.content,
        thinking=answer.thinking,
        ended=done.reason,
        sampling=request.sampling.decided(session.loaded.sampling),
        stats=done.stats,
        decode_tok_s=round(done.stats.decode_tok_s, 2),
        prompt_tok_s=round(done.stats.prompt_tok_s, 2),
        forecast_decode_tok_s=opened.plan.speed.decode_tok_s.known,
        memory=MemoryUse(planned_peak_bytes=opened.plan.peak_bytes, resident_bytes=session.loaded.memory_bytes),
        sealed=session.ready.sealed,
        seal=session.ready.seal,
        engine=session.ready.engine,
    )
