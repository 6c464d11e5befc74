"""`landfast adapters`: LoRA adapters in the store, judged and hashed like models, and what `--adapter` means."""

import hashlib
import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from deploy.catalog.model import Artifact, CataloguedFile
from deploy.commands.context import Context
from deploy.commands.resolve import looks_like_file
from deploy.engine.protocol import Adapter
from deploy.errors import ExitCode, IntegrityError, InvalidModel, LandfastError, NotFound, UsageError
from deploy.gguf.adapter import AdapterFile, inspect_adapter, inspect_open_adapter, require_fits
from deploy.paths import plain_name
from deploy.results import Problem, Result, info, warning
from deploy.sources.folder import OneFile
from deploy.sources.seen import identity_of
from deploy.store.adapters import adapters_of
from deploy.store.checks import FileVerdict
from deploy.store.records import Damaged, Description, Installed, Pin

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
KIND: Final = "LoRA"
OWN: Final = "own file"


class AddedAdapter(msgspec.Struct, frozen=True, kw_only=True):
    """An adapter that is installed now."""

    installed: Installed
    fits: tuple[str, ...]
    """The installed models that it belongs to."""


class AdapterList(msgspec.Struct, frozen=True, kw_only=True):
    """All installed adapters, and lock files that cannot be read."""

    adapters: tuple[Installed, ...]
    damaged: tuple[Damaged, ...]
    store: str


class AdapterVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What hashing found of one adapter."""

    id: str
    files: tuple[FileVerdict, ...]
    whole: bool


class AdapterVerdicts(msgspec.Struct, frozen=True, kw_only=True):
    """What hashing found."""

    adapters: tuple[AdapterVerdict, ...]
    damaged: tuple[Damaged, ...] = ()


class AdapterRemoval(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken away."""

    id: str
    freed_bytes: int


def add(context: Context, file: str, name: str | None) -> Result[AddedAdapter]:
    """Copy an adapter into the store under a name. Raises InvalidModel, NotFound, UsageError, and as the store does."""
    path = Path(file).expanduser()
    found = inspect_adapter(path)
    called = name or _name_of(path)
    if not NAME.fullmatch(called) or looks_like_file(called):
        raise UsageError(
            f"{called!r} cannot be the name of an adapter.", hint="Choose one with --name, such as my-task."
        )
    installed, changed = _brought(context, path, found, called)
    fits = _fitting(context, found)
    none = warning(f"No installed model matches {called}: it needs a {found.architecture} model.")
    return Result(
        command="adapters add",
        changed=changed,
        data=AddedAdapter(installed=installed, fits=fits),
        messages=() if fits else (none,),
    )


def list_adapters(context: Context) -> Result[AdapterList]:
    """List what is installed."""
    store = adapters_of(context.paths)
    damaged = tuple(map(_curable, store.damaged()))
    return Result(
        command="adapters",
        data=AdapterList(adapters=store.installed(), damaged=damaged, store=str(store.root)),
        messages=tuple(warning(f"{one.reason} {one.hint}") for one in damaged),
    )


def verify(context: Context, name: str | None) -> Result[AdapterVerdicts]:
    """Hash one adapter, or all. What is wrong is set aside, so that nothing can load it."""
    store = adapters_of(context.paths)
    records = store.installed() if name is None else (_named(context, name),)
    damaged = tuple(map(_curable, store.damaged())) if name is None else ()
    verdicts = store.verify_all(records, context.report)
    found = tuple(
        AdapterVerdict(id=record.id, files=files, whole=all(one.verdict == "ok" for one in files))
        for record, files in zip(records, verdicts, strict=True)
    )
    errors = (
        *(
            Problem(IntegrityError.code, file.sentence, _cure(one.id))
            for one in found
            for file in one.files
            if file.verdict != "ok"
        ),
        *(Problem(IntegrityError.code, one.reason, one.hint) for one in damaged),
    )
    return Result(
        command="adapters verify",
        status="error" if errors else "success",
        changed=any(file.moved_to for one in found for file in one.files),
        data=AdapterVerdicts(adapters=found, damaged=damaged),
        errors=errors,
        exit_code=ExitCode.INTEGRITY if errors else ExitCode.DONE,
    )


def removable(context: Context, name: str) -> str:
    """The whole name of an installed adapter, before anybody is asked whether it may go. Raises NotFound."""
    damaged = {record.id for record in adapters_of(context.paths).damaged()}
    return name if name in damaged else _named(context, name).id


def remove(context: Context, name: str) -> Result[AdapterRemoval]:
    """Take one adapter away; one with a damaged lock file too. Raises NotFound."""
    called = removable(context, name)
    freed = adapters_of(context.paths).remove(called)
    return Result(
        command="adapters remove",
        changed=True,
        data=AdapterRemoval(id=called, freed_bytes=freed),
        messages=(info(f"{called} is removed."),),
    )


