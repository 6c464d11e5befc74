"""Small files that are to have certain contents: policy, lock, units, notes."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from deploy.errors import NotWritable
from deploy.provision.steps import Change, Finding, Unseen
from deploy.store.files import disk_errors, write_durably


class ManagedFile:
    """A file whose contents are wanted. None for a file that is not to be there."""

    def __init__(self, name: str, path: Path, wanted: Callable[[], bytes | None], meaning: str) -> None:
        """Keep what is wanted; it is asked for when the step's turn has come."""
        self.name = name
        self._path = path
        self._wanted = wanted
        self._meaning = meaning

    def look(self) -> Finding:
        """Compare byte by byte."""
        try:
            there = read(self._path)
        except PermissionError as error:
            return Unseen(f"{self._path} cannot be read: {error.strerror}.")
        wanted = self._wanted()
        if there == wanted:
            return None
        verb = "Remove" if wanted is None else "Write" if there is None else "Change"
        return Change(
            sentence=f"{verb} {self._path}: {self._meaning}.",
            before=(there or b"").decode("utf-8", "replace"),
            after=(wanted or b"").decode("utf-8", "replace"),
        )

    def do(self) -> None:
        """Put it in place in one move. A folder that had to be made goes again where the file cannot be written."""
        wanted = self._wanted()
        with disk_errors(self._path.parent):
            if wanted is None:
                self._path.unlink(missing_ok=True)
                return
            with folders(self._path.parent):
                write_durably(self._path, wanted)


def read(path: Path) -> bytes | None:
    """The contents of a file; None where there is none. Raises NotWritable, or PermissionError for a foreign one."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise
    except OSError as error:
        raise NotWritable(
            f"{path} cannot be read: {error.strerror}.", hint="Check its permissions and the disk."
        ) from error


@contextlib.contextmanager
def folders(path: Path) -> Iterator[None]:
    """Make a folder for the work within; what was made for it goes again when the work fails."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
