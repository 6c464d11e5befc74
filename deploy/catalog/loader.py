"""Reads the catalogue: the one that comes with Landfast, or one that was named."""

from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from deploy.catalog.model import Catalog
from deploy.checksum import is_intact
from deploy.errors import IntegrityError, NotFound

_SHIPPED: Final = "the catalogue that comes with Landfast"
_REINSTALL: Final = "Install Landfast again."


def load(path: Path | None = None) -> Catalog:
    """Read and type-check the catalogue.

    Only the shape is checked here. That names are unique and lists match is checked when the file is built.

    Raises:
        NotFound: the named file is not there or cannot be read.
        IntegrityError: the contents are not a catalogue of this version.
    """
    if path is None:
        return _decoded(_whole(_shipped()), _SHIPPED, _REINSTALL)
    return _decoded(_named(path), str(path), "Fetch or build the file again, or use the shipped catalogue.")


def load_newest(updated: Path) -> Catalog:
    """The shipped catalogue, or the one that an update put in its place where that one is not older.

    An update that was made for another engine than the shipped catalogue is passed over: its memory figures are
    not those of the engine at hand.

    Raises:
        IntegrityError: one of the two is damaged.
    """
    shipped = load()
    if not updated.exists():
        return shipped
    found = load_intact(updated)
    return found if found.dated >= shipped.dated and found.engine == shipped.engine else shipped


def load_intact(path: Path, cure: str | None = None) -> Catalog:
    """Read a catalogue that carries its own hash; the cure is for one that is not in force.

    Raises:
        NotFound: the file is not there or cannot be read.
        IntegrityError: a byte of it was altered, or it is not a catalogue of this version.
    """
    raw = _named(path)
    cure = cure or f"Replace it with `landfast catalog update FILE`, or delete {path}."
    if not is_intact(raw):
        raise IntegrityError(f"The catalogue {path} is damaged: its own hash is missing or wrong.", hint=cure)
    return _decoded(raw, str(path), cure)


def _decoded(raw: bytes, name: str, cure: str) -> Catalog:
    try:
        return msgspec.json.decode(raw, type=Catalog)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(f"The contents of {name} are not a catalogue: {error}.", hint=cure) from error


def _whole(raw: bytes) -> bytes:
    """The shipped catalogue, if no byte of it was altered."""
    if not is_intact(raw):
        raise IntegrityError(f"A part of Landfast was altered: {_SHIPPED}.", hint=_REINSTALL)
    return raw


def _shipped() -> bytes:
    try:
        return resources.files("deploy.catalog").joinpath("catalog.json").read_bytes()
    except OSError as error:
        raise IntegrityError(f"A part of Landfast is missing: {_SHIPPED}.", hint=_REINSTALL) from error


def _named(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise NotFound(
            f"The catalogue {path} cannot be read: {reason}.", hint="Check the path and its permissions."
        ) from error
