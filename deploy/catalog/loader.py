"""Reads the catalogue: the one that comes with Landfast, or one that was named."""

from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from deploy.catalog.model import Catalog
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
    raw = _shipped() if path is None else _named(path)
    try:
        return msgspec.json.decode(raw, type=Catalog)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        name = _SHIPPED if path is None else str(path)
        cure = _REINSTALL if path is None else "Fetch or build the file again, or use the shipped catalogue."
        raise IntegrityError(f"The contents of {name} are not a catalogue: {error}.", hint=cure) from error


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
        raise NotFound(f"Cannot read the catalogue {path}: {reason}.", hint="Check the file's path.") from error


__all__ = ["load"]
