"""The one door between the probes and a machine: files, folders, commands and libraries.

Whatever a probe learns comes through here. So a machine can be recorded at this door and played back through it.
"""

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, Protocol, TypeVar

import msgspec

T = TypeVar("T")

Platform = Literal["linux", "darwin", "windows"]

COMMAND_TIME_LIMIT_S: Final = 4.0
"""For one command. A driver that wakes eight devices may take seconds; a healthy machine takes far less."""
_PLACES: Final = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin:/opt/rocm/bin:/usr/lib/wsl/lib"
"""Where vendors put their tools, whatever the caller's own PATH is."""


class CommandResult(msgspec.Struct, frozen=True):
    """What a program said and how it ended."""

    stdout: str
    status: int = 0
    stderr: str = ""


class CommandFailed(OSError):
    """A command is missing, hangs or says that it failed. The text names the command and the cause."""


class CommandMissing(CommandFailed):
    """There is no such program on this machine."""


class CommandHung(CommandFailed):
    """The program was there and did not answer in time: asking it again would take as long again."""


class NotRecorded(OSError):
    """A recording does not hold this: nothing can be said about it."""


class World(Protocol):
    """One machine, as far as probes can see it. Paths are absolute, in the kernel's own spelling."""

    @property
    def platform(self) -> Platform:
        """The operating system's family."""

    def read(self, path: str) -> str:
        """Read a small file as text. Raises OSError: FileNotFoundError where there is none."""

    def entries(self, path: str) -> tuple[str, ...]:
        """List the names in a folder, sorted; empty where there is no such folder."""

    def run(self, arguments: Sequence[str]) -> CommandResult:
        """Run a program. Raises CommandFailed where it is missing or hangs; its exit status is part of the result."""

    def ask(self, name: str, gather: Callable[[], T], kind: type[T]) -> T:
        """Ask a library. `gather` does it here; `name` and `kind` are for who records and plays back."""


class LiveWorld:
    """This machine."""

    def __init__(self, root: Path = Path("/"), time_limit_s: float = COMMAND_TIME_LIMIT_S) -> None:
        """Look at the machine whose file trees begin at `root`, each command for so long at most."""
        self._root = root
        self._time_limit_s = time_limit_s

    @property
    def platform(self) -> Platform:
        """What Python runs on; an unheard-of system is taken for a kind of Unix without kernel trees."""
        names: dict[str, Platform] = {"Darwin": "darwin", "Windows": "windows"}
        return names.get(platform.system(), "linux")

    def read(self, path: str) -> str:
        """Read a file. Bytes that are no text stay visible, closing zero bytes are dropped."""
        return self._place(path).read_text(encoding="utf-8", errors="replace").rstrip("\0")

    def entries(self, path: str) -> tuple[str, ...]:
        """List a folder."""
        try:
            return tuple(sorted(place.name for place in self._place(path).iterdir()))
        except (FileNotFoundError, NotADirectoryError):
            return ()

    def run(self, arguments: Sequence[str]) -> CommandResult:
        """Run a program in the plain locale."""
        try:
            done = subprocess.run(
                list(arguments),
                check=False,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                stdin=subprocess.DEVNULL,
                env=_plain_environment(),
                timeout=self._time_limit_s,
            )
        except FileNotFoundError:
            raise CommandMissing(f"{arguments[0]} is not installed") from None
        except subprocess.TimeoutExpired:
            raise CommandHung(f"{arguments[0]} did not answer within {self._time_limit_s:g} s") from None
        except OSError as error:
            if shutil.which(arguments[0], path=_plain_environment()["PATH"]) is None:
                # A folder of the path that may not be entered is told as if the program were there and shut.
                raise CommandMissing(f"{arguments[0]} is not installed") from None
            raise CommandFailed(f"{arguments[0]} cannot be run: {error.strerror}") from error
        return CommandResult(done.stdout, done.returncode, done.stderr)

    def ask(self, name: str, gather: Callable[[], T], kind: type[T]) -> T:  # noqa: ARG002 - for those who record
        """Ask it."""
        return gather()

    def _place(self, path: str) -> Path:
        """Find a path under the root."""
        return self._root / path.lstrip("/") if self._root != Path("/") else Path(path)


def _plain_environment() -> dict[str, str]:
    """Give a command what it needs and nothing of the user's: no language, no settings of other tools."""
    kept = ("SYSTEMROOT", "WINDIR", "TEMP", "TMP", "PATHEXT", "COMSPEC", "HOME")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    path = os.pathsep.join(part for part in (os.environ.get("PATH", ""), _PLACES if os.name == "posix" else "") if part)
    return {**environment, "LC_ALL": "C", "PATH": path}
