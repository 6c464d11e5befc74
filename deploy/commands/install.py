"""`landfast install [MODEL]`: bring a model in, every byte verified, or change nothing."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from deploy.catalog.model import Artifact, CataloguedFile, Model
from deploy.commands.context import Context
from deploy.commands.select import select
from deploy.commands.targets import CatalogueTarget, FileTarget, InstalledTarget, Target, resolve
from deploy.errors import LandfastError, NothingFits, Unreachable
from deploy.fit.fit import Workload
from deploy.gguf.check import ModelFile, inspect_parts
from deploy.results import Message, Result, info, warning
from deploy.sources.base import NoOffer, Source
from deploy.sources.folder import Folder
from deploy.store.records import Description, Installed, Pin
from deploy.store.transaction import Transaction


class InstallRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to install. Without a model the best one here is chosen."""

    model: str | None = None
    folder: str | None = None
    """Take the files from this folder or file and from nowhere else."""
    workload: Workload = Workload()


class InstallData(msgspec.Struct, frozen=True, kw_only=True):
    """What is installed now."""

    installed: Installed
    reason: str
    """Why this model: it was named, or why it was chosen."""


def install(context: Context, request: InstallRequest) -> Result[InstallData]:
    """Install a model, or find that it is installed and whole.

    Raises whatever stands in the way; the store is then as before, and a later try goes on where this one ended.
    """
    target, reason, messages = _wanted(context, request)
    if isinstance(target, InstalledTarget):
        if _whole(context, target.installed):
            return _nothing_to_do(target.installed, reason, messages)
        target = _again(target)
    offered = _offered(context, request, target)
    installed, fresh, note = _bring(context, offered, target)
    if not fresh:
        return _nothing_to_do(installed, reason, messages)
    return Result(
        command="install",
        changed=True,
        data=InstallData(installed=installed, reason=reason),
        messages=(*messages, *note),
    )


def _wanted(context: Context, request: InstallRequest) -> tuple[Target, str, tuple[Message, ...]]:
    if request.model is not None:
        return resolve(context, request.model, request.workload), "It was asked for by name.", ()
    chosen = select(context, request.workload)
    if chosen.data is None or chosen.data.ranking.chosen is None:
        raise NothingFits(chosen.errors[0].message, hint=chosen.errors[0].hint)
    best = chosen.data.ranking.chosen
    return resolve(context, best.fit.id, request.workload), best.why, chosen.messages


def _whole(context: Context, installed: Installed) -> bool:
    """Whether an installed model can be loaded; a damaged one is installed again."""
    try:
        context.store.open_files(installed, context.report)
    except LandfastError:
        return False
    return True


def _again(target: InstalledTarget) -> Target:
    if target.catalogued is None:
        raise Unreachable(
            f"{target.installed.id} is damaged, and it came from a file of your own.",
            hint="Install it again from that file: `landfast install FILE`.",
        )
    return CatalogueTarget(*target.catalogued)


def _nothing_to_do(installed: Installed, reason: str, messages: tuple[Message, ...]) -> Result[InstallData]:
    return Result(
        command="install",
        data=InstallData(installed=installed, reason=reason),
        messages=(*messages, info(f"{installed.id} is installed already.")),
    )


class _Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What goes into the store, wherever it comes from."""

    id: str
    artifact: Artifact
    model: Model | None


def _bring(
    context: Context, offered: Sequence[tuple[Source, str]], target: Target
) -> tuple[Installed, bool, tuple[Message, ...]]:
    """Try the sources in turn. Only a source that does not answer is passed over; a wrong byte is final."""
    wanted = _described(target)
    silent: list[Unreachable] = []
    for source, place in offered:
        try:
            installed, fresh = _bring_from(context, source, place, wanted)
        except Unreachable as error:
            silent.append(error)
            continue
        return installed, fresh, tuple(warning(error.message) for error in silent)
    if silent:
        raise Unreachable(" ".join(error.message for error in silent), hint=silent[0].hint)
    raise Unreachable(
        f"No source offers {wanted.id}.",
        hint="Connect to a hub or a mirror, or name a folder that holds the files with --from.",
    )


def _bring_from(context: Context, source: Source, place: str, wanted: _Wanted) -> tuple[Installed, bool]:
    with context.store.transaction(wanted.id, wanted.artifact.size_bytes, context.report) as transaction:
        if transaction.present is not None and _whole(context, transaction.present):
            return transaction.present, False
        files = source.fetch(wanted.artifact, transaction.staging, context.report)
        return _commit(transaction, files, wanted, place), True


def _commit(transaction: Transaction, files: tuple[Path, ...], wanted: _Wanted, place: str) -> Installed:
    pins = [
        Pin(name=file.name, size_bytes=file.size_bytes if file.size_exact else None, sha256=file.sha256)
        for file in wanted.artifact.files
    ]
    return transaction.commit(files, pins, inspect_parts, lambda contents: _description(wanted, place, contents))


def _description(wanted: _Wanted, place: str, contents: ModelFile) -> Description:
    template = contents.chat_template
    model_id, _, quant = wanted.id.partition(":")
    return Description(
        id=wanted.id,
        model_id=model_id,
        name=wanted.model.name if wanted.model else contents.name,
        quant=quant,
        publisher=wanted.artifact.publisher,
        architecture=contents.architecture,
        licence=wanted.model.licence.id if wanted.model else "unknown",
        source=place,
        chat_template_sha256=hashlib.sha256(template.encode()).hexdigest() if template else None,
    )


def _offered(context: Context, request: InstallRequest, target: Target) -> list[tuple[Source, str]]:
    """Sources that have the target, each with its name for people. A folder that was named is the only one."""
    if request.folder is not None:
        folder = Folder(Path(request.folder).expanduser())
        return [(folder, folder.name)]
    if isinstance(target, FileTarget):
        own = Folder(target.path)
        return [(own, own.name)]
    artifact = _described(target).artifact
    offers = [(source, source.offer(artifact)) for source in context.sources]
    return [(source, offer.source) for source, offer in offers if not isinstance(offer, NoOffer)]


def _described(target: Target) -> _Wanted:
    match target:
        case CatalogueTarget(model, artifact):
            return _Wanted(id=target.id, artifact=artifact, model=model)
        case FileTarget(path, contents):
            file = CataloguedFile(name=path.name, size_bytes=contents.file_bytes, size_exact=True)
            artifact = Artifact(quant=contents.quant, publisher="own file", files=(file,))
            return _Wanted(id=f"{_own_id(path)}:{contents.quant}", artifact=artifact, model=None)
        case InstalledTarget(installed, _):
            raise Unreachable(f"{installed.id} is installed already.")


def _own_id(path: Path) -> str:
    """An id made of a file's name: lower case, and only what the store takes."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in path.stem.lower())
    return kept.strip("._-") or "model"
