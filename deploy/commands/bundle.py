"""`landfast bundle`: put models, wheels, catalogue and licences into one signed folder, and look into one."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from deploy import __version__
from deploy.bundle import wheels as wheel_maker
from deploy.bundle.manifest import (
    CATALOGUE,
    INSTALLER,
    LICENCES,
    POLICY,
    WHEEL_LOCK,
    WHEELS,
    BundledFile,
    BundledModel,
    BundledProjector,
    Manifest,
    Target,
)
from deploy.bundle.reading import Bundle, PartVerdict, examine, read_bundle
from deploy.bundle.signing import signer, trust, verify
from deploy.bundle.writing import Contents, Item, write_bundle
from deploy.checksum import checksummed
from deploy.commands.context import Context
from deploy.commands.models import named
from deploy.commands.resolve import catalogued
from deploy.errors import ExitCode, IntegrityError, NotFound, PolicyRefused
from deploy.keys import fingerprint, signing_key
from deploy.policy.document import read_document
from deploy.results import Problem, Result, warning
from deploy.store.records import Description, Installed


class CreateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is to go into a bundle."""

    out: str
    models: tuple[str, ...] = ()
    """Installed models; none for all of them."""
    part_bytes: int
    wheels: bool = False
    policy: str | None = None
    """A policy file that is to hold for what is installed from the bundle."""


