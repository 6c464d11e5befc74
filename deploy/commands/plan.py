"""`landfast plan MODEL`: what one model would take here and how fast it would be, term by term."""

from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from deploy.catalog.model import Artifact, Model
from deploy.commands.admission import subject_of
from deploy.commands.context import Context
from deploy.commands.pace import budget_of
from deploy.commands.resolve import resolve
from deploy.commands.targets import CatalogueTarget, FileTarget, InstalledTarget, Target
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import Rehearsed
from deploy.errors import EngineFailed, ExitCode
from deploy.fit.advice import Change, advise
from deploy.fit.demand import Demand, demand_of_file
from deploy.fit.fit import DEFAULT_MIN_DECODE_TOK_S, PoolUse, Verdict, Workload, fit, load_plan
from deploy.fit.loading import divided, guessing, quickened_file, sparing, turn_s, ways
from deploy.fit.memory import MemoryPlan, for_users, plan_memory_rehearsed
from deploy.fit.placement import room_bytes
from deploy.fit.sight import NAMES as SIGHT_TERMS
from deploy.fit.sight import default_projector, with_sight
from deploy.fit.speed import Speed, conditions_of, forecast
from deploy.gguf.check import ModelFile, inspect_parts
from deploy.gguf.projector import inspect_projector
from deploy.quantities import gigabytes
from deploy.results import Message, Problem, Result, info, warning
from profiles.budget import Budget


class PlanData(msgspec.Struct, frozen=True, kw_only=True):
    """One model on this machine."""

    id: str
    name: str
    licence: str | None
    """None for a file that does not say."""
    pool: str
    room_bytes: int
    plan: LoadPlan
    pools: tuple[PoolUse, ...] = ()
    """Memory by memory; empty where the host's is the only one."""
    memory: MemoryPlan
    peak_bytes: int
    hard_bytes: int
    speed: Speed
    verdict: Verdict
    reason: str
    advice: tuple[Change, ...] = ()
    """What would be enough to make it fit."""


def plan(context: Context, name: str, workload: Workload) -> Result[PlanData]:
    """Plan one model. Success also when it does not fit: the verdict says so, with the exit code."""
    found = budget_of(context)
    target = resolve(context, name, workload)
    data, warnings = plan_target(context, target, found, workload)
    data = _rehearsed(context, target, data, workload)
    messages = (
        *(warning(sentence) for sentence in (*warnings, *_forbidden(context, target))),
        *_about_eyes(target, workload),
    )
    if data.verdict in {"too-large", "too-slow"}:
        return Result(
            command="plan",
            status="error",
            data=data,
            messages=messages,
            errors=(Problem("nothing-fits", f"{data.name}: {data.reason}", _advice(data)),),
            exit_code=ExitCode.NOTHING_FITS,
        )
    return Result(command="plan", data=data, messages=messages)


def _forbidden(context: Context, target: Target) -> tuple[str, ...]:
    """A plan is only a plan: that the policy forbids the model is said, and nothing more."""
    refusal = context.policy.refusal(subject_of(target))
    return () if refusal is None else (refusal.sentence,)


def _about_eyes(target: Target, workload: Workload) -> tuple[Message, ...]:
    """Which projector is counted, and what brings it."""
    known = target.catalogued if isinstance(target, InstalledTarget) else None
    model = target.model if isinstance(target, CatalogueTarget) else known[0] if known else None
    projector = None if model is None else default_projector(model, workload.purpose)
    if projector is None or isinstance(target, FileTarget):
        return ()
    if isinstance(target, InstalledTarget) and target.installed.projector is not None:
        return (info(f"Its projector {target.installed.projector.name} is installed."),)
    model_id = target.installed.id if isinstance(target, InstalledTarget) else target.id
    name, size = projector.files[0].name, gigabytes(projector.size_bytes)
    command = f"`landfast install {model_id} --for vision`"
    return (info(f"Its projector {name} ({projector.quant} by {projector.publisher}, {size}) comes with {command}."),)


def plan_target(
    context: Context, target: Target, found: Budget, workload: Workload
) -> tuple[PlanData, tuple[str, ...]]:
    """The plan of one target, and sentences about what is odd in it; for vision with its projector."""
    data, odd = _planned(context, target, found, workload)
    odd = (*odd, *workload.shortfall(data.plan.context_tokens))
    if workload.purpose != "vision" or not isinstance(target, InstalledTarget):
        return data, odd
    projector = context.store.open_projector(target.installed, context.report)
    if projector is None:
        return data, odd
    return _with_memory(data, with_sight(data.memory, inspect_projector(projector)), workload), odd


def _with_memory(data: PlanData, memory: MemoryPlan, workload: Workload) -> PlanData:
    """The plan with other figures of memory, held against the room again."""
    pools = tuple(_with_use(use, memory.within(use.name)) for use in data.pools) if data.plan.gpu_layers else ()
    found = msgspec.structs.replace(
        data, memory=memory, peak_bytes=memory.peak_bytes, hard_bytes=memory.hard_bytes, pools=pools
    )
    if data.verdict not in {"fits", "too-large"}:
        return found
    short = next((use for use in pools if use.peak_bytes > use.room_bytes), found)
    verdict, reason = _judge(short.peak_bytes, short.room_bytes, data.speed, workload)
    return msgspec.structs.replace(found, verdict=verdict, reason=reason)


def _with_use(use: PoolUse, memory: MemoryPlan) -> PoolUse:
    return msgspec.structs.replace(use, hard_bytes=memory.hard_bytes, peak_bytes=memory.peak_bytes)


