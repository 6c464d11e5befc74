"""`landfast models switch` and `landfast models rollback`: a former version of a model taken into use again."""

import msgspec

from deploy.commands.context import Context
from deploy.commands.models import former_named, named
from deploy.errors import NotFound
from deploy.results import Result
from deploy.store.records import Installed


class SwitchData(msgspec.Struct, frozen=True, kw_only=True):
    """Which version loads now."""

    installed: Installed
    former: tuple[Installed, ...]
    """Versions that are kept beside it, the last one first."""


def switch(context: Context, name: str, version: str) -> Result[SwitchData]:
    """Take a version into use by its number or hash. Raises NotFound, NotWritable and IntegrityError."""
    record = named(context, name)
    if version.removeprefix("#") == str(record.serial):
        return _switched(context, record, "models switch", changed=False)
    wanted = former_named(context, record.id, version)
    used = context.store.switch(record.id, wanted.serial, context.report)
    return _switched(context, used, "models switch", changed=True)


def rollback(context: Context, name: str) -> Result[SwitchData]:
    """Take the version into use that came before the present one. Raises NotFound where there is none."""
    record = named(context, name)
    earlier = next((one for one in context.store.former(record.id) if one.serial < record.serial), None)
    if earlier is None:
        raise NotFound(f"{record.id} has no former version here.", hint="`landfast models show` lists what is kept.")
    used = context.store.switch(record.id, earlier.serial, context.report)
    return _switched(context, used, "models rollback", changed=True)


def _switched(context: Context, used: Installed, command: str, *, changed: bool) -> Result[SwitchData]:
    data = SwitchData(installed=used, former=context.store.former(used.id))
    return Result(command=command, changed=changed, data=data)
