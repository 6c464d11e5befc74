"""`landfast models`: what is installed, whether it is whole, and taking it away."""

import msgspec

from deploy.catalog.model import Model
from deploy.commands.context import Context
from deploy.commands.targets import catalogued
from deploy.errors import ExitCode, IntegrityError, NotFound
from deploy.results import Problem, Result, info, warning
from deploy.store.checks import FileVerdict
from deploy.store.records import Damaged, Installed


class ListData(msgspec.Struct, frozen=True, kw_only=True):
    """All installed models, and lock files that cannot be read."""

    installed: tuple[Installed, ...]
    damaged: tuple[Damaged, ...]
    store: str
    used_bytes: int
    """Distinct files of all installed models."""
    staged_bytes: int
    """What no installed model needs: interrupted installs and files that were set aside."""


class ShowData(msgspec.Struct, frozen=True, kw_only=True):
    """One installed model."""

    installed: Installed
    model: Model | None
    """The catalogue's entry, without its list of forms; None for a file of the user's own."""
    paths: tuple[str, ...]


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


class RemoveData(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken away."""

    id: str
    freed_bytes: int


def list_models(context: Context) -> Result[ListData]:
    """List what is installed."""
    store = context.store
    installed, damaged = store.installed(), store.damaged()
    sizes = {file.sha256: file.size_bytes for record in installed for file in record.files}
    data = ListData(
        installed=installed,
        damaged=damaged,
        store=str(store.root),
        used_bytes=sum(sizes.values()),
        staged_bytes=store.staged_bytes(),
    )
    return Result(
        command="models",
        data=data,
        messages=tuple(warning(f"{record.reason} {record.hint}") for record in damaged),
    )


def show(context: Context, name: str) -> Result[ShowData]:
    """Show one installed model. Raises NotFound, or IntegrityError when its files changed."""
    installed = named(context, name)
    paths = context.store.open_files(installed, context.report)
    entry = catalogued(context, installed)
    return Result(
        command="models show",
        data=ShowData(
            installed=installed,
            model=None if entry is None else msgspec.structs.replace(entry[0], artifacts=(entry[1],)),
            paths=tuple(str(path) for path in paths),
        ),
    )


def verify(context: Context, name: str | None) -> Result[VerifyData]:
    """Hash the files of one model, or of all. What is wrong is set aside, so that nothing can load it."""
    damaged = tuple(record for record in context.store.damaged() if name is None or record.id.lower() == name.lower())
    found = _verified(context, () if damaged and name is not None else _records(context, name))
    bad = [verification for verification in found if not verification.whole]
    data = VerifyData(models=found, damaged=damaged)
    errors = (
        *(
            Problem(IntegrityError.code, file.sentence, f"Run `landfast models verify {model.id} --repair`.")
            for model in bad
            for file in model.files
            if file.verdict != "ok"
        ),
        *(Problem(IntegrityError.code, record.reason, record.hint) for record in damaged),
        *(_catalogue_problems(context) if name is None else ()),
    )
    if not errors:
        return Result(command="models verify", data=data)
    return Result(
        command="models verify",
        status="partial" if len(bad) < len(found) else "error",
        changed=any(file.moved_to for model in bad for file in model.files),
        data=data,
        errors=errors,
        exit_code=ExitCode.INTEGRITY,
    )


def remove(context: Context, name: str) -> Result[RemoveData]:
    """Take one installed model away. Raises NotFound."""
    record_id = removable(context, name)
    freed = context.store.remove(record_id)
    return Result(
        command="models remove",
        changed=True,
        data=RemoveData(id=record_id, freed_bytes=freed),
        messages=(info(f"{record_id} is removed."),),
    )


def removable(context: Context, name: str) -> str:
    """The id of what would be removed; a damaged entry has no readable record, and counts. Raises NotFound."""
    damaged = {record.id.lower(): record.id for record in context.store.damaged()}
    return damaged.get(name.lower()) or named(context, name).id


def named(context: Context, name: str) -> Installed:
    """An installed model by its id, or by its model id where that is enough. Raises NotFound."""
    wanted = name.lower()
    records = context.store.installed()
    matches = [r for r in records if r.id.lower() == wanted] or [r for r in records if r.model_id.lower() == wanted]
    if len(matches) == 1:
        return matches[0]
    if matches:
        forms = ", ".join(record.id for record in matches)
        raise NotFound(f"{name} is installed in several forms.", hint=f"Name one of them: {forms}.")
    there = ", ".join(record.id for record in records) or "nothing"
    raise NotFound(f"{name} is not installed.", hint=f"Installed: {there}.")


def _records(context: Context, name: str | None) -> tuple[Installed, ...]:
    return context.store.installed() if name is None else (named(context, name),)


def _verified(context: Context, records: tuple[Installed, ...]) -> tuple[Verification, ...]:
    verdicts = context.store.verify_all(records, context.report)
    return tuple(
        Verification(id=record.id, files=files, whole=all(found.verdict == "ok" for found in files))
        for record, files in zip(records, verdicts, strict=True)
    )


def _catalogue_problems(context: Context) -> tuple[Problem, ...]:
    """The catalogue says what is right: an altered one must not pass."""
    try:
        context.catalog()
    except IntegrityError as error:
        return (Problem(error.code, error.message, error.hint),)
    return ()
