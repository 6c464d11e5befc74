"""Opening a model for run, chat and the UI: which one, with which plan, and whether memory allows it now."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from deploy.commands.context import Context
from deploy.commands.plan import PlanData, plan_target
from deploy.commands.targets import CatalogueTarget, FileTarget, InstalledTarget, best_installed, budget_of, resolve
from deploy.engine.client import Session
from deploy.errors import NotEnoughMemory, NotFound
from deploy.fit.fit import Workload, gigabytes
from deploy.sources.base import Progress


@dataclass(frozen=True, slots=True)
class Opened:
    """A loaded model, and how it was decided to load it so."""

    session: Session
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

    Raises NotFound when it is not installed, IntegrityError when its files changed, NotEnoughMemory when it
    cannot be loaded now, EngineFailed when the engine refuses it.
    """
    found = budget_of(context)
    target = best_installed(context, found, workload) if name is None else resolve(context, name, workload)
    if isinstance(target, CatalogueTarget):
        raise NotFound(f"{target.id} is not installed.", hint=f"Run `landfast install {target.id}` first.")
    plan, warnings = plan_target(context, target, found, workload)
    _require_memory(plan)
    files = _files(context, target)
    session = context.engine.open(files, plan.plan, lambda fraction: context.report(_loading(plan, fraction)))
    why = "It was asked for by name." if name is not None else "It ranks best among the installed models here."
    return Opened(session=session, plan=plan, why=why, warnings=(*warnings, *_tightness(plan)))


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
