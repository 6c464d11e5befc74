"""The world as a site file wants it: its policy, its sources in their order, its trusted keys."""

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from deploy.bundle.reading import Bundle, is_bundle, open_bundle, read_bundle
from deploy.bundle.signing import signer, verify_with
from deploy.bundle.source import BundleSource
from deploy.catalog.model import Artifact, Catalog, Model
from deploy.commands.context import Context
from deploy.commands.places import bundle_of, source_at, with_bundle
from deploy.commands.sources import admitted_sources, place_of
from deploy.errors import IntegrityError, LandfastError, NotFound, PolicyRefused
from deploy.keys import fingerprint, load_public_key
from deploy.paths import SCOPE, SYSTEM_ROOT, Paths, current, resolve
from deploy.policy.document import parse
from deploy.policy.policy import FILE_NAME, Policy
from deploy.provision.lock import Lock, PinnedModel
from deploy.provision.receipt import read_receipt
from deploy.provision.site_file import SiteFile, read_site
from deploy.sources.all import default_sources
from deploy.sources.base import Source

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


@dataclass(frozen=True)
class World:
    """What the steps work with. Sources are opened when they are first needed: a stick may be absent until then."""

    context: Context
    """With the wanted policy and without sources."""
    file: SiteFile
    offered: tuple[Source, ...]
    """What is asked where the site file names no places."""
    policy_path: Path
    keys: "tuple[Ed25519PublicKey, ...]"
    """Keys whose bundles are to be taken in."""

    @cached_property
    def sourced(self) -> Context:
        """With the sources that the site file names and its policy admits, and the rules that a bundle brings.

        Raises NotFound for a place that is not there, IntegrityError and PolicyRefused for a bad bundle.
        """
        kinds = self.file.site.sources.kinds
        wanted = [source for kind in kinds for source in self._of_kind(kind)] if kinds else self.offered
        sources, barred = admitted_sources(self.context.policy, tuple(wanted))
        context = replace(self.context, sources=sources, barred=(*self.context.barred, *barred))
        bundle = bundle_of(context)
        return context if bundle is None else with_bundle(context, bundle)

    @property
    def bundle(self) -> BundleSource | None:
        """The bundle, where the site file names one."""
        return bundle_of(self.sourced)

    @cached_property
    def retired(self) -> tuple[str, ...]:
        """Fingerprints of keys that the file listed at an earlier `apply` and lists no longer."""
        return tuple(key for key in read_receipt(self.context).keys if key not in self.fingerprints)

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Of the keys that the file lists."""
        return tuple(map(fingerprint, self.keys))

    def pinned(self, lock: Lock, context: Context) -> Context:
        """A context whose catalogue promises what the lock file promises. Raises IntegrityError where they differ."""
        by_id = {pinned.id: pinned for pinned in lock.models}
        return replace(context, catalog=lambda: _promising(context.catalog(), by_id))

    def _of_kind(self, kind: str) -> tuple[Source, ...]:
        named: str | None = getattr(self.file.site.sources, kind, None)
        if named is None:
            return tuple(source for source in self.offered if place_of(source).kind == kind)
        if kind == "mirror":
            return (source_at(self.context, named),)
        place = self.file.beside(named)
        if kind == "bundle":
            return (self._bundle(place),)
        return (source_at(self.context, str(place)),)

    def _bundle(self, place: Path) -> Source:
        """A bundle that a key signed which is trusted here, or will be."""
        if not is_bundle(place):
            raise NotFound(
                f"There is no bundle in {place}.", hint="Check the path, and that the disk or stick is connected."
            )
        try:
            bundle = open_bundle(place, self.context.paths)
        except PolicyRefused:
            bundle = read_bundle(place)
            self._require_listed(bundle)
            key = next((key for key in self.keys if fingerprint(key) == signer(bundle.signature)), None)
            if key is None:
                raise
            verify_with(bundle.raw, bundle.signature, key)
        self._require_listed(bundle)
        return BundleSource(bundle)

    def _require_listed(self, bundle: Bundle) -> None:
        if signer(bundle.signature) in self.retired:
            raise PolicyRefused(
                f"The bundle is signed by a key that the site file no longer lists: {signer(bundle.signature)}.",
                hint="Have the bundle made with a key of [sources] trusted_keys, or list its key there again.",
            )


def wanted_world(context: Context, file: SiteFile) -> World:
    """The world as the site file wants it. Creates nothing.

    Raises NotFound, IntegrityError, PolicyRefused, and UsageError where there is no store of a whole host.
    """
    context = replace(context, paths=_paths_of(file, context.paths))
    path = context.paths.config / FILE_NAME
    return World(
        context=replace(context, sources=(), barred=(), policy=_policy(context.policy, file, path)),
        file=file,
        # What the policy of now keeps away, the wanted one may admit; it judges again.
        offered=default_sources(os.environ) if context.barred else context.sources,
        policy_path=path,
        keys=tuple(load_public_key(file.beside(name)) for name in file.site.sources.trusted_keys),
    )


def replaced_policy(site: str) -> Path | None:
    """The policy file that a site file writes anew, so that one that is broken does not stand in its own way."""
    try:
        file = read_site(Path(site))
        return None if file.policy is None else _paths_of(file, current()).config / FILE_NAME
    except LandfastError:  # told when the file is carried out
        return None


def _paths_of(file: SiteFile, own: Paths) -> Paths:
    if file.site.store.scope != "system":
        return own
    return resolve({SCOPE: "system", SYSTEM_ROOT: os.environ.get(SYSTEM_ROOT, "")})


def _policy(now: Policy, file: SiteFile, path: Path) -> Policy:
    """The files in force, with the wanted one in its place."""
    if file.policy is None:
        return now
    others = tuple(document for document in now.documents if Path(document.file) != path)
    return Policy((parse(file.policy.decode(), path), *others))


def _promising(catalog: Catalog, pins: dict[str, PinnedModel]) -> Catalog:
    models = []
    for model in catalog.models:
        forms = tuple(_with_hashes(form, pins.get(f"{model.id}:{form.quant}")) for form in model.artifacts)
        eyes = tuple(_with_promised_eye(model, eye, pins) for eye in model.projectors)
        same = forms == model.artifacts and eyes == model.projectors
        models.append(model if same else msgspec.structs.replace(model, artifacts=forms, projectors=eyes))
    return msgspec.structs.replace(catalog, models=tuple(models))


def _with_promised_eye(model: Model, eye: Artifact, pins: dict[str, PinnedModel]) -> Artifact:
    """A projector with the hash that the lock file promises of it: all forms of the model share it."""
    of_model = (pins[name] for form in model.artifacts if (name := f"{model.id}:{form.quant}") in pins)
    return _with_hashes(eye, next((pinned for pinned in of_model if pinned.projector is not None), None))


def _with_hashes(form: Artifact, pinned: PinnedModel | None) -> Artifact:
    if pinned is None:
        return form
    promised = {file.name: file.sha256 for file in pinned.all_files}
    files = []
    for file in form.files:
        own = promised.get(file.name)
        if own is not None and file.sha256 is not None and own != file.sha256:
            raise IntegrityError(
                f"The lock file and the catalogue of this host promise different bytes for {file.name} of {pinned.id}.",
                hint="Update the catalogue here, or choose again where the lock file was made.",
            )
        files.append(file if own is None else msgspec.structs.replace(file, sha256=own))
    return msgspec.structs.replace(form, files=tuple(files))
