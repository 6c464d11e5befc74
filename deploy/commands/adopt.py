"""`landfast models adopt`: take in models that other programs have already brought to this machine."""

import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import msgspec

from deploy.catalog.model import Artifact, CataloguedFile, Model
from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from deploy.errors import ExitCode, LandfastError, UsageError
from deploy.results import Problem, Result, warning
from deploy.sources.adopted import Adopted
from deploy.sources.base import Report
from deploy.sources.local_files import LocalFile, Place, find, places
from deploy.store.files import sha256_of
from deploy.store.hashing import side_by_side


class Adoptable(msgspec.Struct, frozen=True, kw_only=True):
    """A model of the catalogue whose every file is on this machine, hash for hash."""

    id: str
    name: str
    size_bytes: int
    installed: bool
    files: tuple[LocalFile, ...]


class Unmatched(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is not taken in, and why."""

    file: LocalFile
    reason: str


class AdoptData(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, and what was taken in."""

    found: tuple[Adoptable, ...]
    others: tuple[Unmatched, ...]
    adopted: tuple[str, ...] = ()


def look(context: Context, folder: str | None) -> Result[AdoptData]:
    """Find GGUF files, in the folder or where known programs keep them, and match them. Changes nothing."""
    files = find(_where(folder))
    hashes = _hashes(context, files)
    found = tuple(_adoptable(context, hashes))
    used = {file.path for model in found for file in model.files}
    others = tuple(Unmatched(file=file, reason=_reason(context, file)) for file in files if file.path not in used)
    return Result(command="models adopt", data=AdoptData(found=found, others=others))


def adopt(context: Context, found: AdoptData, *, link: bool = False) -> Result[AdoptData]:
    """Take in what `look` has found. One that cannot be taken in does not keep the others out.

    Raises UsageError where a host's store is to share a file with one user's program.
    """
    if link and context.paths.shared:
        raise UsageError(
            "What the whole host uses cannot be a file that another program may change.", hint="Leave --link out."
        )
    adopted: list[str] = []
    failures: list[tuple[str, LandfastError]] = []
    for model in found.found:
        if model.installed:
            continue
        program = model.files[0].program
        source = Adopted(program, [Path(file.path) for file in model.files], link=link)
        try:
            install(replace(context, sources=(source,)), InstallRequest(model=model.id))
        except LandfastError as error:
            failures.append((model.id, error))
        else:
            adopted.append(model.id)
    return Result(
        command="models adopt",
        status=("partial" if adopted else "error") if failures else "success",
        changed=bool(adopted),
        data=msgspec.structs.replace(found, adopted=tuple(adopted)),
        messages=(warning("The files are shared with the other program: what changes one changes both."),)
        if link and adopted
        else (),
        errors=tuple(
            Problem(error.code, f"{model_id} was not adopted: {error.message}", error.hint)
            for model_id, error in failures
        ),
        exit_code=int(failures[0][1].exit_code) if failures else ExitCode.DONE,
    )


def _where(folder: str | None) -> tuple[Place, ...]:
    if folder is not None:
        return (Place("folder", Path(folder).expanduser()),)
    try:
        home = Path.home()
    except RuntimeError:  # a user without a home has nothing there
        home = Path("~")
    return places(os.environ, home)


def _catalogued(context: Context) -> dict[int, list[tuple[Model, Artifact, CataloguedFile]]]:
    """Every file of known size and hash, by its size."""
    known: dict[int, list[tuple[Model, Artifact, CataloguedFile]]] = defaultdict(list)
    for model in context.catalog().models:
        for artifact in model.artifacts:
            for file in artifact.files:
                if file.size_exact and file.sha256:
                    known[file.size_bytes].append((model, artifact, file))
    return known


def _hashes(context: Context, files: tuple[LocalFile, ...]) -> dict[str, LocalFile]:
    """The files that may be of the catalogue, by SHA-256. Only those of a known size are read at all."""
    known = _catalogued(context)
    promising = tuple(file for file in files if _may_be(file, known.get(file.size_bytes, [])))
    digests = side_by_side(
        promising, _digest, lambda file: file.size_bytes, context.report, f"hash {len(promising)} files"
    )
    return {digest: file for digest, file in zip(digests, promising, strict=True) if digest is not None}


def _may_be(file: LocalFile, candidates: list[tuple[Model, Artifact, CataloguedFile]]) -> bool:
    hashes = {candidate.sha256 for _, _, candidate in candidates}
    return bool(hashes) and (file.claimed_sha256 is None or file.claimed_sha256 in hashes)


def _digest(file: LocalFile, report: Report) -> str | None:
    """A file's SHA-256; None for one that cannot be read."""
    try:
        return sha256_of(Path(file.path), f"hash {file.label}", report)[0]
    except OSError:
        return None


def _adoptable(context: Context, hashes: dict[str, LocalFile]) -> list[Adoptable]:
    installed = {record.id for record in context.store.installed()}
    return [
        Adoptable(
            id=f"{model.id}:{artifact.quant}",
            name=f"{model.name} {artifact.quant}",
            size_bytes=artifact.size_bytes,
            installed=f"{model.id}:{artifact.quant}" in installed,
            files=tuple(hashes[file.sha256] for file in artifact.files if file.sha256),
        )
        for model in context.catalog().models
        for artifact in model.artifacts
        if all(file.sha256 in hashes for file in artifact.files)
    ]


def _reason(context: Context, file: LocalFile) -> str:
    """Why a file is not one of the catalogue's."""
    names = {Path(known.name).name for m in context.catalog().models for a in m.artifacts for known in a.files}
    if Path(file.label).name in names:
        return "the catalogue knows the name but not these bytes"
    return "the catalogue does not know it"