class CreateData(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle that was made."""

    path: str
    models: tuple[str, ...]
    wheels: int
    parts: int
    size_bytes: int
    key: str
    """Fingerprint of the key that signed it."""


class HeldModel(Description, frozen=True, kw_only=True):
    """One model of a bundle."""

    size_bytes: int
    projector: bool = False
    """Whether it comes with what it looks at images with."""


class InspectData(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle is said to hold, by whom, and whether it is there."""

    path: str
    made_by: str
    """Fingerprint of the key that signed it."""
    trusted: bool
    landfast: str
    models: tuple[HeldModel, ...]
    wheels: int
    target: Target | None
    policy: bool
    """Whether it brings rules for what is installed from it."""
    size_bytes: int
    hashed: bool
    """Whether every byte was looked at, or only names and lengths."""
    parts: tuple[PartVerdict, ...]


def create(context: Context, request: CreateRequest) -> Result[CreateData]:
    """Make a bundle of installed models.

    Raises NotFound, NotEnoughSpace, UsageError, IntegrityError, and PolicyRefused for a policy file that is not one.
    """
    records = _records(context, request.models, empty_ok=request.wheels)
    key = signing_key(context.paths)
    with tempfile.TemporaryDirectory(prefix="landfast-bundle-") as scratch:
        items = [item for record in records for item in _model_items(context, record)]
        items += (*_papers(context, records, Path(scratch)), *_policy_item(request.policy))
        target = None
        if request.wheels:
            items += _wheel_items(context, Path(scratch))
            target = wheel_maker.target()
        contents = Contents(
            landfast=__version__,
            items=tuple({item.path: item for item in items}.values()),
            models=tuple(_bundled(record) for record in records),
            target=target,
        )
        out = Path(request.out).expanduser().absolute()
        manifest = write_bundle(out, contents, request.part_bytes, key, context.report)
    trust(context.paths, key.public_key())
    return Result(command="bundle create", changed=True, data=_created(out, manifest, fingerprint(key.public_key())))


def inspect(context: Context, place: str, *, full: bool = False) -> Result[InspectData]:
    """Look into a bundle, whoever signed it; with `full` hash every part. Raises IntegrityError, NotFound."""
    root = Path(place).expanduser()
    if not root.is_dir():
        raise NotFound(f"There is no folder {root}.", hint="Check the path, and that the disk or stick is connected.")
    bundle = read_bundle(root)
    distrust = _distrust(context, bundle)
    parts = examine(bundle, context.report, full=full)
    altered = [part for part in parts if part.verdict == "altered"]
    missing = [part for part in parts if part.verdict == "missing"]
    return Result(
        command="bundle inspect",
        status="partial" if altered else "success",
        data=_inspected(bundle, parts, trusted=not distrust, hashed=full),
        messages=(
            *(warning(error.message + " " + error.hint) for error in distrust),
            *(warning(f"Not on this medium: {len(missing)} of {len(parts)} parts.") for _ in missing[:1]),
        ),
        errors=tuple(
            Problem(IntegrityError.code, part.sentence, "Copy this part again from where the bundle was made.")
            for part in altered
        ),
        exit_code=ExitCode.INTEGRITY if altered else ExitCode.DONE,
    )


def _records(context: Context, names: Sequence[str], *, empty_ok: bool) -> tuple[Installed, ...]:
    """The models that were named, or all. Raises NotFound."""
    if names:
        return tuple({record.id: record for record in (named(context, name) for name in names)}.values())
    records = context.store.installed()
    if not records and not empty_ok:
        raise NotFound("No model is installed.", hint="Install the models that the bundle is to hold first.")
    return records


def _model_items(context: Context, record: Installed) -> tuple[Item, ...]:
    """The model's files and its projector, under names that every file system takes."""
    paths = context.store.open_files(record, context.report)
    projector = context.store.open_projector(record, context.report)
    paths = paths if projector is None else (*paths, projector)
    folder = f"models/{record.id.replace(':', '@')}"
    names = [_safe(file.name) for file in record.all_files]
    if len(set(names)) < len(names):
        names = [f"{number}-{name}" for number, name in enumerate(names, 1)]
    return tuple(
        Item(f"{folder}/{name}", path, file.sha256)
        for name, path, file in zip(names, paths, record.all_files, strict=True)
    )


def _papers(context: Context, records: Sequence[Installed], scratch: Path) -> tuple[Item, ...]:
    """The catalogue, and what is known of the licences, for people to read."""
    catalogue, licences = scratch / CATALOGUE, scratch / LICENCES
    catalogue.write_bytes(checksummed(msgspec.json.encode(context.catalog())))
    licences.write_text("\n\n".join(_licence(context, record) for record in records) + "\n", encoding="utf-8")
    return Item(CATALOGUE, catalogue), Item(LICENCES, licences)


def _policy_item(policy: str | None) -> tuple[Item, ...]:
    """The policy file, read through once: no host could use a bundle with a broken one."""
    if policy is None:
        return ()
    path = Path(policy).expanduser()
    read_document(path)
    return (Item(POLICY, path),)


def _wheel_items(context: Context, scratch: Path) -> tuple[Item, ...]:
    checkout = Path(__file__).resolve().parents[2]
    wheels = wheel_maker.collect(checkout, context.paths.state / "wheels", os.environ, context.report)
    lock = scratch / "requirements.lock"
    lock.write_bytes(wheel_maker.lock_of(wheels))
    return (
        *(Item(f"{WHEELS}/{wheel.name}", wheel) for wheel in wheels),
        Item(WHEEL_LOCK, lock),
        Item(INSTALLER, checkout / "scripts" / INSTALLER),
    )


def _licence(context: Context, record: Installed) -> str:
    """A paragraph on one model's licence."""
    lines = [f"{record.name} {record.quant} ({record.id})", f"  licence: {record.licence}"]
    entry = catalogued(context, record)
    if entry is not None:
        model, _ = entry
        lines.append(f"  made by: {model.publisher} ({model.country}); files by {record.publisher}")
        if record.projector is not None:
            lines.append(f"  projector {record.projector.name} by {record.projector.publisher}, under the same licence")
        if model.licence.restrictions:
            lines.append(f"  restrictions: {model.licence.restrictions}")
        lines += [f"  see: {source}" for source in model.sources]
    return "\n".join(lines)


def _bundled(record: Installed) -> BundledModel:
    kept = record.projector
    eyes = None if kept is None else BundledProjector(name=kept.name, sha256=kept.sha256, publisher=kept.publisher)
    return BundledModel(
        **_description(record),
        files=tuple(BundledFile(name=file.name, sha256=file.sha256) for file in record.files),
        projector=eyes,
    )


def _description(described: Description) -> dict[str, str]:
    return {name: getattr(described, name) for name in Description.__struct_fields__}


def _created(out: Path, manifest: Manifest, key: str) -> CreateData:
    return CreateData(
        path=str(out),
        models=tuple(model.id for model in manifest.models),
        wheels=_wheel_count(manifest),
        parts=sum(1 for _ in manifest.parts),
        size_bytes=manifest.size_bytes,
        key=key,
    )


def _inspected(bundle: Bundle, parts: tuple[PartVerdict, ...], *, trusted: bool, hashed: bool) -> InspectData:
    manifest = bundle.manifest
    return InspectData(
        path=str(bundle.root),
        made_by=signer(bundle.signature),
        trusted=trusted,
        landfast=manifest.landfast,
        models=tuple(
            HeldModel(
                **_description(model),
                size_bytes=sum(manifest.entry_of(file.sha256).size_bytes for file in model.all_files),
                projector=model.projector is not None,
            )
            for model in manifest.models
        ),
        wheels=_wheel_count(manifest),
        target=manifest.target,
        policy=manifest.entry_at(POLICY) is not None,
        size_bytes=manifest.size_bytes,
        hashed=hashed,
        parts=parts,
    )


def _distrust(context: Context, bundle: Bundle) -> tuple[PolicyRefused, ...]:
    """Why nothing would be installed from it now; nothing for a bundle of a trusted key.

    Raises IntegrityError where the signature is wrong, whoever's it is.
    """
    try:
        verify(bundle.raw, bundle.signature, context.paths)
    except PolicyRefused as error:
        return (error,)
    return ()


def _wheel_count(manifest: Manifest) -> int:
    return sum(entry.path.endswith(".whl") for entry in manifest.entries)


def _safe(name: str) -> str:
    """A file name that fits the manifest's rule for paths."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._+@-") else "-" for c in Path(name).name)
    return kept.lstrip("._+@-") or "model.gguf"
