"""`landfast models`: what is installed, whether it is whole, and taking it away."""

from typing import Final

import msgspec

from deploy.catalog.model import Model
from deploy.commands.adapters import AdapterVerdict
from deploy.commands.adapters import verify as verify_adapters
from deploy.commands.context import Context
from deploy.commands.pace import KeptPace, kept_run
from deploy.commands.resolve import catalogued
from deploy.errors import ExitCode, IntegrityError, NotFound
from deploy.results import Problem, Result, warning
from deploy.store.checks import FileVerdict
from deploy.store.records import Damaged, Installed
from deploy.store.stores import closed_to, ids_of_host

LEAST_OF_A_HASH: Final = 6
"""So many characters name a version."""


class ListData(msgspec.Struct, frozen=True, kw_only=True):
    """All installed models, and lock files that cannot be read."""

    installed: tuple[Installed, ...]
    damaged: tuple[Damaged, ...]
    store: str
    used_bytes: int
    """Distinct files of all installed models."""
    staged_bytes: int
    """What no installed model needs: interrupted installs and files that were set aside."""
    of_host: tuple[str, ...] = ()
    """Those of the installed models that all users of this host share; they take nothing of `used_bytes`."""
    former_bytes: int = 0
    """What only former versions take, beside `used_bytes`."""


class ShowData(msgspec.Struct, frozen=True, kw_only=True):
    """One installed model."""

    installed: Installed
    model: Model | None
    """The catalogue's entry, without its list of forms; None for a file of the user's own."""
    paths: tuple[str, ...]
    pace: KeptPace | None = None
    """How it ran here against its forecast; None before the first run that tells."""
    former: tuple[Installed, ...] = ()
    """Versions that `models switch` can take into use again, the last one first."""


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What hashing found of one model."""

    id: str
    files: tuple[FileVerdict, ...]
    whole: bool


class VerifyData(msgspec.Struct, frozen=True, kw_only=True):
    """What hashing found."""

    models: tuple[Verification, ...]
    damaged: tuple[Damaged, ...] = ()
    """Lock files that cannot be used."""
    repaired: tuple[str, ...] = ()
    """Models that were brought anew."""
    adapters: tuple[AdapterVerdict, ...] = ()
    """Those in the store beside that of the models, where all was verified."""


class RemoveData(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken away."""

    id: str
    freed_bytes: int


def list_models(context: Context) -> Result[ListData]:
    """List what is installed."""
    store = context.store
    installed, damaged = store.installed(), store.damaged()
    of_host = ids_of_host(store)
    own = tuple(record for record in installed if record.id not in of_host)
    sizes = _sizes(own)
    former = _sizes(tuple(one for record in own for one in store.former(record.id)))
    data = ListData(
        installed=installed,
        damaged=damaged,
        store=str(store.root),
        used_bytes=sum(sizes.values()),
        staged_bytes=store.staged_bytes(),
        of_host=of_host,
        former_bytes=sum(size for sha256, size in former.items() if sha256 not in sizes),
    )
    closed = closed_to(store)
    return Result(
        command="models",
        data=data,
        messages=(
            *(warning(f"{record.reason} {record.hint}") for record in damaged),
            *((warning(f"{closed.message} {closed.hint}"),) if closed else ()),
        ),
    )


def _sizes(records: tuple[Installed, ...]) -> dict[str, int]:
    """The distinct files of several models."""
    return {file.sha256: file.size_bytes for record in records for file in record.all_files}


def show(context: Context, name: str) -> Result[ShowData]:
    """Show one installed model. Raises NotFound, or IntegrityError when its files changed."""
    installed = named(context, name)
    paths = context.store.open_files(installed, context.report)
    projector = context.store.open_projector(installed, context.report)
    entry = catalogued(context, installed)
    return Result(
        command="models show",
        data=ShowData(
            installed=installed,
            model=None if entry is None else msgspec.structs.replace(entry[0], artifacts=(entry[1],)),
            paths=tuple(map(str, paths if projector is None else (*paths, projector))),
            pace=kept_run(context.paths, installed.model_id),
            former=context.store.former(installed.id),
        ),
    )


