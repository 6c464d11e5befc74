"""A bundle as a place that models come from."""

from pathlib import Path

import msgspec

from deploy.bundle.manifest import CATALOGUE, POLICY, BundledFile, BundledModel, Entry
from deploy.bundle.reading import Bundle, read_small, restore
from deploy.bundle.signing import signer
from deploy.catalog.model import Artifact, Catalog, CataloguedFile
from deploy.errors import NotFound
from deploy.sources.base import NoOffer, Offer, Reach, Report
from deploy.sources.seen import Seen
from deploy.sources.writing import writing_to


class BundleSource:
    """The models of one bundle whose signature was accepted."""

    def __init__(self, bundle: Bundle) -> None:
        """Keep the bundle; no part is read yet."""
        self._bundle = bundle
        self.name = f"bundle {bundle.root}"
        self.seen: dict[Path, Seen] = {}
        """What was hashed while it was copied."""
        self.revision: str | None = None
        """The bundle's signature says what is in it."""

    def reach(self, timeout_s: float) -> Reach:  # noqa: ARG002 - every source has it
        """It was read just now, so it answers."""
        return Reach(source=self.name, reachable=True, reason="its signature was accepted")

    def offer(self, artifact: Artifact) -> Offer | NoOffer:
        """Offer what the manifest holds, by hash, or by name where the catalogue promises no hash."""
        if self._held(artifact) is None:
            return NoOffer(source=self.name, reason="the bundle does not hold it")
        return Offer(source=self.name)

    def fetch(self, artifact: Artifact, staging: Path, report: Report) -> tuple[Path, ...]:
        """Copy the files out of their parts, whichever of them this medium holds."""
        held = self._held(artifact)
        if held is None:
            raise NotFound(
                f"The bundle in {self._bundle.root} does not hold {', '.join(file.name for file in artifact.files)}.",
                hint="`landfast bundle inspect` shows what it holds.",
            )
        entries = self._entries(held)
        work = staging.absolute() / "bundle"
        targets = tuple(
            work / f"{number:04}-{file.sha256[:16]}" / Path(file.name).name for number, file in enumerate(held)
        )
        with writing_to(staging):
            for target in targets:
                target.parent.mkdir(parents=True, exist_ok=True)
            self.seen = restore(self._bundle, entries, targets, report)
        return targets

    def promised(self, artifact: Artifact) -> Artifact:
        """The artifact with the hashes that the bundle's signer vouches for."""
        model = self.model_of(artifact)
        return artifact if model is None else msgspec.structs.replace(artifact, files=self._files(model.files))

    def own(self, name: str) -> tuple[BundledModel, Artifact] | None:
        """A model of the bundle by its id, in full or without the form where there is only one."""
        wanted = name.lower()
        models = [m for m in self._bundle.manifest.models if wanted in (m.id.lower(), m.model_id.lower())]
        if len(models) != 1:
            return None
        (model,) = models
        return model, Artifact(quant=model.quant, publisher=model.publisher, files=self._files(model.files))

    def projector_of(self, model_id: str) -> Artifact | None:
        """The projector of a model of the bundle, with the hash that its signer vouches for."""
        model = next((one for one in self._bundle.manifest.models if one.id.lower() == model_id.lower()), None)
        if model is None or model.projector is None:
            return None
        return Artifact(quant="", publisher=model.projector.publisher, files=self._files((model.projector,)))

    def ids(self) -> tuple[str, ...]:
        """What the bundle holds."""
        return tuple(model.id for model in self._bundle.manifest.models)

    def catalogue(self) -> Catalog | None:
        """The catalogue that the bundle brings; None where it lies on another medium or is for another Landfast.

        Raises IntegrityError for an altered one.
        """
        entry = self._bundle.manifest.entry_at(CATALOGUE)
        try:
            raw = None if entry is None else read_small(self._bundle, entry)
        except NotFound:
            return None
        try:
            return None if raw is None else msgspec.json.decode(raw, type=Catalog)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def policy(self) -> str | None:
        """The rules that the bundle's signer made for what is in it. Raises NotFound where another medium has them."""
        entry = self._bundle.manifest.entry_at(POLICY)
        return None if entry is None else read_small(self._bundle, entry).decode()

    @property
    def root(self) -> Path:
        """Where the bundle lies."""
        return self._bundle.root

    @property
    def made_by(self) -> str:
        """Fingerprint of the key that signed it."""
        return signer(self._bundle.signature)

    def model_of(self, artifact: Artifact) -> BundledModel | None:
        """The model of the bundle that is this artifact."""
        return next((model for model in self._bundle.manifest.models if _are(model.files, artifact)), None)

    def _held(self, artifact: Artifact) -> tuple[BundledFile, ...] | None:
        """The files of a model, or the one of a projector, that are this artifact."""
        if (model := self.model_of(artifact)) is not None:
            return model.files
        projectors = ((model.projector,) for model in self._bundle.manifest.models if model.projector is not None)
        return next((files for files in projectors if _are(files, artifact)), None)

    def _files(self, files: tuple[BundledFile, ...]) -> tuple[CataloguedFile, ...]:
        return tuple(
            CataloguedFile(name=file.name, size_bytes=entry.size_bytes, size_exact=True, sha256=file.sha256)
            for file, entry in zip(files, self._entries(files), strict=True)
        )

    def _entries(self, files: tuple[BundledFile, ...]) -> tuple[Entry, ...]:
        return tuple(self._bundle.manifest.entry_of(file.sha256) for file in files)


def _are(files: tuple[BundledFile, ...], artifact: Artifact) -> bool:
    """Whether every file is the one that the artifact names: by its hash, or by its name where it has none."""
    return len(files) == len(artifact.files) and all(
        held.sha256 == wanted.sha256
        if wanted.sha256
        else held.name == Path(wanted.name).name or held.name == wanted.name
        for held, wanted in zip(files, artifact.files, strict=True)
    )