def _planned(context: Context, target: Target, found: Budget, workload: Workload) -> tuple[PlanData, tuple[str, ...]]:
    match target:
        case CatalogueTarget(model, artifact) | InstalledTarget(_, (model, artifact)):
            return _of_catalogue(model, artifact, found, workload), ()
        case InstalledTarget(installed, _):
            paths = context.store.open_files(installed, context.report)
            own = _Own(installed.id, paths, inspect_parts(paths), workload.users)
        case FileTarget(path, contents):
            own = _Own(path.name, (path,), contents, workload.users)
    return _of_file(context, own, found, workload), own.contents.warnings


def _rehearsed(context: Context, target: Target, data: PlanData, workload: Workload) -> PlanData:
    """The plan of an installed model with the figures of the engine for its files, where it can be asked."""
    if not isinstance(target, InstalledTarget) or target.catalogued is None:
        return data
    if data.plan.gpu_layers or context.profile().simulated:
        return data
    paths = context.store.open_files(target.installed, context.report)
    said = context.engine.rehearse(paths, data.plan)
    memory = for_users(plan_memory_rehearsed(said, data.plan, inspect_parts(paths).shape), workload.users)
    eyes = tuple(term for term in data.memory.terms if term.name in SIGHT_TERMS)
    return _with_memory(data, MemoryPlan(terms=(*memory.terms, *eyes)), workload)


class _Own(NamedTuple):
    """Files that the catalogue does not know."""

    label: str
    paths: tuple[Path, ...]
    contents: ModelFile
    users: int
    """Who have a conversation in memory at once."""


def _of_catalogue(model: Model, artifact: Artifact, found: Budget, workload: Workload) -> PlanData:
    placed = fit(model, artifact, found, workload)
    return PlanData(
        id=placed.id,
        name=f"{placed.name} {placed.quant}",
        licence=placed.licence,
        pool=placed.pool,
        room_bytes=placed.room_bytes,
        pools=placed.pools,
        plan=placed.plan,
        memory=placed.memory,
        peak_bytes=placed.peak_bytes,
        hard_bytes=placed.hard_bytes,
        speed=placed.speed,
        verdict=placed.verdict,
        reason=placed.reason,
        advice=advise(model, artifact, found, workload),
    )


def _of_file(context: Context, own: _Own, found: Budget, workload: Workload) -> PlanData:
    """A file that the catalogue does not know is rehearsed by the engine itself."""
    pool = found.host
    room = room_bytes(pool)
    asked = guessing(load_plan(min(workload.context_tokens, own.contents.context_tokens), pool, found))
    said = context.engine.rehearse(own.paths, asked)
    first = quickened_file(asked, said)
    demand = demand_of_file(own.contents, own.label, said.state_bytes, first.context_tokens)
    plan, memory = _best_way(context, own, _Rehearsal(first, said), demand, found)
    speed = forecast(demand, pool, found.threads, plan, conditions_of(found))
    verdict, reason = _judge(memory.peak_bytes, room, speed, workload)
    return PlanData(
        id=own.label,
        name=own.contents.name,
        licence=None,
        pool=pool.name,
        room_bytes=room,
        plan=plan,
        memory=memory,
        peak_bytes=memory.peak_bytes,
        hard_bytes=memory.hard_bytes,
        speed=speed,
        verdict=verdict,
        reason=reason,
    )


class _Rehearsal(NamedTuple):
    """What the engine said of a plan."""

    plan: LoadPlan
    said: Rehearsed


def _best_way(
    context: Context, own: _Own, first: _Rehearsal, demand: Demand, found: Budget
) -> tuple[LoadPlan, MemoryPlan]:
    """The fastest way to load the file that fits, and what it takes; each one that differs in memory is rehearsed."""
    pool, known = found.host, conditions_of(found)
    quick = sorted(
        ways(first.plan, demand, pool, found.threads, known),
        key=lambda way: (known.repeatable and divided(way), turn_s(way, demand, pool, found.threads, known)),
    )

    def memory_of(said: Rehearsed, way: LoadPlan) -> MemoryPlan:
        return for_users(plan_memory_rehearsed(said, way, own.contents.shape), own.users)

    smallest = first.plan, memory_of(first.said, first.plan)
    for way in (*quick, *map(sparing, quick)):
        alike = way.flash_attention and not way.repack and way.speculation_tokens == first.plan.speculation_tokens
        try:
            said = first.said if alike else context.engine.rehearse(own.paths, way)
        except EngineFailed:
            if way.kv_type == first.plan.kv_type:
                raise
            continue  # keys and values of some architectures are one
        memory = memory_of(said, way)
        if memory.peak_bytes <= room_bytes(pool):
            return way, memory
        smallest = min(smallest, (way, memory), key=lambda tried: tried[1].peak_bytes)
    return smallest


def _judge(
    need: int, room: int, speed: Speed, workload: Workload
) -> tuple[Literal["fits", "too-large", "too-slow"], str]:
    decode = (speed.decode_tok_s.known or 0.0) / workload.users
    each = " for each user" if workload.users > 1 else ""
    if need > room:
        return "too-large", f"It needs {gigabytes(need)}; {gigabytes(room)} is free for it."
    if decode < workload.min_decode_tok_s:
        least = f"{workload.min_decode_tok_s:g} tok/s are asked for"
        return "too-slow", f"It writes about {decode:.1f} tok/s{each}; {least}."
    return "fits", f"It takes {gigabytes(need)} of {gigabytes(room)}, and writes about {decode:.0f} tok/s{each}."


def _advice(data: PlanData) -> str:
    if data.verdict == "too-slow":
        lower = f" (the default is {DEFAULT_MIN_DECODE_TOK_S:g})"
        return f"Ask for a lower --min-speed{lower}, or choose a smaller model."
    return "Choose a smaller model or quantisation, ask for a shorter --context, or free memory."