def verify(context: Context, name: str | None) -> Result[VerifyData]:
    """Hash the files of one model, or of all. What is wrong is set aside, so that nothing can load it."""
    damaged = tuple(record for record in context.store.damaged() if name is None or record.id.lower() == name.lower())
    found = _verified(context, () if damaged and name is not None else _records(context, name))
    bad = [verification for verification in found if not verification.whole]
    laid_over = verify_adapters(context, None) if name is None else None
    adapters = () if laid_over is None or laid_over.data is None else laid_over.data.adapters
    data = VerifyData(models=found, damaged=damaged, adapters=adapters)
    errors = (
        *(
            Problem(IntegrityError.code, file.sentence, f"Run `landfast models verify {model.id} --repair`.")
            for model in bad
            for file in model.files
            if file.verdict != "ok"
        ),
        *(Problem(IntegrityError.code, record.reason, record.hint) for record in damaged),
        *(() if laid_over is None else laid_over.errors),
        *(_catalogue_problems(context) if name is None else ()),
    )
    if not errors:
        return Result(command="models verify", data=data)
    return Result(
        command="models verify",
        status="partial" if len(bad) < len(found) else "error",
        changed=any(
            file.moved_to for files in (*(m.files for m in found), *(a.files for a in adapters)) for file in files
        ),
        data=data,
        errors=errors,
        exit_code=ExitCode.INTEGRITY,
    )


def remove(context: Context, name: str) -> Result[RemoveData]:
    """Take one installed model away. Raises NotFound."""
    record_id = removable(context, name)
    model_id, _, serial = record_id.partition("#")
    freed = context.store.forget(model_id, int(serial)) if serial else context.store.remove(model_id)
    return Result(
        command="models remove",
        changed=True,
        data=RemoveData(id=record_id, freed_bytes=freed),
    )


def removable(context: Context, name: str) -> str:
    """The id of what would be removed; a damaged entry has no readable record, and counts. Raises NotFound."""
    damaged = {record.id.lower(): record.id for record in context.store.damaged()}
    if name.lower() in damaged:
        return damaged[name.lower()]
    found = named(context, name)
    return found.version if "#" in name else found.id


def named(context: Context, name: str) -> Installed:
    """An installed model by its id, or by its model id where that is enough; with #2, a former version of it.

    Raises NotFound.
    """
    if "#" in name:
        return former_named(context, *name.split("#", 1))
    wanted = name.lower()
    records = context.store.installed()
    matches = [r for r in records if r.id.lower() == wanted] or [r for r in records if r.model_id.lower() == wanted]
    if len(matches) == 1:
        return matches[0]
    if matches:
        forms = ", ".join(record.id for record in matches)
        raise NotFound(f"{name} is installed in several forms.", hint=f"Choose one: {forms}.")
    there = ", ".join(record.id for record in records) or "nothing"
    closed = closed_to(context.store)
    raise NotFound(f"{name} is not installed.", hint=f"Installed: {there}." + (f" {closed.message}" if closed else ""))


def former_named(context: Context, name: str, version: str) -> Installed:
    """A former version of a model: by its number, or by how its hash or its publisher's revision begins.

    Raises NotFound.
    """
    record = named(context, name)
    former = context.store.former(record.id)
    wanted = version.lower().removeprefix("#")
    matches = [one for one in former if wanted == str(one.serial)] or [
        one for one in former if len(wanted) >= LEAST_OF_A_HASH and _begins(one, wanted)
    ]
    if len(matches) == 1:
        return matches[0]
    there = ", ".join(f"{one.serial} ({one.hashes[0][:12]})" for one in former) or "none"
    raise NotFound(f"{record.id} has no former version {version}.", hint=f"Former versions here: {there}.")


def _begins(record: Installed, wanted: str) -> bool:
    return record.hashes[0].startswith(wanted) or (record.revision or "").lower().startswith(wanted)


def _records(context: Context, name: str | None) -> tuple[Installed, ...]:
    if name is not None:
        return (named(context, name),)
    return context.store.versions()


def _verified(context: Context, records: tuple[Installed, ...]) -> tuple[Verification, ...]:
    verdicts = context.store.verify_all(records, context.report)
    return tuple(
        Verification(id=_called(context, record), files=files, whole=all(found.verdict == "ok" for found in files))
        for record, files in zip(records, verdicts, strict=True)
    )


def _called(context: Context, record: Installed) -> str:
    """The id of a version in use, and id#serial of a former one."""
    former = {one.serial for one in context.store.former(record.id)}
    return record.version if record.serial in former else record.id


def _catalogue_problems(context: Context) -> tuple[Problem, ...]:
    """The catalogue says what is right: an altered one must not pass."""
    try:
        context.catalog()
    except IntegrityError as error:
        return (Problem(error.code, error.message, error.hint),)
    return ()
