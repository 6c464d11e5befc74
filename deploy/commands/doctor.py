"""`landfast doctor`: each thing that must work, tried, with advice where it does not."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgspec

from deploy.commands.availability import reach_all
from deploy.commands.context import Context
from deploy.commands.version import VersionData, version_of_all
from deploy.errors import ExitCode, LandfastError
from deploy.quantities import gigabytes
from deploy.results import Problem, Result
from profiles.budget import budget
from profiles.machine import Machine
from profiles.probe import ProbeReport

LOW_DISK_BYTES: Final = 2_000_000_000
ENGINE: Final = "llama-cpp-python"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was tried."""

    name: str
    outcome: Literal["ok", "warning", "failed"]
    detail: str
    advice: str = ""
    seconds: float = 0.0


class DoctorData(msgspec.Struct, frozen=True, kw_only=True):
    """All checks, and what a bug report needs beside them."""

    version: VersionData
    checks: tuple[Check, ...]
    probes: tuple[ProbeReport, ...] = ()
    """How each probe of the machine fared, and how long it took."""


def doctor(context: Context) -> Result[DoctorData]:
    """Try everything. An error only when something that is always needed does not work."""
    machine = context.profile()
    tries: tuple[Callable[[], Check], ...] = (
        lambda: _machine(machine),
        lambda: _engine(context),
        lambda: _store(context),
        lambda: _disk(machine),
        lambda: _installed(context),
    )
    checks = tuple(_timed(attempt) for attempt in tries) + _sources(context)
    version = version_of_all(context).data
    failed = [check for check in checks if check.outcome == "failed"]
    return Result(
        command="doctor",
        status="error" if failed else "success",
        data=DoctorData(version=version, checks=checks, probes=context.probes()) if version else None,
        errors=tuple(Problem("doctor", f"{check.name}: {check.detail}", check.advice) for check in failed),
        exit_code=ExitCode.INTERNAL if failed else ExitCode.DONE,
    )


def _timed(attempt: Callable[[], Check]) -> Check:
    started = time.perf_counter()
    try:
        check = attempt()
    except LandfastError as error:
        check = Check(name="store", outcome="failed", detail=error.message, advice=error.hint)
    return msgspec.structs.replace(check, seconds=round(time.perf_counter() - started, 3))


def _machine(machine: Machine) -> Check:
    found = budget(machine)
    detail = f"{gigabytes(found.host.budget_bytes)} of memory for a model; {found.threads_reason}"
    if found.host.budget_bytes == 0:
        return Check(name="machine", outcome="failed", detail=detail, advice=found.host.subtractions[0].reason)
    if found.unused:
        return Check(name="machine", outcome="warning", detail=detail, advice=" ".join(found.unused))
    return Check(name="machine", outcome="ok", detail=detail)


def _engine(context: Context) -> Check:
    """Start the engine process and hear its name; no model is loaded."""
    try:
        return Check(name="engine", outcome="ok", detail=context.engine.describe().engine)
    except LandfastError as error:
        advice = f"Install the engine again: `pip install --force-reinstall {_engine_wanted()}`."
        return Check(name="engine", outcome="failed", detail=error.message, advice=error.hint or advice)


def _engine_wanted() -> str:
    """The engine's package in the version that this Landfast was made for, as pip takes it."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        wanted = requires("landfast") or ()
    except PackageNotFoundError:
        wanted = ()
    return next((one for one in wanted if one.startswith(ENGINE)), ENGINE)


def _store(context: Context) -> Check:
    root = context.paths.store
    place = next(folder for folder in (root, *root.parents) if os.access(folder, os.F_OK))
    if not place.is_dir() or not os.access(place, os.W_OK):
        return Check(
            name="store",
            outcome="failed",
            detail=f"{place} cannot be written.",
            advice="Give this user write access to it, or set LANDFAST_HOME to a folder that can be written.",
        )
    return Check(name="store", outcome="ok", detail=_tilde(root))


def _tilde(path: Path) -> str:
    """A path without the user's name, since this page is pasted into bug reports."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)


def _disk(machine: Machine) -> Check:
    free = machine.disk.free_bytes.known
    if free is None:
        return Check(name="disk", outcome="warning", detail="The free space cannot be read.")
    if free < LOW_DISK_BYTES:
        return Check(
            name="disk",
            outcome="warning",
            detail=f"{gigabytes(free)} is free.",
            advice="Models take 0.1 to 20 GB: free some space or set LANDFAST_HOME to a larger disk.",
        )
    return Check(name="disk", outcome="ok", detail=f"{gigabytes(free)} is free.")


def _installed(context: Context) -> Check:
    store = context.store
    damaged = store.damaged()
    if damaged:
        return Check(name="models", outcome="warning", detail=damaged[0].reason, advice=damaged[0].hint)
    count, staged = len(store.installed()), store.staged_bytes()
    detail = f"{count} installed" + (f", {gigabytes(staged)} of interrupted installs" if staged else "")
    return Check(name="models", outcome="ok", detail=detail)


def _sources(context: Context) -> tuple[Check, ...]:
    """A source that does not answer is no fault: many machines are offline on purpose."""
    return tuple(
        Check(
            name=found.source,
            outcome="ok" if found.reachable else "warning",
            detail=found.reason,
            advice=""
            if found.reachable
            else "This is fine without internet; otherwise check the proxy and the mirror.",
        )
        for found in reach_all(context.sources)
    )
