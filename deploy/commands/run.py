"""`landfast run`: one prompt, one answer."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from deploy.commands import sessions
from deploy.commands.answers import problem_of, read_schema
from deploy.commands.context import Context, UsedProjector
from deploy.commands.pictures import eyes_of, read_images, seeing
from deploy.commands.session import MemoryUse, Opened
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

NO_PROMPT: Final = 'Give one: `landfast run "..."`, or pipe a text into the command.'
SYSTEM_ALONE: Final = (
    "After `run`, --system takes the text that follows as the system prompt; the prompt comes after that. "
    "To use what all users of this host share: `landfast --system run`."
)


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt and how to answer it."""

    prompt: str
    model: str | None = None
    system: str | None = None
    workload: Workload = Workload()
    max_tokens: int = 1024
    sampling: Sampling = Sampling()
    repeatable: bool = False
    """Whether the same request must give the same answer again, whatever else runs on the machine."""
    stop: tuple[str, ...] = ()
    schema: Path | None = None
    """A file with a JSON Schema that the answer must follow."""
    adapters: tuple[Adapter, ...] = ()
    images: tuple[Path, ...] = ()
    """Files that go before the prompt."""
    projector: Path | None = None
    """What turns them into something that the model can read; None for the one that was installed with it."""
    keep: str | None = None
    """Keep the session on the disk under this name."""
    resume: str | None = None
    """Go on with the session that was kept under this name."""


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
    projector: UsedProjector | None = None
    """What the images were looked at with; None for text alone."""
    resumed: sessions.Resumed | None = None
    kept: sessions.Kept | None = None


def run(context: Context, request: RunRequest, on_event: Callable[[Event], None]) -> Result[RunData]:
    """Answer one prompt; `on_event` sees every event as it comes. Raises what `open_model` and the engine raise."""
    require_prompt(request)
    schema = None if request.schema is None else read_schema(request.schema)
    sessions.require_keepable(context, request.keep, request.resume)
    context = replace(context, repeatable=request.repeatable)
    model, projector = request.model, request.projector
    if request.images and projector is None and not (request.keep or request.resume):
        model, projector = eyes_of(context, model, request.workload)
    images = read_images(request.images, projector=projector, kept=request.keep or request.resume)
    context = seeing(context, projector, images)
    with sessions.resuming(context, request.resume) as kept:
        question = _question(request, schema, images, () if kept is None else kept.header.messages)
        opened = sessions.open_like(context, kept, model, request.workload, request.adapters)
        if request.model is None and model is not None:
            opened = replace(opened, why="It ranks best among the installed models that have a projector.")
        try:
            resumed = sessions.take_over(context, opened, kept)
            answer, done = _answer(opened, question, on_event)
            written, problem = sessions.try_keep(context, opened, request.keep, (*question.messages, answer), kept)
        finally:
            opened.session.close()
    if schema is not None:
        problem = problem_of(answer.content, done.reason, schema) or problem
    data = msgspec.structs.replace(_data(opened, request, answer, done), resumed=resumed, kept=written)
    return _result(opened, msgspec.structs.replace(data, projector=context.sight), problem)


def require_prompt(request: RunRequest) -> None:
    """Before anything is installed or loaded for it. Raises UsageError."""
    if not request.prompt.strip():
        raise UsageError("There is no prompt.", hint=NO_PROMPT if request.system is None else SYSTEM_ALONE)


def _question(
    request: RunRequest, schema: str | None, images: tuple[bytes, ...], before: tuple[ChatMessage, ...]
) -> Generate:
    turns = [*before, *([ChatMessage("system", request.system)] if request.system else [])]
    turns.append(ChatMessage("user", request.prompt, images=images))
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
    raise EngineFailed(
        "The engine ended its answer without a word.", hint="Ask again with another --seed, or try another model."
    )


def _result(opened: Opened, data: RunData, problem: LandfastError | None) -> Result[RunData]:
    """An answer that breaks its schema is handed on, and is an error all the same."""
    messages = (*map(warning, (*opened.warnings, *opened.late_warnings)), *sessions.notes_of(data.resumed, data.kept))
    if problem is None:
        return Result(command="run", changed=data.kept is not None, data=data, messages=messages)
    return Result(
        command="run",
        status="error",
        changed=data.kept is not None,
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
