"""`landfast models adopt`: take in models that other programs have already brought to this machine."""

import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Literal

import msgspec

from deploy.catalog.model import Artifact, CataloguedFile, Model
from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from deploy.errors import ExitCode, LandfastError, NotFound, UsageError
from deploy.fit.fit import Workload
from deploy.results import Problem, Result, warning
from deploy.sources.adopted import Adopted, Held
from deploy.sources.base import Report
from deploy.sources.local_files import LocalFile, Place, find, places
from deploy.store.files import sha256_of
from deploy.store.hashing import side_by_side
from deploy.store.records import Installed
from deploy.store.stores import ids_of_host

Had = Literal["nothing", "no projector", "all"]
"""What is installed of a model."""


class Adoptable(msgspec.Struct, frozen=True, kw_only=True):
    """A model of the catalogue whose every file is on this machine, hash for hash."""

    id: str
    name: str
    size_bytes: int
    installed: bool
    """With its projector, where that is here."""
    lacks_projector: bool = False
    """It is installed, and its projector alone is to be taken in."""
    files: tuple[LocalFile, ...]
    projector: LocalFile | None = None
    """What lets it look at images, where that is here too."""
    hashes: tuple[str, ...]
    """SHA-256 of its files, and last of its projector."""

    @property
    def all_files(self) -> tuple[LocalFile, ...]:
        """The model's, and its projector's."""
        return self.files if self.projector is None else (*self.files, self.projector)


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
    used = {file.path for model in found for file in model.all_files}
    names = _names(context)
    others = tuple(Unmatched(file=file, reason=_reason(file, names)) for file in files if file.path not in used)
    return Result(command="models adopt", data=AdoptData(found=found, others=others))


def adopt(context: Context, found: AdoptData, *, link: bool = False) -> Result[AdoptData]:
    """Take in what `look` has found. One that cannot be taken in does not keep the others out.

    Raises UsageError where a host's store is to share a file with one user's program.
    """
    if link and context.paths.shared:
        raise UsageError(
            "What the whole host uses cannot be a file that another program may change.", hint="Leave out --link."
        )
    adopted: list[str] = []
    failures: list[tuple[str, LandfastError]] = []
    for model in found.found:
        if model.installed:
            continue
        try:
            _take(context, model, link=link)
        except LandfastError as error:
            failures.append((model.id, error))
        else:
            adopted.append(model.id)
    done = msgspec.structs.replace(found, adopted=tuple(adopted))
    return _result(done, failures, shared=link and bool(adopted))


def _result(done: AdoptData, failures: list[tuple[str, LandfastError]], *, shared: bool) -> Result[AdoptData]:
    notes = (warning("The files are shared with the other program: what changes one changes both."),)
    return Result(
        command="models adopt",
        status=("partial" if done.adopted else "error") if failures else "success",
        changed=bool(done.adopted),
        data=done,
        messages=notes if shared else (),
        errors=tuple(
            Problem(error.code, f"{model_id} was not adopted: {error.message}", error.hint)
            for model_id, error in failures
        ),
        exit_code=int(failures[0][1].exit_code) if failures else ExitCode.DONE,
    )


def _take(context: Context, model: Adoptable, *, link: bool) -> None:
    """Install one model, with its projector where that is here."""
    held = [Held(Path(file.path), sha256) for file, sha256 in zip(model.all_files, model.hashes, strict=True)]
    source = Adopted(model.files[0].program, held, link=link)
    workload = Workload(purpose="vision") if model.projector else Workload()
    install(replace(context, sources=(source,)), InstallRequest(model=model.id, workload=workload))


def _where(folder: str | None) -> tuple[Place, ...]:
    if folder is not None:
        path = Path(folder).expanduser()
        if path.is_file():
            raise UsageError(
                f"{folder} is a file, not a folder.", hint=f"Install it by its path: `landfast install {folder}`."
            )
        if not path.is_dir():
            raise NotFound(f"There is no folder {folder}.", hint="Check the path, and that the disk is connected.")
        return (Place("folder", path),)
    try:
        home = Path.home()
    except RuntimeError:  # a user without a home has nothing there
        home = Path("~")
    return places(os.environ, home)


def _catalogued(context: Context) -> dict[int, list[tuple[Model, Artifact, CataloguedFile]]]:
    """Every file of known size and hash, by its size."""
    known: dict[int, list[tuple[Model, Artifact, CataloguedFile]]] = defaultdict(list)
    for model in context.catalog().models:
        for artifact in (*model.artifacts, *model.projectors):
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
    installed = {record.id: record for record in context.store.installed()}
    foreign = ids_of_host(context.store)
    return [
        _one(model, artifact, hashes, _had(f"{model.id}:{artifact.quant}", installed, foreign))
        for model in context.catalog().models
        for artifact in model.artifacts
        if all(file.sha256 in hashes for file in artifact.files)
    ]


def _had(model_id: str, installed: dict[str, Installed], foreign: tuple[str, ...]) -> Had:
    """How much of a model is installed. What is the host's is not a user's to add to."""
    record = installed.get(model_id)
    if record is None:
        return "nothing"
    return "all" if record.projector is not None or model_id in foreign else "no projector"


def _one(model: Model, artifact: Artifact, hashes: dict[str, LocalFile], had: Had) -> Adoptable:
    """A model that is here, with the first of its projectors that is here too."""
    own = tuple(file.sha256 for file in artifact.files if file.sha256)
    known = (file.sha256 for projector in model.projectors for file in projector.files if file.sha256 in hashes)
    beside = next(known, None)
    return Adoptable(
        id=f"{model.id}:{artifact.quant}",
        name=f"{model.name} {artifact.quant}",
        size_bytes=artifact.size_bytes,
        installed=had == "all" or (had == "no projector" and beside is None),
        lacks_projector=had == "no projector" and beside is not None,
        files=tuple(hashes[sha256] for sha256 in own),
        projector=None if beside is None else hashes[beside],
        hashes=own if beside is None else (*own, beside),
    )


def _names(context: Context) -> frozenset[str]:
    """What the files of all known models are called."""
    return frozenset(
        file.name
        for model in context.catalog().models
        for form in (*model.artifacts, *model.projectors)
        for file in form.files
    )


def _reason(file: LocalFile, names: frozenset[str]) -> str:
    """Why a file is not one of the catalogue's, whose files have these names."""
    if Path(file.label).name in names:
        return "the catalogue knows the name but not these bytes"
    return "the catalogue does not know it"
