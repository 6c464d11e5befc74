"""Opening a model for run, chat and the UI: which one, with which plan, and whether memory allows it now."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from deploy.commands.admission import require_admitted
from deploy.commands.context import Context
from deploy.commands.plan import PlanData, plan_target
from deploy.commands.recording import RecordedSession, Recorder
from deploy.commands.targets import CatalogueTarget, FileTarget, InstalledTarget, best_installed, budget_of, resolve
from deploy.engine.client import Session
from deploy.engine.protocol import LoadPlan
from deploy.errors import LandfastError, NotEnoughMemory, NotFound
from deploy.fit.fit import Workload, gigabytes
from deploy.journal import Event, Journal
from deploy.sources.base import Progress

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


class MemoryUse(msgspec.Struct, frozen=True, kw_only=True):
    """Promise and reality of one loaded model, in bytes."""

    planned_peak_bytes: int
    resident_bytes: int
    """What the process held when the model was loaded."""


def open_model(context: Context, name: str | None, workload: Workload) -> Opened:
    """Load the named model, or the best installed one.

    Raises PolicyRefused when the policy forbids it, NotFound when it is not installed, IntegrityError when its
    files changed, NotEnoughMemory when it cannot be loaded now, EngineFailed when the engine refuses it.
    """
    found = budget_of(context)
    target = best_installed(context, found, workload) if name is None else resolve(context, name, workload)
    if isinstance(target, CatalogueTarget):
        raise NotFound(f"{target.id} is not installed.", hint=f"Run `landfast install {target.id}` first.")
    require_admitted(context, target)
    plan, warnings = plan_target(context, target, found, workload)
    _require_memory(plan)
    files = _files(context, target)
    session = _open(context, target, plan, files)
    why = "It was asked for by name." if name is not None else "It ranks best among the installed models here."
    said = (*warnings, *_tightness(plan), *_weaknesses(session))
    return Opened(session=session, files=files, plan=plan, why=why, warnings=said)


def _open(
    context: Context, target: FileTarget | InstalledTarget, plan: PlanData, files: tuple[Path, ...]
) -> RecordedSession:
    recorder = Recorder(Journal(context.paths), plan.id, _hashes(target))
    try:
        session = context.engine.open(files, _bounded(plan), lambda fraction: context.report(_loading(plan, fraction)))
    except LandfastError as error:
        recorder.record(Event(kind="load", outcome=f"failed ({error.code})"))
        raise
    return RecordedSession(session, recorder)


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
    return (*unsealed, *((session.journal_problem,) if session.journal_problem else ()))


def _files(context: Context, target: FileTarget | InstalledTarget) -> tuple[Path, ...]:
    if isinstance(target, FileTarget):
        return (target.path,)
    return context.store.open_files(target.installed, context.report)


def _require_memory(plan: PlanData) -> None:
    if plan.hard_bytes > plan.room_bytes:
        raise NotEnoughMemory(
            f"{plan.name} needs {gigabytes(plan.hard_bytes)} of memory that cannot be given back; "
            f"{gigabytes(plan.room_bytes)} are free for it.",
            hint="Close other programs, ask for a shorter --context, or choose a smaller model.",
        )


def _tightness(plan: PlanData) -> tuple[str, ...]:
    if plan.peak_bytes <= plan.room_bytes:
        return ()
    takes, free = gigabytes(plan.peak_bytes), gigabytes(plan.room_bytes)
    return (f"{plan.name} takes {takes} and {free} are free for it: weights will be read from disk again and again.",)


def _loading(plan: PlanData, fraction: float) -> Progress:
    total = plan.memory.terms[0].bytes
    return Progress(step="load", text=f"load {plan.name}", done_bytes=int(total * fraction), total_bytes=total)
