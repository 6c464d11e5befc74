"""Makes a bundle: files go in, cut to the medium's size, and the signed manifest goes in last."""

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from deploy.bundle.manifest import (
    MANIFEST,
    PUBLIC_KEY,
    SIGNATURE,
    UNFINISHED,
    BundledModel,
    Entry,
    Manifest,
    Part,
    Target,
    encode,
)
from deploy.bundle.signing import sign
from deploy.errors import IntegrityError, NotEnoughSpace, NotWritable, UsageError
from deploy.keys import public_key_pem
from deploy.quantities import gigabytes
from deploy.sources.base import Progress, Report
from deploy.store.files import disk_errors, sync_file, sync_folder, write_durably

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

BLOCK_BYTES: Final = 1 << 20
SLACK_BYTES: Final = 1 << 20
"""Room for manifest and signature."""
ROOMIER: Final = "Choose a folder on a larger disk, or fewer models."


@contextlib.contextmanager
def _onto(out: Path) -> Iterator[None]:
    """Turn what a medium refuses into errors with what helps there."""
    try:
        with disk_errors(out):
            yield
    except NotEnoughSpace as error:
        too_long = isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EFBIG
        cure = "Choose a smaller --part-size: FAT32 takes 4GB." if too_long else ROOMIER
        raise NotEnoughSpace(error.message, hint=cure) from error
    except NotWritable as error:
        raise NotWritable(error.message, hint="Choose a folder that this user may write to.") from error


@dataclass(frozen=True, slots=True)
class Item:
    """One file that is to go into the bundle."""

    path: str
    """Where it lies there."""
    source: Path
    sha256: str | None = None
    """What its bytes must be, where that is known."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a bundle is made of."""

    landfast: str
    """The version that makes it."""
    items: Sequence[Item]
    models: Sequence[BundledModel]
    target: Target | None


def write_bundle(out: Path, contents: Contents, part_bytes: int, key: "Ed25519PrivateKey", report: Report) -> Manifest:
    """Fill the folder `out`. The same contents and the same key give the same bytes.

    Raises UsageError where something else lies there, NotEnoughSpace before the first byte, IntegrityError for an
    item that is not what it should be.
    """
    items = sorted(contents.items, key=lambda item: item.path)
    _prepare(out, sum(item.source.stat().st_size for item in items))
    manifest = Manifest(
        landfast=contents.landfast,
        part_bytes=part_bytes,
        models=tuple(sorted(contents.models, key=lambda model: model.id)),
        entries=tuple(_Copying(out, item, report).write(part_bytes) for item in items),
        target=contents.target,
    )
    _seal(out, manifest, key)
    return manifest


def _prepare(out: Path, need_bytes: int) -> None:
    with _onto(out):
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()) and not (out / UNFINISHED).exists():
            raise UsageError(f"{out} is not empty.", hint="Choose a folder that does not exist yet, or an empty one.")
        (out / UNFINISHED).touch()
        free_bytes = shutil.disk_usage(out).free + sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
    if need_bytes + SLACK_BYTES > free_bytes:
        (out / UNFINISHED).unlink()
        raise NotEnoughSpace(
            f"The bundle takes {gigabytes(need_bytes)}, and {out} has {gigabytes(free_bytes)} free.",
            hint=ROOMIER,
        )


class _Copying:
    """One file on its way into the bundle, hashed in whole and by part."""

    def __init__(self, out: Path, item: Item, report: Report) -> None:
        self._out, self._item, self._report = out, item, report
        self._whole = hashlib.sha256()
        self._size_bytes = 0
        self._done_bytes = 0

    def write(self, part_bytes: int) -> Entry:
        """Copy the file in, in as many parts as it takes. Raises IntegrityError when it is not what it should be."""
        item = self._item
        with item.source.open("rb", buffering=0) as origin, _onto(self._out):
            self._size_bytes = os.fstat(origin.fileno()).st_size
            count = max(1, -(-self._size_bytes // part_bytes))
            names = [item.path] if count == 1 else [f"{item.path}.part{number:04}" for number in range(1, count + 1)]
            parts = tuple(self._write_part(origin, name, part_bytes) for name in names)
        digest = self._whole.hexdigest()
        if item.sha256 is not None and digest != item.sha256:
            raise IntegrityError(
                f"{Path(item.path).name} was altered after it was installed.",
                hint="Run `landfast models verify --repair` first.",
            )
        return Entry(path=item.path, size_bytes=self._done_bytes, sha256=digest, parts=parts)

    def _write_part(self, origin: BinaryIO, name: str, part_bytes: int) -> Part:
        target = self._out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        left_bytes = part_bytes
        with target.open("wb") as part:
            while block := origin.read(min(BLOCK_BYTES, left_bytes)):
                digest.update(block)
                self._whole.update(block)
                part.write(block)
                left_bytes -= len(block)
                self._told(len(block))
        sync_file(target)
        return Part(path=name, size_bytes=part_bytes - left_bytes, sha256=digest.hexdigest())

    def _told(self, count: int) -> None:
        self._done_bytes += count
        self._report(
            Progress(
                step="download",
                text=f"copy {Path(self._item.path).name}",
                done_bytes=self._done_bytes,
                total_bytes=self._size_bytes,
            )
        )


def _seal(out: Path, manifest: Manifest, key: "Ed25519PrivateKey") -> None:
    """Write the manifest, its signature and the public key, and clear away what an unfinished try left."""
    wanted = {out / part.path for part in manifest.parts}
    with _onto(out):
        for path in out.rglob("*"):
            if path.is_file() and path not in wanted and path.name != UNFINISHED:
                path.unlink()
        raw = encode(manifest)
        write_durably(out / PUBLIC_KEY, public_key_pem(key.public_key()))
        write_durably(out / SIGNATURE, sign(raw, key))
        write_durably(out / MANIFEST, raw)
        (out / UNFINISHED).unlink()
        sync_folder(out)
