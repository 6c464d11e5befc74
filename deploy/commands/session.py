"""Opening a model for run, chat and the UI: which one, with which plan, and whether memory allows it now."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from deploy.commands.adapters import usable
from deploy.commands.admission import require_admitted, require_sight_admitted
from deploy.commands.context import Context, UsedProjector
from deploy.commands.pace import Foreseen, budget_of, keep_run
from deploy.commands.plan import PlanData, plan_target
from deploy.commands.recording import RecordedSession, Recorder
from deploy.commands.resolve import best_installed, resolve
from deploy.commands.targets import CatalogueTarget, FileTarget, InstalledTarget
from deploy.engine.base import Session
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import Adapter
from deploy.errors import LandfastError, NotEnoughMemory, NotFound
from deploy.fit.fit import Workload
from deploy.fit.speed import conditions_of
from deploy.gguf.adapter import AdapterFile, require_fits
from deploy.journal import Event, Journal
from deploy.quantities import gigabytes
from deploy.sources.base import Progress
from profiles.budget import Budget

OWN_MEMORY_SPARE_BYTES: Final = 1 << 30
"""The interpreter, its libraries and their threads' stacks, generously."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A loaded model, and how it was decided to load it so."""

    session: Session
    files: tuple[Path, ...]
    plan: PlanData
    why: str
    warnings: tuple[str, ...]
    asked: str = ""
    """How the model is asked for again: its id, or the path of its file."""
    sha256: tuple[str, ...] = ()
    """Of its files in the store; none for a file that is named by its path."""
    adapters: tuple[tuple[str, float], ...] = ()
    """SHA-256 and scale of each adapter."""
    sight: UsedProjector | None = None
    """What it looks at images with; None for text alone."""

    @property
    def late_warnings(self) -> tuple[str, ...]:
        """What is to be said at the end, and could not be at the beginning: that not all of it is in the journal."""
        problem = self.session.journal_problem if isinstance(self.session, RecordedSession) else ""
        told = any(problem in sentence for sentence in self.warnings)
        return () if told or not problem else (f"Not all of this run is in the journal. {problem}",)


Reshape = Callable[[PlanData, tuple[Path, ...]], PlanData]
"""Changes a plan before it is held against memory and obeyed."""


class MemoryUse(msgspec.Struct, frozen=True, kw_only=True):
    """Promise and reality of one loaded model, in bytes."""

    planned_peak_bytes: int
    resident_bytes: int
    """What the process held when the model was loaded."""


def open_model(
    context: Context,
    name: str | None,
    workload: Workload,
    adapters: tuple[Adapter, ...] = (),
    reshape: Reshape | None = None,
) -> Opened:
    """Load the named model, or the best installed one, with adapters laid over it.

    Raises PolicyRefused when the policy forbids it, NotFound when it is not installed, IntegrityError when its
    files changed, NotEnoughMemory when it cannot be loaded now, EngineFailed when the engine refuses it, and
    InvalidModel for an adapter that does not belong to it.
    """
    found = budget_of(context, now=True)
    target = _admitted(context, name, found, workload)
    plan, warnings = plan_target(context, target, found, workload)
    files = _files(context, target)
    judged = usable(context, adapters)
    with_adapters = _adapted(context, judged, target, files)
    plan = _heavier(_unguessing(plan) if context.repeatable else plan, judged, context.sight)
    if reshape is not None:
        plan = reshape(plan, files)
    _require_memory(plan)
    session = _open(with_adapters, target, plan, files, _label(plan, judged, context.sight))
    foreseen = Foreseen(plan.id.partition(":")[0], plan.speed, plan.plan.context_tokens)
    session.on_answer = lambda stats: keep_run(context.paths, conditions_of(found).machine, foreseen, stats)
    why = "It was asked for by name." if name is not None else "It ranks best among the installed models here."
    said = (*warnings, *_tightness(plan), *_weaknesses(session))
    return Opened(
        session=session,
        files=files,
        plan=plan,
        why=why,
        warnings=said,
        asked=str(target.path) if isinstance(target, FileTarget) else target.installed.id,
        sha256=_hashes(target),
        adapters=tuple((adapter.sha256, adapter.scale) for adapter, _ in judged),
        sight=context.sight,
    )


def _admitted(context: Context, name: str | None, found: Budget, workload: Workload) -> FileTarget | InstalledTarget:
    """The model that is here and may run."""
    target = best_installed(context, found, workload) if name is None else resolve(context, name, workload)
    if isinstance(target, CatalogueTarget):
        raise NotFound(f"{target.id} is not installed.", hint=f"Run `landfast install {target.id}` first.")
    require_admitted(context, target)
    require_sight_admitted(context, target)
    return target


