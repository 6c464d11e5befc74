"""What a user can mean by MODEL: a file, an installed model, or one of the catalogue."""

from dataclasses import dataclass
from pathlib import Path

from deploy.catalog.model import Artifact, Model
from deploy.gguf.check import ModelFile
from deploy.store.records import Installed


@dataclass(frozen=True, slots=True)
class FileTarget:
    """A GGUF file that the user names by its path."""

    path: Path
    contents: ModelFile


@dataclass(frozen=True, slots=True)
class InstalledTarget:
    """A model in the store, with what the catalogue knows of it."""

    installed: Installed
    catalogued: tuple[Model, Artifact] | None


@dataclass(frozen=True, slots=True)
class CatalogueTarget:
    """A model of the catalogue in one quantised form, not installed."""

    model: Model
    artifact: Artifact

    @property
    def id(self) -> str:
        """model-id:QUANT."""
        return f"{self.model.id}:{self.artifact.quant}"


Target = FileTarget | InstalledTarget | CatalogueTarget
