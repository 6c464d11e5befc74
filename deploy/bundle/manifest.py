"""What a bundle says of itself: every file and every part of one with its SHA-256, and which models they make.

A file that is no larger than the part size is one part and lies in the bundle under its own path, so that people
and pip find it there; a larger one lies there in numbered parts.
"""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

import msgspec

from deploy.errors import IntegrityError
from deploy.store.records import Description, Name, Sha256, Size

SCHEMA: Final = "landfast.bundle/1"
MANIFEST: Final = "landfast-bundle.json"
SIGNATURE: Final = "landfast-bundle.sig"
PUBLIC_KEY: Final = "landfast-bundle.pub"
CATALOGUE: Final = "catalog.json"
LICENCES: Final = "licences.txt"
POLICY: Final = "policy.toml"
"""Rules that hold for what is installed from the bundle, beside those of the host."""
WHEELS: Final = "wheels"
WHEEL_LOCK: Final = "wheels/requirements.lock"
UNFINISHED: Final = "landfast-bundle.unfinished"
"""There while a bundle is being made: a later try may overwrite what lies beside it."""
INSTALLER: Final = "install.sh"
"""What sets up a host that has nothing but Python, from wheels and lock."""
MANIFEST_LIMIT_BYTES: Final = 16 << 20
"""A manifest of ten thousand parts has two megabytes; more is meant to hurt."""

BundlePath = Annotated[
    str, msgspec.Meta(pattern=r"\A([A-Za-z0-9][A-Za-z0-9._+@-]*/){0,3}[A-Za-z0-9][A-Za-z0-9._+@-]*\Z", max_length=400)
]
"""A path below the bundle's folder: no part of it begins with a dot, so that none leads out."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One file on the medium."""

    path: BundlePath
    size_bytes: Size
    sha256: Sha256


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One file that the bundle brings."""

    path: BundlePath
    size_bytes: Size
    sha256: Sha256
    parts: Annotated[tuple[Part, ...], msgspec.Meta(min_length=1)]
    """In order; together they are the file."""


class BundledFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a model, in the order in which the engine takes them."""

    name: Name
    sha256: Sha256
    """Of the entry that holds it."""


class BundledProjector(BundledFile, frozen=True, kw_only=True):
    """What lets a model look at images."""

    publisher: str
    """Who made the file."""


class BundledModel(Description, frozen=True, kw_only=True):
    """One model that the bundle brings."""

    files: Annotated[tuple[BundledFile, ...], msgspec.Meta(min_length=1)]
    projector: BundledProjector | None = None
    """None for a model that comes without eyes."""

    @property
    def all_files(self) -> tuple[BundledFile, ...]:
        """The model's files, and its projector behind them."""
        return self.files if self.projector is None else (*self.files, self.projector)


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The hosts that the wheels are for."""

    python: str
    """As in wheel names: cp311."""
    platform: str
    """linux_x86_64."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The whole bundle. It holds no date and no name of a host: the same input gives the same bytes."""

    schema: Literal["landfast.bundle/1"] = SCHEMA
    landfast: str
    """The version that made it."""
    part_bytes: Annotated[int, msgspec.Meta(ge=1)]
    models: tuple[BundledModel, ...]
    entries: tuple[Entry, ...]
    target: Target | None = None
    """None for a bundle without wheels."""

    @property
    def parts(self) -> Iterator[Part]:
        """Every part, in the order of the entries."""
        return (part for entry in self.entries for part in entry.parts)

    @property
    def size_bytes(self) -> int:
        """All entries together."""
        return sum(entry.size_bytes for entry in self.entries)

    def entry_of(self, sha256: str) -> Entry:
        """The entry with that hash; `decode` has made sure that every model's files have one."""
        return next(entry for entry in self.entries if entry.sha256 == sha256)

    def entry_at(self, path: str) -> Entry | None:
        """The entry at a path of the bundle."""
        return next((entry for entry in self.entries if entry.path == path), None)


def encode(manifest: Manifest) -> bytes:
    """The manifest's bytes: always the same for the same contents."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def decode(raw: bytes) -> Manifest:
    """Read a manifest and check that it does not contradict itself. Raises IntegrityError."""
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unusable(str(error)) from error
    if reason := _contradiction(manifest):
        raise _unusable(reason)
    return manifest


def _contradiction(manifest: Manifest) -> str | None:
    paths = [part.path.lower() for part in manifest.parts]  # sticks do not tell upper from lower case
    if len(set(paths)) < len(paths):
        return "two of its parts have the same path"
    for entry in manifest.entries:
        if sum(part.size_bytes for part in entry.parts) != entry.size_bytes:
            return f"the parts of {entry.path} do not add up to it"
    held = {entry.sha256 for entry in manifest.entries}
    lacking = [file.name for model in manifest.models for file in model.all_files if file.sha256 not in held]
    return f"it names {lacking[0]} which it does not hold" if lacking else None


def _unusable(reason: str) -> IntegrityError:
    return IntegrityError(
        f"The bundle's manifest cannot be used: {reason[:1].lower()}{reason[1:].rstrip('.')}.",
        hint="Copy the bundle again from where it was made, or have a new one made.",
    )
