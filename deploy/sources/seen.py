"""Files that are hashed while they are written, and how to tell later that nothing has touched them since."""

import contextlib
import hashlib
import os
import stat
import threading
from pathlib import Path
from queue import Queue
from types import TracebackType
from typing import Final, Self

import msgspec

AHEAD_BLOCKS: Final = 8
"""So many blocks may wait to be hashed."""
PIECE_BYTES: Final = 1 << 20
BUFFERED_WAIT_S: Final = 0.05
"""How long to wait for bytes that the writer still holds back."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What the file system said of a file when it was last hashed: while it says the same, the bytes are the same.

    The change time is in it because, unlike the modification time, a program cannot set it back.
    """

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int


def identity_of(status: os.stat_result) -> Identity:
    """The identity in what the file system says of a file."""
    return Identity(
        size_bytes=status.st_size, mtime_ns=status.st_mtime_ns, ctime_ns=status.st_ctime_ns, inode=status.st_ino
    )


def identity(path: Path) -> Identity | None:
    """The identity of a file; None where there is no plain file."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return identity_of(status) if stat.S_ISREG(status.st_mode) else None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was hashed while it was written, and what the file system said of it when it was complete."""

    sha256: str
    identity: Identity | None

    def is_still(self, path: Path) -> bool:
        """Whether nothing has touched the file since."""
        return self.identity is not None and identity(path) == self.identity


class Follower:
    """Hashes on a thread of its own what the caller reads and writes meanwhile."""

    def __init__(self) -> None:
        """Start with nothing hashed."""
        self.spoilt = False
        """True when something was handed over that does not stand in the file."""
        self._digest = hashlib.sha256()
        self._blocks: Queue[bytes | None] = Queue(AHEAD_BLOCKS)
        self._thread = threading.Thread(target=self._follow, daemon=True, name="landfast-hash")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.hexdigest()

    def update(self, block: bytes) -> None:
        """Hand over the next bytes; waits when the hashing is far behind."""
        self._blocks.put(block)

    def hexdigest(self) -> str:
        """Wait until everything is hashed. Nothing can be handed over afterwards."""
        if self._thread.is_alive():
            self._blocks.put(None)
            self._thread.join()
        return self._digest.hexdigest()

    def _follow(self) -> None:
        while (block := self._blocks.get()) is not None:
            self._digest.update(block)


class Tail:
    """Hashes a file on a thread of its own while another writes it from its beginning to its end."""

    def __init__(self, path: Path) -> None:
        """Wait for the first bytes; the file need not be there yet."""
        self._path = path
        self._limit_bytes = 0
        self._restarts = 0
        self._ended = self._stopped = False
        self._digest: str | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._follow, daemon=True, name="landfast-hash")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def advance(self, done_bytes: int) -> None:
        """So many bytes are there. Fewer than before means that the file was begun anew."""
        with self._changed:
            self._restarts += done_bytes < self._limit_bytes
            self._limit_bytes = done_bytes
            self._changed.notify()

    def hexdigest(self) -> str | None:
        """The hash of the whole file, which is closed now; None where it could not be read."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()
        return self._digest

    def _follow(self) -> None:
        with contextlib.suppress(OSError):  # who asks for the hash then gets none
            while not self._stopped and self._digest is None:
                self._digest = self._hash_until_restart(self._restarts)

    def _hash_until_restart(self, restarts: int) -> str | None:
        digest = hashlib.sha256()
        done_bytes = 0
        if not self._wait_for_more(0, restarts):
            return None
        with self._path.open("rb", buffering=0) as file:
            while self._wait_for_more(done_bytes, restarts):
                block = file.read(PIECE_BYTES if self._ended else min(PIECE_BYTES, self._limit_bytes - done_bytes))
                if not block and self._ended:
                    return digest.hexdigest()
                if not block:
                    self._wait_for_change()
                digest.update(block)
                done_bytes += len(block)
        return None

    def _wait_for_more(self, done_bytes: int, restarts: int) -> bool:
        """Wait until there is something to hash; False when what was hashed counts for nothing."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopped or self._ended or self._restarts != restarts or self._limit_bytes > done_bytes
            )
            return not self._stopped and self._restarts == restarts

    def _wait_for_change(self) -> None:
        """The bytes that were told of are still in a buffer."""
        with self._changed:
            self._changed.wait(BUFFERED_WAIT_S)
