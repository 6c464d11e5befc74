"""Models in a folder: a USB stick, a network share, a download folder, or one file that was named directly."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import BinaryIO, Final

from deploy.catalog.model import Artifact, CataloguedFile
from deploy.errors import NotFound, Unreachable
from deploy.sources.base import NoOffer, Offer, Progress, Reach, Report
from deploy.sources.writing import FULL, writing_to

BLOCK_BYTES: Final = 8 << 20
OVERLAP_BYTES: Final = 1 << 20
"""How much of the end of an earlier copy must be the same in the source for the copy to go on."""


class Folder:
    """A folder that holds model files by name, at the top or one level down, or one such file."""

    def __init__(self, path: Path) -> None:
        """Keep the place; nothing is looked up yet."""
        self._path = path.absolute()
        self.name = f"folder {self._path}"

    def reach(self, timeout_s: float) -> Reach:
        """Look whether the place is there. A dead network share counts as absent when the time is over."""
        from deploy.sources.answers import folder_answers

        answer = folder_answers(self._path, timeout_s)
        return Reach(source=self.name, reachable=answer.reachable, reason=answer.reason)

    def offer(self, artifact: Artifact) -> Offer | NoOffer:
        """Offer the artifact when every file of it is found here by name."""
        try:
            self._locate(artifact)
        except (NotFound, Unreachable) as error:
            return NoOffer(source=self.name, reason=error.message)
        return Offer(source=self.name)

    def fetch(self, artifact: Artifact, staging: Path, report: Report) -> tuple[Path, ...]:
        """Copy the files. Names only find candidates: the store decides by size, hash and format."""
        sources = self._locate(artifact)
        with _reading(self._path):
            sizes = [source.stat().st_size for source in sources]
        work = staging.absolute() / "folder"
        targets: list[Path] = []
        for number, (source, file) in enumerate(zip(sources, artifact.files, strict=True)):
            target = work / Path(file.name).name
            with writing_to(staging):
                work.mkdir(parents=True, exist_ok=True)
                _copy(source, target, report, before_bytes=sum(sizes[:number]), total_bytes=sum(sizes))
            targets.append(target)
        return tuple(targets)

    def _locate(self, artifact: Artifact) -> tuple[Path, ...]:
        """The artifact's files, in order. Raises NotFound with the names that were looked for."""
        with _reading(self._path):
            if not self._path.exists():
                raise NotFound(
                    f"There is no {self._path}.", hint="Check the path, and that the disk or share is connected."
                )
            if self._path.is_file() and len(artifact.files) == 1:
                return (self._path,)
            found = {file.name: self._candidate(file) for file in artifact.files}
        missing = [name for name, path in found.items() if path is None]
        if missing:
            raise NotFound(
                f"{self._path} does not hold {', '.join(missing)}, neither at the top nor one level down.",
                hint="Check the path and the file names.",
            )
        return tuple(path for path in found.values() if path is not None)

    def _candidate(self, file: CataloguedFile) -> Path | None:
        """The file of that name; of several, one of the expected size where there is one."""
        name = Path(file.name).name
        places = [self._path / name, *sorted(self._path.glob(f"*/{escape(name)}"))]
        here = [place for place in places if place.is_file()]
        return next((place for place in here if place.stat().st_size == file.size_bytes), next(iter(here), None))


class OneFile(Folder):
    """One file that was named directly. It is called a file; to policies it is a place like its folder."""

    def __init__(self, path: Path) -> None:
        """Keep the place; nothing is looked up yet."""
        super().__init__(path)
        self.name = f"file {self._path}"


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what the system says of an unreadable file into Unreachable."""
    try:
        yield
    except OSError as error:
        raise Unreachable(
            f"{path} cannot be read: {error.strerror or error}.",
            hint="Give this user read access to it, or check the disk or network share that it lies on.",
        ) from error


def _copy(source: Path, target: Path, report: Report, *, before_bytes: int, total_bytes: int) -> None:
    """Copy piece by piece, going on from an earlier copy of the same bytes."""
    with _reading(source):
        origin = source.open("rb")
    target.touch()
    with origin, target.open("r+b") as copy:
        done_bytes = _common_bytes(source, origin, copy)
        copy.truncate(done_bytes)
        while moved_bytes := _move(source, origin, copy, done_bytes):
            done_bytes += moved_bytes
            report(
                Progress(
                    step="download",
                    text=f"copy {source.name}",
                    done_bytes=before_bytes + done_bytes,
                    total_bytes=total_bytes,
                )
            )


def _move(source: Path, origin: BinaryIO, copy: BinaryIO, at: int) -> int:
    """Copy one piece and return its length, 0 at the end.

    The kernel copies where it can, which shares the blocks on file systems that know how. Wherever it cannot, or
    gives nothing, reading and writing decide, since they tell a fault of the source from one of the target.
    """
    if hasattr(os, "copy_file_range"):
        try:
            if moved_bytes := os.copy_file_range(origin.fileno(), copy.fileno(), BLOCK_BYTES, at, at):
                return moved_bytes
        except OSError as error:
            if error.errno in FULL:
                raise
    block = _read(source, origin, at, BLOCK_BYTES)
    copy.seek(at)
    copy.write(block)
    copy.flush()
    return len(block)


def _common_bytes(source: Path, origin: BinaryIO, copy: BinaryIO) -> int:
    """How much of an earlier copy may stay: all of it when its end is the same in the source, else nothing."""
    size_bytes = copy.seek(0, os.SEEK_END)
    overlap_bytes = min(size_bytes, OVERLAP_BYTES)
    start = size_bytes - overlap_bytes
    copy.seek(start)
    same = copy.read(overlap_bytes) == _read(source, origin, start, overlap_bytes)
    return size_bytes if same else 0


def _read(source: Path, origin: BinaryIO, at: int, count: int) -> bytes:
    with _reading(source):
        origin.seek(at)
        return origin.read(count)
