"""The lock file: what every wish of a site file came to, with hashes, so that many hosts get the same."""

from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from deploy.errors import IntegrityError, NotFound
from deploy.store.records import Name, Sha256, Size

SCHEMA: Final = "landfast.lock/1"


class PinnedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a pinned model."""

    name: Name
    size_bytes: Size | None = None
    """None where no source gives the exact size; the first install fills it in."""
    sha256: Sha256 | None = None
    """None where no source gives it; the first install fills it in."""


class PinnedModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one wish came to."""

    wish: Name
    """The wish in words."""
    id: Name
    """model-id:QUANT."""
    why: str
    publisher: str
    """Who made the files."""
    licence: str
    catalogue: str
    """Date of the catalogue it was chosen from."""
    files: Annotated[tuple[PinnedFile, ...], msgspec.Meta(min_length=1)]
    projector: PinnedFile | None = None
    """What the model looks at images with, where the wish is for vision."""

    @property
    def all_files(self) -> tuple[PinnedFile, ...]:
        """The model's files, and its projector behind them."""
        return self.files if self.projector is None else (*self.files, self.projector)

    @property
    def size_bytes(self) -> int:
        """All files together, as far as their sizes are known."""
        return sum(file.size_bytes or 0 for file in self.all_files)


class Lock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All wishes of one site file, in its order."""

    schema: Literal["landfast.lock/1"] = SCHEMA
    models: tuple[PinnedModel, ...] = ()

    def of(self, wish: str) -> PinnedModel | None:
        """What a wish came to."""
        return next((pinned for pinned in self.models if pinned.wish == wish), None)


def lock_path(site: Path, named: str | None) -> Path:
    """Where the lock file lies: where it was said, else beside the site file under its name."""
    return Path(named).expanduser().absolute() if named else site.with_suffix(".lock")


def read_lock(path: Path) -> Lock | None:
    """Read a lock file; None where there is none. Raises NotFound or IntegrityError for one that cannot be used."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Lock)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotFound(
            f"The lock file {path} cannot be read: {error.strerror}.", hint="Check its permissions."
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(
            f"The lock file {path} cannot be used: {error}.",
            hint="Put back the one that was handed out, or delete it to choose again.",
        ) from error


def encode(lock: Lock) -> bytes:
    """The lock file's contents, made to be compared line by line."""
    return msgspec.json.format(msgspec.json.encode(lock), indent=2) + b"\n"
