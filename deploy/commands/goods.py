"""What an install is to bring: a model as catalogue, bundle, file or an earlier install know it, and its files."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from deploy.bundle.manifest import BundledModel
from deploy.bundle.source import BundleSource
from deploy.catalog.model import Artifact, CataloguedFile, Model
from deploy.commands.targets import CatalogueTarget, FileTarget, InstalledTarget, Target
from deploy.gguf.check import ModelFile
from deploy.paths import plain_name
from deploy.store.records import Description, Installed, Pinned, Promise


@dataclass(frozen=True, slots=True)
class BundledTarget:
    """A model that a bundle brings and the catalogue does not know."""

    model: BundledModel
    artifact: Artifact


Goal = Target | BundledTarget


class Goods(msgspec.Struct, frozen=True, kw_only=True):
    """What goes into the store, wherever it comes from."""

    id: str
    artifact: Artifact
    model: Model | None = None
    known: Description | None = None
    """What an earlier install or a bundle says of a model that the catalogue does not know."""
    pinned: tuple[Pinned, ...] = ()
    """For each file, who promised its hash; empty where it was the catalogue."""
    own: Path | None = None
    """The file that the user named; None where it comes from elsewhere."""
    promise: Promise | None = None
    beside_bytes: int = 0
    """What is to come after it."""

    @property
    def promisers(self) -> tuple[Pinned, ...]:
        """For each file, who promised its hash."""
        everyone: Pinned = "catalogue"
        return self.pinned or (everyone,) * len(self.artifact.files)

    def description(self, place: str, contents: ModelFile) -> Description:
        """What is written down of it, from where it came and what its files say."""
        template = contents.chat_template
        model_id, _, quant = self.id.partition(":")
        if self.known is not None:
            same = {name: getattr(self.known, name) for name in Description.__struct_fields__}
            return Description(**{**same, "source": place})
        return Description(
            id=self.id,
            model_id=model_id,
            name=self.model.name if self.model else contents.name,
            quant=quant,
            publisher=self.artifact.publisher,
            architecture=contents.architecture,
            licence=self.model.licence.id if self.model else "unknown",
            source=place,
            chat_template_sha256=hashlib.sha256(template.encode()).hexdigest() if template else None,
        )


def goods_of(target: Goal) -> Goods:
    """What a target is made of."""
    match target:
        case CatalogueTarget(model, artifact):
            return Goods(id=target.id, artifact=artifact, model=model)
        case FileTarget(path, contents):
            file = CataloguedFile(name=path.name, size_bytes=contents.file_bytes, size_exact=True)
            artifact = Artifact(quant=contents.quant, publisher="own file", files=(file,))
            return Goods(id=f"{_own_id(path)}:{contents.quant}", artifact=artifact, own=path)
        case BundledTarget(bundled, artifact):
            signer: Pinned = "bundle"
            return Goods(id=bundled.id, artifact=artifact, known=bundled, pinned=(signer,) * len(artifact.files))
        case InstalledTarget(installed, _):
            return _recorded(installed)


def is_outdated(target: InstalledTarget) -> bool:
    """Whether the catalogue promises other bytes by now than those that are installed."""
    if target.catalogued is None:
        return False
    promised_hashes = tuple(file.sha256 for file in target.catalogued[1].files)
    return None not in promised_hashes and promised_hashes != target.installed.hashes


def other_version(target: InstalledTarget, bundle: BundleSource | None) -> Goal | None:
    """What a bundle holds under the name of an installed model, where that is another version of it.

    Where the catalogue promises the bytes, nobody else's word for them counts.
    """
    own = None if bundle is None else bundle.own(target.installed.id)
    if own is None or (target.catalogued is not None and target.catalogued[1].pinned):
        return None
    if tuple(file.sha256 for file in own[1].files) == target.installed.hashes:
        return None
    return BundledTarget(*own) if target.catalogued is None else CatalogueTarget(*target.catalogued)


def _recorded(installed: Installed) -> Goods:
    """A model as its lock file knows it."""
    files = tuple(
        CataloguedFile(name=file.name, size_bytes=file.size_bytes, size_exact=True, sha256=file.sha256)
        for file in installed.files
    )
    return Goods(
        id=installed.id,
        artifact=Artifact(quant=installed.quant, publisher=installed.publisher, files=files),
        known=installed,
        pinned=tuple(file.pinned for file in installed.files),
    )


def _own_id(path: Path) -> str:
    """An id made of a file's name: lower case, and only what the store takes."""
    return plain_name(path.stem) or "model"
