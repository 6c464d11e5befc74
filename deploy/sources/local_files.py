"""GGUF files that other programs have brought to this machine, and where each of them keeps its own.

Nothing is opened here for writing, and nothing is believed: a hash that a program gives in a file's name only saves
the hashing of files that are surely others.
"""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

OLLAMA_BLOB: Final = re.compile(r"sha256[-:]([0-9a-f]{64})")
HUB_BLOB: Final = re.compile(r"[0-9a-f]{64}")
MODEL_LAYER: Final = "application/vnd.ollama.image.model"
MANIFEST_LIMIT_BYTES: Final = 1 << 20


class LocalFile(msgspec.Struct, frozen=True, kw_only=True):
    """One GGUF file on this machine."""

    path: str
    program: str
    """Whose it is, as people call it."""
    label: str
    """What that program calls it."""
    size_bytes: int
    claimed_sha256: str | None = None
    """What its name says of its bytes; None where it says nothing."""


class Place(msgspec.Struct, frozen=True):
    """A folder in which a program keeps models."""

    program: str
    path: Path


def places(environment: Mapping[str, str], home: Path) -> tuple[Place, ...]:
    """Where the known programs keep their models, on any platform."""
    cache = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
    data = Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share")
    hub = environment.get("HF_HUB_CACHE") or Path(environment.get("HF_HOME") or cache / "huggingface") / "hub"
    ollama = environment.get("OLLAMA_MODELS") or home / ".ollama" / "models"
    llama = environment.get("LLAMA_CACHE") or cache / "llama.cpp"
    library = home / "Library"
    return (
        Place("Hugging Face cache", Path(hub)),
        Place("Ollama", Path(ollama)),
        Place("Ollama", Path("/usr/share/ollama/.ollama/models")),
        Place("LM Studio", home / ".lmstudio" / "models"),
        Place("LM Studio", cache / "lm-studio" / "models"),
        Place("llama.cpp", Path(llama)),
        Place("llama.cpp", library / "Caches" / "llama.cpp"),
        Place("Jan", data / "Jan" / "data"),
        Place("Jan", library / "Application Support" / "Jan" / "data"),
        Place("Jan", home / "jan"),
    )


def find(where: Iterable[Place]) -> tuple[LocalFile, ...]:
    """Every GGUF file in the places, each once however many names it has."""
    found: dict[tuple[int, int], LocalFile] = {}
    for place in where:
        for file in _ollama(place) if place.program == "Ollama" else _plain(place):
            with contextlib.suppress(OSError):  # gone since it was listed
                status = Path(file.path).stat()
                found.setdefault((status.st_dev, status.st_ino), file)
    return tuple(found.values())


def _plain(place: Place) -> Iterator[LocalFile]:
    """Files that end as models do. In a hub cache they are links to files named by their hash."""
    for base, folders, names in os.walk(place.path):
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(".gguf"):
                yield from _file(place, Path(base) / name, name)


def _ollama(place: Place) -> Iterator[LocalFile]:
    """What Ollama's manifests call models; the files themselves have no names of their own."""
    manifests = place.path / "manifests"
    for path in sorted(manifests.glob("*/*/*/*")):
        label = ":".join(path.parts[-2:])
        for digest in _model_layers(path):
            yield from _file(place, place.path / "blobs" / f"sha256-{digest}", label)


def _model_layers(manifest: Path) -> Iterator[str]:
    try:
        raw = manifest.read_bytes()[:MANIFEST_LIMIT_BYTES]
        layers = msgspec.json.decode(raw, type=_Manifest).layers
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return
    for layer in layers:
        if layer.mediaType == MODEL_LAYER and (found := OLLAMA_BLOB.fullmatch(layer.digest)):
            yield found[1]


class _Layer(msgspec.Struct):
    mediaType: str  # noqa: N815 - Ollama's own spelling
    digest: str


class _Manifest(msgspec.Struct):
    layers: tuple[_Layer, ...] = ()


def _file(place: Place, path: Path, label: str) -> Iterator[LocalFile]:
    try:
        target = path.resolve(strict=True)
        if not target.is_file():
            return
        size_bytes = target.stat().st_size
    except (OSError, RuntimeError):  # gone, unreadable, or a link that leads to itself
        return
    claimed = OLLAMA_BLOB.fullmatch(target.name)
    hub = HUB_BLOB.fullmatch(target.name)
    yield LocalFile(
        path=str(target),
        program=place.program,
        label=label,
        size_bytes=size_bytes,
        claimed_sha256=claimed[1] if claimed else target.name if hub else None,
    )
