"""`landfast models verify --repair` and `landfast models gc`: the store made whole again, and cleared."""

import msgspec

from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from deploy.commands.models import VerifyData, verify
from deploy.errors import ExitCode, LandfastError
from deploy.results import Problem, Result, info
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
            install(context, InstallRequest(model=model_id, folder=place))
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
        messages=tuple(info(f"{model_id} was damaged and is whole again.") for model_id in repaired),
        errors=(*failures, *second.errors),
        exit_code=ExitCode.INTEGRITY if failures else second.exit_code,
    )


def rubbish(context: Context) -> Result[CollectData]:
    """List what `collect` would delete. Changes nothing."""
    return Result(command="models gc", data=CollectData(rubbish=context.store.rubbish(), freed_bytes=0))


def collect(context: Context) -> Result[CollectData]:
    """Delete what no installed model needs; installs that are running are left alone."""
    found = context.store.rubbish()
    freed_bytes = context.store.clear_staging()
    return Result(
        command="models gc", changed=freed_bytes > 0, data=CollectData(rubbish=found, freed_bytes=freed_bytes)
    )