def _open(
    context: Context, target: FileTarget | InstalledTarget, plan: PlanData, files: tuple[Path, ...], label: str
) -> RecordedSession:
    recorder = Recorder(Journal(context.paths), label, _hashes(target), required=context.policy.refusal_of_unrecorded())
    recorder.announce("load")
    try:
        session = context.engine.open(files, _bounded(plan), lambda fraction: context.report(_loading(plan, fraction)))
    except LandfastError as error:
        recorder.record(Event(kind="load", outcome=f"failed ({error.code})"))
        raise
    return RecordedSession(session, recorder)


Judged = tuple[tuple[Adapter, AdapterFile], ...]


def _adapted(
    context: Context, adapters: Judged, target: FileTarget | InstalledTarget, files: tuple[Path, ...]
) -> Context:
    """The world with an engine that lays the adapters over the model, every one judged before native code sees it."""
    if not adapters:
        return context
    architecture = target.contents.architecture if isinstance(target, FileTarget) else target.installed.architecture
    for _, found in adapters:
        require_fits(found, architecture, files)
    return replace(context, engine=context.engine.with_adapters([adapter for adapter, _ in adapters]))


def _label(plan: PlanData, adapters: Judged, sight: UsedProjector | None) -> str:
    """What the journal calls the model: its id, and the hashes of what lies beside it, which no lock file knows."""
    label = "+lora:".join((plan.id, *(adapter.sha256 for adapter, _ in adapters)))
    return label if sight is None else f"{label}+vision:{sight.sha256}"


def _unguessing(plan: PlanData) -> PlanData:
    """Without guesses: how many pay hangs on the clock, and tokens that are computed together are rounded otherwise."""
    return msgspec.structs.replace(plan, plan=msgspec.structs.replace(plan.plan, speculation_tokens=0))


def _heavier(plan: PlanData, adapters: Judged, sight: UsedProjector | None) -> PlanData:
    """The plan with the adapters, which are held in memory as they are in their files, and with the projector."""
    size = sum(found.file_bytes for _, found in adapters) + (0 if sight is None else sight.memory_bytes)
    return msgspec.structs.replace(plan, peak_bytes=plan.peak_bytes + size, hard_bytes=plan.hard_bytes + size)


def _hashes(target: FileTarget | InstalledTarget) -> tuple[str, ...]:
    """Of the files in the store; a file that is named by its path was never hashed."""
    return () if isinstance(target, FileTarget) else tuple(file.sha256 for file in target.installed.files)


def _bounded(plan: PlanData) -> LoadPlan:
    """The plan with a bound on the engine's own memory: twice what it should take at most."""
    limit = 2 * plan.peak_bytes + OWN_MEMORY_SPARE_BYTES
    return msgspec.structs.replace(plan.plan, data_limit_bytes=limit)


def _weaknesses(session: RecordedSession) -> tuple[str, ...]:
    """What a person should know about this run beside its answer."""
    unsealed = () if session.ready.sealed else session.ready.seal.notes
    unrecorded = (f"This run is not in the journal. {session.journal_problem}",) if session.journal_problem else ()
    return (*unsealed, *unrecorded)


def _files(context: Context, target: FileTarget | InstalledTarget) -> tuple[Path, ...]:
    if isinstance(target, FileTarget):
        return (target.path,)
    return context.store.open_files(target.installed, context.report)


def _require_memory(plan: PlanData) -> None:
    if plan.hard_bytes > plan.room_bytes:
        raise NotEnoughMemory(
            f"{plan.name} needs {gigabytes(plan.hard_bytes)} of memory at the least; "
            f"{gigabytes(plan.room_bytes)} is free for it.",
            hint="Close other programs, ask for a shorter --context, or choose a smaller model.",
        )


def _tightness(plan: PlanData) -> tuple[str, ...]:
    if plan.peak_bytes <= plan.room_bytes:
        return ()
    takes, free = gigabytes(plan.peak_bytes), gigabytes(plan.room_bytes)
    return (f"{plan.name} takes {takes} and {free} is free for it: weights will be read from disk again and again.",)


def _loading(plan: PlanData, fraction: float) -> Progress:
    total = plan.memory.terms[0].bytes
    return Progress(step="load", text=f"load {plan.name}", done_bytes=int(total * fraction), total_bytes=total)
