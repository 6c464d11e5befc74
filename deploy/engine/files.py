"""A model's files as open descriptors: what was opened is what is loaded, whatever happens to the names."""

import hashlib
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from deploy.errors import EngineFailed, IntegrityError

ACCESS_LIST: Final = "system.posix_acl_access"


class Projector(NamedTuple):
    """What turns images into something that a model can read."""

    path: Path
    sha256: str
    """Of the file that was judged: no other is loaded."""


class HeldFiles:
    """Files held open for the engine process, with what they were when they were opened."""

    def __init__(self, files: Sequence[Path]) -> None:
        """Open all of them. Raises EngineFailed."""
        self.files = tuple(files)
        self.descriptors: tuple[int, ...] = ()
        for file in files:
            self.descriptors += (self._open(file),)
        self._names_by_descriptor = {held: file.name for held, file in zip(self.descriptors, files, strict=True)}
        self._identities = self._look()

    @property
    def names(self) -> tuple[str, ...]:
        """Names under which the engine process opens them: its own descriptors, where the system has such names."""
        if sys.platform != "linux":
            return tuple(str(file) for file in self.files)
        return tuple(f"/proc/self/fd/{descriptor}" for descriptor in self.descriptors)

    def named(self, sentence: str) -> str:
        """A sentence of the engine, with the files under the names that the user knows."""
        for descriptor, name in sorted(self._names_by_descriptor.items(), reverse=True):
            sentence = sentence.replace(f"/proc/self/fd/{descriptor}", name)
        return sentence

    def require_hash(self, number: int, sha256: str) -> None:
        """Hash one of the files as it is held. Raises IntegrityError where it is not the one that was judged."""
        with open(os.dup(self.descriptors[number]), "rb") as file:  # noqa: PTH123 - what is held, not what is named
            file.seek(0)
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            raise IntegrityError(
                f"{self.files[number].name} is not the file that was checked.",
                hint="Stop what writes to it, then try again.",
            )

    def require_readable(self) -> None:
        """Raises EngineFailed for a file that root reads by privilege alone: the sealed engine gives that up."""
        if getattr(os, "geteuid", lambda: 1)() != 0:
            return
        for file, held in zip(self.files, self.descriptors, strict=True):
            if not _is_open_to_root(held):
                raise EngineFailed(
                    f"{file} is closed to all but another user, and the sealed engine has no privileges of root.",
                    hint="Run the command as that user, or let others read the file (chmod o+r).",
                )

    def require_unchanged(self) -> None:
        """Raises IntegrityError when a file was changed since it was opened."""
        for file, before, now in zip(self.files, self._identities, self._look(), strict=True):
            if before != now:
                raise IntegrityError(
                    f"{file.name} was changed while it was being loaded.",
                    hint="Stop what writes to it, then try again; `landfast models verify` says whether it is whole.",
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close them here; the engine process keeps its own."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = ()

    def _open(self, file: Path) -> int:
        try:
            return os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self.__exit__(None, None, None)
            raise EngineFailed(
                f"{file} cannot be opened: {error.strerror}.",
                hint="Check that it is there and that this user may read it.",
            ) from error

    def _look(self) -> tuple[tuple[int, int, int, int], ...]:
        found = map(os.fstat, self.descriptors)
        return tuple((it.st_dev, it.st_ino, it.st_size, it.st_mtime_ns) for it in found)


def _is_open_to_root(held: int) -> bool:
    """Whether root may read the file like any other user; one with a list of rights of its own counts as open."""
    found = os.fstat(held)
    if found.st_uid == 0:
        wanted = stat.S_IRUSR
    else:
        wanted = stat.S_IRGRP if found.st_gid in {os.getegid(), *os.getgroups()} else stat.S_IROTH
    return bool(found.st_mode & wanted) or _has_rights_of_its_own(held)


def _has_rights_of_its_own(held: int) -> bool:
    try:
        return ACCESS_LIST in os.listxattr(held)
    except (OSError, AttributeError):  # the file system, or the system, has none
        return False
