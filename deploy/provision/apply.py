"""`landfast apply`: bring a host to the state that a site file wants, step by step, and say what was changed."""

import contextlib
import datetime as dt
import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from deploy import __version__
from deploy.commands.context import Context
from deploy.commands.install import misfit
from deploy.errors import ExitCode, LandfastError, PolicyRefused
from deploy.journal import Event, Journal
from deploy.provision import accounts, units
from deploy.provision.choice import choose, completed, require_fitting
from deploy.provision.files import ManagedFile
from deploy.provision.keeping import DistrustStep, JournalStep, TrustStep
from deploy.provision.lock import Lock, encode, lock_path, read_lock
from deploy.provision.models import ModelStep, ReceiptStep, TidyStep, removals
from deploy.provision.site import Require
from deploy.provision.site_file import SiteFile, read_site
from deploy.provision.steps import Step, StepReport, carry_out, problem
from deploy.provision.world import World, wanted_world
from deploy.results import Message, Result, warning
from deploy.store.locks import hold
from deploy.store.sharing import GROUP, SHARED

ENGINE = "llama-cpp-python"
LOCK_NAME = "apply.lock"
WAIT_S = 3600.0


class ApplyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which site file, and how."""

    site: str
    check: bool = False
    """Only look: nothing is changed, not even a folder made."""
    locked: bool = False
    """Take what the lock file says, and never change it."""
    lock: str | None = None
    """Where the lock file lies, if not beside the site file."""


class ApplyData(msgspec.Struct, frozen=True, kw_only=True):
    """All steps in their order, and what came of them."""

    site: str
    site_sha256: str
    lock: str
    check: bool
    locked: bool
    changed: int
    """Steps that changed the host, or would with --check."""
    failed: int
    models: tuple[str, ...]
    """What the wishes came to."""
    steps: tuple[StepReport, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be so, in the order in which it is made so."""

    file: SiteFile
    world: World
    lock_path: Path
    lock: Lock
    steps: tuple[Step, ...]


def apply(context: Context, request: ApplyRequest) -> Result[ApplyData]:
    """Plan, then do, or with `check` only look.

    Raises, before anything is changed, what is wrong with the site file, its policy, its lock file and its wishes.
    """
    plan = make_plan(context, request)
    if plan.file.site.store.scope == "system":
        os.umask(0o022)  # whatever root's own: everybody on the host reads its policy and enters its folders
    with contextlib.ExitStack() as held:
        record = _Recorder(plan, held)
        reports, errors = carry_out(plan.steps, check=request.check, begin=record.begin)
        changed = sum(report.changed for report in reports)
        messages = () if request.check else (*_misfits(plan, reports), *record.end(changed, errors))
    return _result(plan, request, reports, errors, messages)


def make_plan(context: Context, request: ApplyRequest) -> Plan:
    """Everything that the site file asks for. Touches nothing."""
    file = read_site(Path(request.site))
    require_versions(file.site.require)
    world = wanted_world(context, file)
    path = lock_path(file.path, request.lock)
    before = read_lock(path)
    lock = require_fitting(world, before, path) if request.locked else choose(world, before)
    return Plan(file, world, path, lock, _steps(world, path, lock, locked=request.locked))


def require_versions(wanted: Require) -> None:
    """Raises PolicyRefused for a Landfast or an engine that is too old. Nothing here replaces them."""
    for name, least, found in (("Landfast", wanted.landfast, __version__), (ENGINE, wanted.engine, _engine())):
        if least is not None and _numbers(found) < _numbers(least):
            raise PolicyRefused(
                f"The site file asks for {name} {least} or newer, and this host has {found or 'none'}.",
                hint="Update it first with scripts/install.sh: see docs/install.md.",
            )


def _steps(world: World, path: Path, lock: Lock, *, locked: bool) -> tuple[Step, ...]:
    site = world.file.site
    context = world.context
    days = site.retention.journal_days
    locking: tuple[Step, ...] = () if locked else (_lock_step(world, path, lock),)
    late = any(file.sha256 is None for pinned in lock.models for file in pinned.all_files)
    return (
        *(_of_host(world) if site.store.scope == "system" else ()),
        *_policy(world),
        *locking,
        ReceiptStep(context, lock, world.fingerprints),
        *(TrustStep(context, key) for key in world.keys),
        *(DistrustStep(context, key) for key in world.retired),
        *(ModelStep(world, lock, pinned) for pinned in {pinned.id: pinned for pinned in lock.models}.values()),
        TidyStep(context, lock),
        *(locking if late else ()),
        *removals(world, lock),
        *((JournalStep(context, days, dt.datetime.now(dt.UTC).date()),) if days is not None else ()),
        *(units.steps(units.units_of(os.environ, world.file, path)) if site.store.scope == "system" else ()),
    )


