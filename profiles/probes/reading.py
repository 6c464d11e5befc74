"""What every probe uses to read: where the kernel's trees stand, one file, one command, and facts that are missing."""

import subprocess
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from profiles.machine import Fact, Unknown

COMMAND_TIME_LIMIT_S = 2.0
"""No command that a probe runs takes a tenth of this on a healthy machine."""


class Roots(msgspec.Struct, frozen=True, kw_only=True):
    """Where the kernel's file trees stand. A recorded machine has them somewhere else."""

    proc: Path = Path("/proc")
    sys: Path = Path("/sys")

    def locate(self, path: str) -> Path:
        """Find a path that the kernel itself named, such as a mount point, under these roots."""
        pure = PurePosixPath(path)
        for name, root in (("/sys", self.sys), ("/proc", self.proc)):
            if pure.is_relative_to(name):
                return root / pure.relative_to(name)
        return Path(path)


def read_text(path: Path) -> str:
    """Read a small file as text. Bytes that are no text are kept visible, and closing zero bytes are dropped."""
    return path.read_text(encoding="utf-8", errors="replace").rstrip("\0")


def read_if_there(path: Path) -> str | None:
    """Read a small file, or give None where this kernel has no such file. Other failures are raised."""
    try:
        return read_text(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def run_command(arguments: Sequence[str], time_limit_s: float = COMMAND_TIME_LIMIT_S) -> str:
    """Give what a program prints, in the plain locale. Raises when it fails or takes too long."""
    done = subprocess.run(
        list(arguments),
        check=True,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env={"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        timeout=time_limit_s,
    )
    return done.stdout


def unknown_fact(reason: str, source: str) -> Fact[Any]:
    """Give a fact whose value could not be had, with the reason."""
    return Fact(Unknown(reason), source)


def fact_or_unknown(value: object | None, source: str, reason: str) -> Fact[Any]:
    """Give the value as a fact, or Unknown with the reason where there is none."""
    return unknown_fact(reason, source) if value is None else Fact(value, source)
