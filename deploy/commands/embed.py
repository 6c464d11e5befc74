"""`landfast embed`: texts to vectors, for searching and comparing."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from deploy.commands.context import Context
from deploy.commands.plan import PlanData
from deploy.commands.session import MemoryUse, Reshape, open_model
from deploy.engine.protocol import Embedded, SealReport
from deploy.errors import UsageError
from deploy.fit.fit import Workload
from deploy.fit.memory import plan_memory_rehearsed
from deploy.gguf.check import inspect_parts
from deploy.results import Result, warning

BATCH_TEXTS: Final = 32
"""So many go to the engine at once: results come as they are made, and a frame stays small."""


class EmbedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Texts, and the model that reads them."""

    texts: tuple[str, ...]
    model: str | None = None
    workload: Workload = Workload()
    returns_vectors: bool = True
    """Whether the result has them too; else `on_made` alone gets them, and any number of texts takes little memory."""


class EmbedData(msgspec.Struct, frozen=True, kw_only=True):
    """One vector of length 1 for each text, in their order."""

    model: str
    vectors: tuple[tuple[float, ...], ...]
    count: int
    dimensions: int
    tokens: int
    pooling: str
    """mean, cls or last: how the vectors of a text's tokens became one."""
    made_for_it: bool
    """Whether the model was made for this; else the mean was taken, which tells less."""
    memory: MemoryUse
    sealed: bool
    seal: SealReport


def embed(context: Context, request: EmbedRequest, on_made: Callable[[Embedded], None]) -> Result[EmbedData]:
    """Make vectors; `on_made` gets each batch as it comes. Raises what `open_model` and the engine raise."""
    _require_texts(request.texts)
    opened = open_model(context, request.model, request.workload, reshape=for_vectors(context))
    batches: list[Embedded] = []
    try:
        for start in range(0, len(request.texts), BATCH_TEXTS):
            made = opened.session.embed(request.texts[start : start + BATCH_TEXTS])
            on_made(made)
            dimensions = len(made.vectors[0])
            batches.append(made if request.returns_vectors else msgspec.structs.replace(made, vectors=()))
    finally:
        opened.session.close()
    vectors = tuple(vector for batch in batches for vector in batch.vectors)
    data = EmbedData(
        model=opened.plan.id,
        vectors=vectors,
        count=len(request.texts),
        dimensions=dimensions,
        tokens=sum(batch.tokens for batch in batches),
        pooling=batches[0].pooling,
        made_for_it=batches[0].made_for_it,
        memory=MemoryUse(planned_peak_bytes=opened.plan.peak_bytes, resident_bytes=opened.session.loaded.memory_bytes),
        sealed=opened.session.ready.sealed,
        seal=opened.session.ready.seal,
    )
    doubts = () if data.made_for_it else (_DOUBT.format(opened.plan.id),)
    return Result(
        command="embed", data=data, messages=tuple(map(warning, (*opened.warnings, *opened.late_warnings, *doubts)))
    )


def for_vectors(context: Context) -> Reshape:
    """The plan of a model that makes vectors, with what the engine says that this takes of the host's memory."""

    def reshape(plan: PlanData, files: tuple[Path, ...]) -> PlanData:
        load = msgspec.structs.replace(plan.plan, vectors=True, speculation_tokens=0, checkpoint_bytes=0)
        if load.gpu_layers:
            return msgspec.structs.replace(plan, plan=load)
        whole = msgspec.structs.replace(load, batch_tokens=load.context_tokens)  # a text is read in one step
        said = context.engine.rehearse(files, load)
        memory = plan_memory_rehearsed(said, whole, inspect_parts(files).shape)
        return msgspec.structs.replace(
            plan, plan=load, memory=memory, peak_bytes=memory.peak_bytes, hard_bytes=memory.hard_bytes
        )

    return reshape


_DOUBT: Final = "{} was not made for vectors: the mean over each text's tokens was taken. Compare with care."


def _require_texts(texts: tuple[str, ...]) -> None:
    if not texts:
        raise UsageError("There is no text.", hint='Give some: `landfast embed "..."`, or pipe in one text per line.')
    empty = next((number for number, text in enumerate(texts, 1) if not text.strip()), None)
    if empty is not None:
        raise UsageError(f"Text {empty} is empty.", hint="Leave out empty lines.")
