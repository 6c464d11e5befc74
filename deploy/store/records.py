"""What the store writes down about an installed model, and how it reads that back."""

import datetime as dt
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from deploy.checksum import checksummed, is_intact
from deploy.errors import UsageError
from deploy.sources.seen import Identity

SCHEMA: Final = "landfast.installed/2"
READABLE: Final = (SCHEMA, "landfast.installed/1")
"""Lock files of the first version lack only what may be None now; they are read, and written anew as the second."""

_ENTRY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*(:[A-Za-z0-9._+-]+)?")
_ENTRY_LENGTH: Final = 200  # a file system takes 255 bytes, and the store adds an ending

Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Size = Annotated[int, msgspec.Meta(ge=0)]
Name = Annotated[str, msgspec.Meta(min_length=1)]
Pinned = Literal["catalogue", "bundle", "first-use"]
"""Who promised a file's hash: the catalogue, the signer of a bundle, or nobody before the first download."""


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of an installed model, in the order in which the engine takes them."""

    name: Name
    """The file's own name; in the store it lies under its SHA-256."""
    sha256: Sha256
    size_bytes: Size
    pinned: Pinned
    identity: Identity | None = None


class StoredProjector(StoredFile, frozen=True, kw_only=True):
    """What lets an installed model look at images."""

    publisher: str
    """Who made the file."""
    source: str
    """Where it came from, as a sentence."""
    revision: str | None = None
    """Which of its publisher's versions the source gave; None where the source has no such thing."""


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What the installer knows of a model, beside its files."""

    id: Annotated[str, msgspec.Meta(pattern=rf"\A{_ENTRY.pattern}\Z")]
    """model-id:QUANT."""
    model_id: Name
    name: str
    quant: str
    publisher: str
    """Who made the files."""
    architecture: str
    licence: str
    source: str
    """Where the files came from, as a sentence."""
    chat_template_sha256: Sha256 | None = None
    """None for a model without a chat template."""


class Acceptance(msgspec.Struct, frozen=True, kw_only=True):
    """Whose decision it was to take a model under its licence: installing it is accepting that."""

    licence: str
    by: str
    """The account, and behind sudo the one that called it."""
    at: dt.datetime
    """UTC."""


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """What was foretold of the model on this machine when it came, so that it can be held against what happens."""

    plan: dict[str, Any]
    """As the engine takes it, by the names that it had then."""
    pool: str
    room_bytes: int
    peak_bytes: int
    hard_bytes: int
    decode_tok_s: float | None
    """None where it was not known."""
    verdict: str


class Arrival(Description, frozen=True, kw_only=True):
    """What an install writes down of how a model came, beside what it is."""

    revision: str | None = None
    """Which of its publisher's versions the source gave; None where the source has no such thing."""
    accepted: Acceptance | None = None
    """None where no licence is known."""
    promise: Promise | None = None
    """None where the engine could not foretell anything."""


class Installed(Arrival, frozen=True, kw_only=True):
    """The lock file of one version of an installed model."""

    schema: Literal["landfast.installed/2", "landfast.installed/1"] = SCHEMA
    serial: Annotated[int, msgspec.Meta(ge=1)] = 1
    """Counts the versions of this model that were installed here."""
    files: Annotated[tuple[StoredFile, ...], msgspec.Meta(min_length=1)]
    projector: StoredProjector | None = None
    """None for a model that reads text only, as far as it is installed here."""
    installed_at: dt.datetime
    """UTC."""
    verified_at: dt.datetime
    """When all files were last hashed and found right. UTC."""

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size_bytes for file in self.all_files)

    @property
    def all_files(self) -> tuple[StoredFile, ...]:
        """The model's files, and its projector behind them."""
        return self.files if self.projector is None else (*self.files, self.projector)

    @property
    def hashes(self) -> tuple[str, ...]:
        """What tells one version from another: the model's own files."""
        return tuple(file.sha256 for file in self.files)

    def with_files(self, found: tuple[StoredFile, ...]) -> "Installed":
        """The same model with what is known of all its files now, in their order."""
        last = found[len(self.files) :]
        projector = last[0] if last and isinstance(last[0], StoredProjector) else self.projector
        return msgspec.structs.replace(self, files=found[: len(self.files)], projector=projector)

    @property
    def version(self) -> str:
        """The name of this version of the model: id#serial."""
        return version_name(self.id, self.serial)


class Damaged(msgspec.Struct, frozen=True, kw_only=True):
    """A lock file that cannot be understood. The other models are not touched by it."""

    id: str
    """As far as the file's name tells."""
    path: str
    reason: str
    hint: str


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """What was promised of a file before it arrived. None for what nobody promised."""

    name: str
    size_bytes: int | None = None
    sha256: str | None = None
    by: Pinned = "catalogue"
    """Who promised the hash, where there is one."""


class _Header(msgspec.Struct):
    """The one field that every version of a lock file has."""

    schema: str


def entry_name(model_id: str) -> str:
    """The name under which the store files things of a model: safe on every file system, and reversible.

    Raises UsageError for an id that could lead out of the store or that no file system would take.
    """
    if not _ENTRY.fullmatch(model_id) or len(model_id) > _ENTRY_LENGTH:
        raise UsageError(
            f"{model_id!r} is not a model id.",
            hint="An id looks like qwen3-8b:Q4_K_M: letters, digits, dots, hyphens and one colon.",
        )
    return model_id.replace(":", "@")


def entry_id(entry: str) -> str:
    """The id that an entry's name was made from."""
    return entry.replace("@", ":")


def version_name(model_id: str, serial: int | str) -> str:
    """How one version of a model is called."""
    return f"{model_id}#{serial}"


def now() -> dt.datetime:
    """The time, as lock files write it."""
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


def encode(record: Installed) -> bytes:
    """The lock file's contents, made to be read by people too, with a checksum."""
    current = msgspec.structs.replace(record, schema=SCHEMA)
    return checksummed(msgspec.json.format(msgspec.json.encode(current), indent=2))


def read_record(path: Path, name: str) -> Installed | Damaged:
    """Read one lock file. One that is broken is an answer, not an error; one that is gone is FileNotFoundError.

    `name` is what its place says that it is about: a model's id, or the name of a former version.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        return _damaged(path, name, f"it cannot be read ({error.strerror or error})")
    try:
        record = msgspec.json.decode(raw, type=Installed)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _damaged(path, name, _reason(raw, str(error)))
    if name not in {record.id, record.version}:
        return _damaged(path, name, f"it is about another model, {record.id}")
    if not is_intact(raw):
        return _damaged(path, name, "it was altered after it was written")
    return record


def _damaged(path: Path, name: str, reason: str) -> Damaged:
    """A damaged lock file and its cure."""
    anew = "" if "#" in name else f"`landfast install {name}` to write it again, or "
    return Damaged(
        id=name,
        path=str(path),
        reason=f"The store's record of {name} cannot be used: {reason}.",
        hint=f"Run {anew}`landfast models remove {name}`.",
    )


def _reason(raw: bytes, detail: str) -> str:
    """Why a lock file was not understood; another version of Landfast is told from damage."""
    try:
        schema = msgspec.json.decode(raw, type=_Header).schema
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "it is empty" if not raw.strip(b"\0 \n") else detail[:1].lower() + detail[1:]
    if schema not in READABLE:
        return f"another version of Landfast wrote it ({schema})"
    return detail[:1].lower() + detail[1:]
