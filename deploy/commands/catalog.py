"""`landfast catalog`: what is known of models, and bringing in a newer list of them."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from deploy.bundle.signing import trusted_keys
from deploy.catalog.loader import load, load_intact
from deploy.catalog.model import Capabilities, Catalog, LeftOut, Model, Openness, Score, ScoreSource
from deploy.catalog.search import search
from deploy.catalog.signature import ENDING, KEY_ENDING, claimed_signer, require_signed
from deploy.commands.admission import forbidden
from deploy.commands.context import Context
from deploy.errors import IntegrityError, PolicyRefused
from deploy.keys import fingerprint, load_public_key, public_key_pem
from deploy.results import Result, info, warning
from deploy.store.files import disk_errors, write_durably

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


ANOTHER: Final = "Nothing was changed. Copy or fetch the file again."


class CatalogFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for; empty for everything."""

    words: tuple[str, ...] = ()
    """All must occur in id, name, family or publisher."""
    family: str | None = None
    publisher: str | None = None
    licence: str | None = None


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One model, without its files."""

    id: str
    name: str
    family: str
    publisher: str
    country: str
    licence: str
    restrictions: str | None
    openness: Openness
    release_date: str | None
    parameters_total: int
    parameters_active: int
    context_tokens: int
    capabilities: Capabilities
    languages: tuple[str, ...] | None
    quants: tuple[str, ...]
    projectors: tuple[str, ...] = ()
    """Forms of what it looks at images with, the one to take first."""
    smallest_bytes: int
    scores: tuple[Score, ...]
    """Public benchmark scores; empty where no source with open terms has any."""
    forbidden: str | None
    """Why the policy forbids every form of it; None where it does not."""


class CatalogData(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    dated: str
    engine: str
    models: tuple[Listed, ...]
    left_out: tuple[LeftOut, ...]
    """Known models that cannot be installed, and why."""
    score_sources: tuple[ScoreSource, ...] = ()
    """Whose the scores are, named as their licences ask."""


class UpdateData(msgspec.Struct, frozen=True, kw_only=True):
    """The catalogue in force after an update."""

    dated: str
    before: str
    models: int
    added: tuple[str, ...]
    gone: tuple[str, ...]
    signed_by: str | None
    """Fingerprint of the key whose signature was checked; None where none was."""


def find(context: Context, wanted: CatalogFilter) -> Result[CatalogData]:
    """Search the catalogue. What is known and cannot be installed is listed with its reason."""
    catalog = context.catalog()
    models = tuple(model for model in search(catalog, *wanted.words) if _matches(model, wanted))
    filtered = any((wanted.family, wanted.publisher, wanted.licence))
    left_out = () if filtered else tuple(entry for entry in catalog.left_out if _names(entry, wanted.words))
    data = CatalogData(
        dated=catalog.dated,
        engine=catalog.engine,
        models=tuple(_listed(context, model) for model in models),
        left_out=left_out,
        score_sources=catalog.score_sources,
    )
    return Result(command="catalog search", data=data)


def update(context: Context, file: str, key: str | None) -> Result[UpdateData]:
    """Put a newer catalogue in force. With a key, only one that its owner signed.

    Without, a signature that lies beside it is checked with the keys that are trusted here. Raises NotFound,
    NotWritable, PolicyRefused for one that nobody signed whom the policy asks for, or IntegrityError for one that is
    damaged, older, made for another engine or signed otherwise.
    """
    path, before = Path(file).expanduser(), _before(context)
    found = load_intact(path, ANOTHER)
    raw = path.read_bytes()
    public = _signer(context, raw, path, key)
    signer = None if public is None else fingerprint(public)
    refusal = context.policy.refusal_of_catalogue(signer)
    if refusal is not None:
        raise refusal.error(str(path))
    _require_successor(found, before, path)
    changed = found != before
    if changed:
        _write(raw, context.paths.catalogue)
    if changed or public is not None:
        _keep_signature(raw, path, public, context.paths.catalogue)
    unsigned = warning("Who made this catalogue was not checked; its hash only shows that it is undamaged.")
    said = (*(() if signer else (unsigned,)), *(() if changed else (info("It is in force already."),)))
    return Result(command="catalog update", changed=changed, data=_compared(found, before, signer), messages=said)


def _compared(found: Catalog, before: Catalog, signer: str | None) -> UpdateData:
    """What is in the catalogue that was not in the one before it, and the other way round."""
    ids, had = {model.id for model in found.models}, {model.id for model in before.models}
    return UpdateData(
        dated=found.dated,
        before=before.dated,
        models=len(ids),
        added=tuple(sorted(ids - had)),
        gone=tuple(sorted(had - ids)),
        signed_by=signer,
    )


def _before(context: Context) -> Catalog:
    """What is in force; the shipped one where that may not be or is damaged, which an update is the cure for."""
    try:
        return context.catalog()
    except (PolicyRefused, IntegrityError):
        return load()


def _signer(context: Context, raw: bytes, path: Path, key: str | None) -> "Ed25519PublicKey | None":
    """The key that signed the catalogue: the one that was named, or else a trusted one; None where nobody is known."""
    if key is not None:
        public = load_public_key(Path(key).expanduser())
        require_signed(raw, path, public)
        return public
    claimed = claimed_signer(path)
    places = (context.paths, *((context.paths.host,) if context.paths.host else ()))
    trusted = {known.fingerprint: known.path for place in places for known in trusted_keys(place)}
    if claimed is None or claimed not in trusted:
        return None
    public = load_public_key(Path(trusted[claimed]))
    require_signed(raw, path, public)
    return public


def _keep_signature(raw: bytes, path: Path, public: "Ed25519PublicKey | None", place: Path) -> None:
    """Keep the signature and its key beside the catalogue in force, for a policy that asks at every start."""
    signature, key = (place.with_name(place.name + ending) for ending in (ENDING, KEY_ENDING))
    if public is None:
        signature.unlink(missing_ok=True)
        key.unlink(missing_ok=True)
    elif place.exists() and place.read_bytes() == raw:
        _write(path.with_name(path.name + ENDING).read_bytes(), signature)
        _write(public_key_pem(public), key)


def _require_successor(found: Catalog, before: Catalog, path: Path) -> None:
    if found.dated < before.dated:
        raise IntegrityError(
            f"{path} is of {found.dated}, older than the catalogue in force, which is of {before.dated}.",
            hint="Fetch a newer one; an older one could bring back files that were withdrawn.",
        )
    if found.engine != before.engine:
        raise IntegrityError(
            f"The memory figures of {path} are of {found.engine}; this Landfast has {before.engine}.",
            hint="Use the catalogue that belongs to this version of Landfast.",
        )


def _write(raw: bytes, place: Path) -> None:
    with disk_errors(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        write_durably(place, raw)


def _matches(model: Model, wanted: CatalogFilter) -> bool:
    pairs = ((wanted.family, model.family), (wanted.publisher, model.publisher), (wanted.licence, model.licence.id))
    return all(word is None or word.lower() in value.lower() for word, value in pairs)


def _names(entry: LeftOut, words: Iterable[str]) -> bool:
    text = f"{entry.id}\n{entry.name}".lower()
    return all(word.lower() in text for word in words)


def _listed(context: Context, model: Model) -> Listed:
    reasons = [forbidden(context.policy)(model, artifact) for artifact in model.artifacts]
    return Listed(
        id=model.id,
        name=model.name,
        family=model.family,
        publisher=model.publisher,
        country=model.country,
        licence=model.licence.id,
        restrictions=model.licence.restrictions,
        openness=model.openness,
        release_date=model.release_date,
        parameters_total=model.parameters_total,
        parameters_active=model.parameters_active,
        context_tokens=model.context_tokens,
        capabilities=model.capabilities,
        languages=model.languages,
        quants=tuple(artifact.quant for artifact in model.artifacts),
        projectors=tuple(one.quant for one in model.projectors),
        smallest_bytes=min(artifact.size_bytes for artifact in model.artifacts),
        scores=model.scores,
        forbidden=reasons[0] if all(reasons) else None,
    )