def usable(context: Context, wanted: Sequence[Adapter]) -> tuple[tuple[Adapter, AdapterFile], ...]:
    """What was asked for, each with its file, its hash and what the gate says of it.

    A name means an installed adapter, anything else a file. The engine loads no other bytes than those of the hash.
    Raises NotFound, InvalidModel, Incomplete and IntegrityError.
    """
    return tuple(_usable(context, adapter) for adapter in wanted)


def judge(path: Path) -> tuple[AdapterFile, str]:
    """What the gate says of a file, and the hash of the very bytes that it saw. Raises as the gate does."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InvalidModel(f"{path.name} is not a plain file.", hint="Choose a .gguf file.")
        with path.open("rb") as stream:
            before = identity_of(os.fstat(stream.fileno()))
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            judged = inspect_open_adapter(stream, path.name)
            after = identity_of(os.fstat(stream.fileno()))
    except OSError as error:
        raise NotFound(
            f"{path} cannot be read: {error.strerror}.", hint="Check the path and its permissions."
        ) from error
    if after != before:
        raise IntegrityError(f"{path.name} was changed while it was read.", hint="Try again.")
    return judged, sha256


def _usable(context: Context, adapter: Adapter) -> tuple[Adapter, AdapterFile]:
    path = Path(adapter.path)
    if looks_like_file(adapter.path):
        judged, sha256 = judge(path)
    else:
        record = _named(context, adapter.path)
        path, sha256 = _opened(context, record), record.files[0].sha256
        judged = msgspec.structs.replace(inspect_adapter(path), name=record.id)
    return Adapter(path=str(path), scale=adapter.scale, sha256=sha256), judged


def _opened(context: Context, record: Installed) -> Path:
    try:
        return adapters_of(context.paths).open_files(record, context.report)[0]
    except (NotFound, IntegrityError) as error:
        raise type(error)(error.message, hint=_cure(record.id)) from error


def _brought(context: Context, path: Path, found: AdapterFile, called: str) -> tuple[Installed, bool]:
    """The adapter in the store, and whether that is new."""
    store = adapters_of(context.paths)
    _, sha256 = judge(path)
    file = CataloguedFile(name=path.name, size_bytes=found.file_bytes, size_exact=True, sha256=sha256)
    source = OneFile(path)
    with store.transaction(called, found.file_bytes, context.report) as transaction:
        present = transaction.present
        if present is not None and present.hashes != (sha256,):
            raise UsageError(
                f"Another adapter is installed as {called}.",
                hint=f"Choose a --name, or run `landfast adapters remove {called}` first.",
            )
        if present is not None and store.verify(present, context.report)[0].verdict == "ok":
            return present, False
        files = source.fetch(Artifact(quant=KIND, publisher=OWN, files=(file,)), transaction.staging, context.report)
        pin = Pin(name=path.name, size_bytes=found.file_bytes, sha256=sha256, by="first-use")

        def describe(judged: AdapterFile) -> Description:
            return Description(
                id=called,
                model_id=called,
                name=called,
                quant=KIND,
                publisher=OWN,
                architecture=judged.architecture,
                licence="unknown",
                source=source.name,
            )

        return transaction.commit(files, [pin], lambda staged: inspect_adapter(staged[0]), describe), True


def _fitting(context: Context, found: AdapterFile) -> tuple[str, ...]:
    """The installed models that an adapter belongs to, tensor by tensor."""
    fitting: list[str] = []
    for record in context.store.installed():
        with suppress(LandfastError):
            require_fits(found, record.architecture, context.store.open_files(record, context.report))
            fitting.append(record.id)
    return tuple(fitting)


def _named(context: Context, name: str) -> Installed:
    store = adapters_of(context.paths)
    records = store.installed()
    found = next((record for record in records if record.id.lower() == name.lower()), None)
    if found is not None:
        return found
    broken = next((_curable(one) for one in store.damaged() if one.id.lower() == name.lower()), None)
    if broken is not None:
        raise IntegrityError(broken.reason, hint=broken.hint)
    there = ", ".join(record.id for record in records) or "none"
    raise NotFound(
        f"There is no adapter {name}.",
        hint=f"Installed: {there}. `landfast adapters add FILE` installs one; write a file as ./{name}.",
    )


def _curable(damaged: Damaged) -> Damaged:
    """A damaged lock file with the cure for an adapter's."""
    return msgspec.structs.replace(damaged, hint=_cure(damaged.id))


def _cure(name: str) -> str:
    return f"Run `landfast adapters remove {name}`, then `landfast adapters add FILE --name {name}` with a good copy."


def _name_of(path: Path) -> str:
    """A name made of a file's: lower case, and only what the store takes."""
    return plain_name(path.stem)[:64] or "adapter"
