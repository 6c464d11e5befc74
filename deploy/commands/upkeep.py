"""`landfast models verify --repair` and `landfast models gc`: the store made whole again, and cleared."""

import contextlib
from collections.abc import Iterator

import msgspec

from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from deploy.commands.models import VerifyData, verify
from deploy.errors import ExitCode, LandfastError, NotFound, NotWritable
from deploy.results import Problem, Result, info
from deploy.store.adapters import adapters_of
from deploy.store.records import Installed
from deploy.store.store import Rubbish


class CollectData(msgspec.Struct, frozen=True, kw_only=True):
    """What no installed model needs."""

    rubbish: tuple[Rubbish, ...]
    freed_bytes: int
    """0 where it was only looked at."""


def repair(context: Context, name: str | None, place: str | None) -> Result[VerifyData]:
    """Verify, bring what is damaged anew from any source that has it, or from `place`, and verify again."""
    first = verify(context, name)
    if not first.errors or first.data is None:
        return first
    broken = (*(m.id for m in first.data.models if not m.whole), *(record.id for record in first.data.damaged))
    failures: list[Problem] = []
    repaired: list[str] = []
    for model_id in broken:
        try:
            install(context, InstallRequest(model=model_id, folder=place, repair=True))
        except LandfastError as error:
            failures.append(Problem(error.code, f"{model_id} stays damaged: {error.message}", error.hint))
        else:
            repaired.append(model_id)
    second = verify(context, name)
    if second.data is None:
        return second
    return msgspec.structs.replace(
        second,
        changed=bool(repaired) or first.changed,
        data=msgspec.structs.replace(second.data, repaired=tuple(repaired)),
        messages=tuple(info(f"{model_id} was damaged and is repaired.") for model_id in repaired),
        errors=(*failures, *second.errors),
        exit_code=ExitCode.INTEGRITY if failures else second.exit_code,
    )


def rubbish(context: Context, *, former: bool = False) -> Result[CollectData]:
    """List what `collect` would delete. Changes nothing."""
    return Result(command="models gc", data=CollectData(rubbish=_rubbish(context, former), freed_bytes=0))


def collect(context: Context, *, former: bool = False) -> Result[CollectData]:
    """Delete what no installed model needs, with `former` also what only former versions need.

    Installs that are running are left alone.
    """
    found = _rubbish(context, former)
    freed_bytes = sum(_forgotten(context)) if former else 0
    freed_bytes += context.store.clear_staging() + adapters_of(context.paths).clear_staging()
    return Result(
        command="models gc", changed=freed_bytes > 0, data=CollectData(rubbish=found, freed_bytes=freed_bytes)
    )


def _rubbish(context: Context, former: bool) -> tuple[Rubbish, ...]:  # noqa: FBT001 - passed on
    versions = _former_versions(context) if former else ()
    used = {file.sha256 for record in context.store.installed() for file in record.all_files}
    return (
        *context.store.rubbish(),
        *adapters_of(context.paths).rubbish(),
        *(
            Rubbish(
                kind="former",
                name=one.version,
                size_bytes=sum(f.size_bytes for f in one.all_files if f.sha256 not in used),
            )
            for one in versions
        ),
    )


def _forgotten(context: Context) -> Iterator[int]:
    """Take the former versions away, one by one. A model that is being installed keeps its own."""
    for one in _former_versions(context):
        with contextlib.suppress(NotFound, NotWritable):
            yield context.store.forget(one.id, one.serial)


def _former_versions(context: Context) -> tuple[Installed, ...]:
    return tuple(one for record in context.store.own() for one in context.store.former(record.id))