def _of_host(world: World) -> tuple[Step, ...]:
    """Accounts, and the folder of the host's store."""
    site = world.file.site
    database = accounts.accounts_of(os.environ)
    group = site.users.group if site.users else GROUP
    folder = accounts.StoreFolderStep(
        world.context.paths.store, database, group, SHARED.folder or 0, world.context.report
    )
    return (*(accounts.steps(site.users, database) if site.users else ()), folder)


def _policy(world: World) -> tuple[Step, ...]:
    wanted = world.file.policy
    if wanted is None:
        return ()
    return (ManagedFile("policy", world.policy_path, lambda: wanted, "the rules of the site file are in force by it"),)


def _lock_step(world: World, path: Path, lock: Lock) -> Step:
    meaning = "what each wish came to, for other hosts and for later"
    return ManagedFile("lock", path, lambda: encode(completed(world.context, lock)), meaning)


def _misfits(plan: Plan, reports: tuple[StepReport, ...]) -> tuple[Message, ...]:
    """Models that were installed now and are too large for this host: the lock file may be that of a larger one."""
    changed = {report.name for report in reports if report.changed}
    brought = (plan.world.context.store.get(p.id) for p in plan.lock.models if f"model {p.id}" in changed)
    return tuple(message for record in brought if record is not None for message in misfit(record))


class _Recorder:
    """Keeps other runs out, and writes into the journal that something is changed, before it is, and how it ended."""

    def __init__(self, plan: Plan, held: contextlib.ExitStack) -> None:
        """Write nothing yet. What `begin` locks is held as long as `held`."""
        self._context = plan.world.context
        self._held = held
        self._journal = Journal(plan.world.context.paths)
        self._required = plan.file.site.journal.required
        self._sha256 = (plan.file.sha256,)
        self._problem = ""
        self._begun = False

    def begin(self) -> None:
        """Before the first change: wait for another run to end.

        Raises NotWritable, and what keeps the journal from being written, where it is required.
        """
        lock = hold(self._context.paths.state / LOCK_NAME, "applies a site file", self._context.report, WAIT_S)
        self._held.enter_context(lock)
        try:
            self._write("begun")
        except LandfastError as error:
            if self._required:
                raise
            self._problem = error.message
        self._begun = True

    def end(self, changed: int, errors: tuple[LandfastError, ...]) -> tuple[Message, ...]:
        """After the last one; a host that was as wanted has no line."""
        if not self._begun:
            return ()
        try:
            self._write(f"failed ({errors[0].code})" if errors else f"changed {changed}")
        except LandfastError as error:
            self._problem = error.message
        return (warning(f"The journal was not written: {self._problem}"),) if self._problem else ()

    def _write(self, outcome: str) -> None:
        self._journal.append(Event(kind="apply", sha256=self._sha256, outcome=outcome))


def _result(
    plan: Plan,
    request: ApplyRequest,
    reports: tuple[StepReport, ...],
    errors: tuple[LandfastError, ...],
    messages: tuple[Message, ...],
) -> Result[ApplyData]:
    changed = sum(report.changed for report in reports)
    data = ApplyData(
        site=str(plan.file.path),
        site_sha256=plan.file.sha256,
        lock=str(plan.lock_path),
        check=request.check,
        locked=request.locked,
        changed=changed,
        failed=len(errors),
        models=tuple(pinned.id for pinned in plan.lock.models),
        steps=reports,
    )
    pending = ExitCode.WOULD_CHANGE if request.check and changed else ExitCode.DONE
    return Result(
        command="apply",
        status="success" if not errors else "partial" if changed and not request.check else "error",
        changed=bool(changed) and not request.check,
        data=data,
        messages=messages,
        errors=tuple(problem(error, check=request.check) for error in errors),
        exit_code=int(errors[0].exit_code if errors else pending),
    )


def _engine() -> str:
    try:
        return version(ENGINE)
    except PackageNotFoundError:
        return ""


def _numbers(text: str) -> tuple[int, ...]:
    """A version as numbers; what follows the last of them does not count."""
    parts = text.split("+", maxsplit=1)[0].split(".")
    return tuple(int(part) for part in parts if part.isdigit())
