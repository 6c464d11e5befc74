"""Files of another program on this machine as a source: shared blocks where the file system knows how, else a copy."""

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from deploy.catalog.model import Artifact
from deploy.errors import NotWritable, Unreachable
from deploy.sources.base import NoOffer, Offer, Reach, Report
from deploy.sources.folder import Folder
from deploy.sources.writing import writing_to


class Held(NamedTuple):
    """One file whose hash is known."""

    path: Path
    sha256: str


class Adopted:
    """The files of one model, each by its own path. The other program's files are never changed."""

    def __init__(self, program: str, held: Sequence[Held], *, link: bool) -> None:
        """With `link` both programs hold one file: it takes no space, and whoever changes it changes it for both."""
        self.name = f"files of {program}"
        self._paths = {file.sha256: file.path for file in held}
        self._link = link

    def reach(self, timeout_s: float) -> Reach:  # noqa: ARG002 - every source has it
        """The files were seen just now."""
        return Reach(source=self.name, reachable=True, reason="the files are on this machine")

    def offer(self, artifact: Artifact) -> Offer | NoOffer:
        """Offer what it was made for."""
        if any(file.sha256 not in self._paths for file in artifact.files):
            return NoOffer(source=self.name, reason="it was made for other files")
        return Offer(source=self.name)

    def fetch(self, artifact: Artifact, staging: Path, report: Report) -> tuple[Path, ...]:
        """Bring the files into staging. The store hashes them, like those of every other source."""
        paths = [self._paths[file.sha256 or ""] for file in artifact.files]
        return tuple(
            self._linked(path, staging / f"linked-{number}")
            if self._link
            else self._copied(path, artifact, number, staging / f"adopted-{number}", report)
            for number, path in enumerate(paths)
        )

    def _copied(self, path: Path, artifact: Artifact, number: int, work: Path, report: Report) -> Path:
        """A copy that shares its blocks where it can, by way of the folder source."""
        one = Artifact(quant=artifact.quant, publisher=artifact.publisher, files=(artifact.files[number],))
        return Folder(path).fetch(one, work, report)[0]

    def _linked(self, path: Path, work: Path) -> Path:
        """A second name for the same file."""
        target = work / path.name
        with writing_to(work):
            work.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
        try:
            target.hardlink_to(path)
        except FileNotFoundError as error:
            raise Unreachable(f"{path} is gone.", hint="Run the command again.") from error
        except OSError as error:
            cause = "it lies on another file system" if error.errno == errno.EXDEV else error.strerror or str(error)
            raise NotWritable(f"{path} cannot be linked: {cause}.", hint="Leave out --link.") from error
        return target
