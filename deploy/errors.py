"""Everything that can go wrong, as a tree whose leaves say what the caller can do next.

LandfastError              message, hint, stable code, exit code
├── UsageError             the request itself is wrong
├── NotFound               no such model or file
├── NothingFits            nothing in reach fits this machine
├── PolicyRefused          a rule of the owner forbids it
├── Unreachable            network or source does not answer
├── IntegrityError         bytes are not the promised ones
│   └── Incomplete         a file ends before it should
├── InvalidModel           the file is no model that the engine may load
├── NotEnoughSpace         disk
├── NotEnoughMemory        memory now
├── NotWritable            a place that must be written cannot be
├── EngineFailed           the engine refused, stopped or died
├── NotSealed              the engine is not shut in as promised
├── Interrupted            the user stopped it
└── PipeClosed             the reader of our output went away
"""

import errno
from enum import IntEnum
from pathlib import Path
from typing import ClassVar, Final, Self

_FULL: Final = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_HOST: Final = "/var/lib/landfast"
"""Where models of the whole host lie, which LANDFAST_HOME does not move."""


class ExitCode(IntEnum):
    """What a process status says. The sentence of each member is its documentation."""

    DONE = 0, "Done, or nothing had to be done."
    INTERNAL = 1, "An error inside Landfast: please report it."
    USAGE = 2, "The command line cannot be understood."
    NOTHING_FITS = 3, "No model in reach fits this machine and the request."
    POLICY = 4, "The policy in force forbids it."
    UNREACHABLE = 5, "A network or another source of files does not answer."
    INTEGRITY = 6, "Bytes differ from the ones that were promised."
    RESOURCES = 7, "There is not enough disk space or memory now."
    ENGINE = 8, "The engine refused, stopped or died."
    NOT_FOUND = 9, "There is no model or file of that name."
    WOULD_CHANGE = 10, "With --check: changes would be made."
    INVALID_MODEL = 11, "The file is not a model that the engine may load."
    INCOMPLETE = 12, "The file ends before its contents do."
    NOT_WRITABLE = 13, "A place that must be written cannot be written."
    NOT_SEALED = 14, "The engine is not sealed as it should be."
    INTERRUPTED = 130, "Stopped by the user."
    PIPE_CLOSED = 141, "The program that read the output ended."

    sentence: str

    def __new__(cls, value: int, sentence: str) -> Self:
        """Attach the sentence to the integer."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member


class LandfastError(Exception):
    """The base of every error that is shown to a user: one sentence of cause, one of cure."""

    code: ClassVar[str] = "internal"
    """Stable name for programs; it never changes once published."""
    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep the cause, and the cure where there is one."""
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(LandfastError):
    """The request cannot be understood or contradicts itself."""

    code = "usage"
    exit_code = ExitCode.USAGE


class NotFound(LandfastError):
    """No model or file answers to the name that was given."""

    code = "not-found"
    exit_code = ExitCode.NOT_FOUND


class NothingFits(LandfastError):
    """Every candidate was refused; the result says why for each."""

    code = "nothing-fits"
    exit_code = ExitCode.NOTHING_FITS


class PolicyRefused(LandfastError):
    """A rule of the machine's owner forbids it."""

    code = "policy"
    exit_code = ExitCode.POLICY


class Unreachable(LandfastError):
    """No source of the wanted files answers."""

    code = "unreachable"
    exit_code = ExitCode.UNREACHABLE


class IntegrityError(LandfastError):
    """Bytes are not the promised ones. What was wrong is not kept."""

    code = "integrity"
    exit_code = ExitCode.INTEGRITY


class Incomplete(IntegrityError):
    """A file ends before the data that its header or its pin promises."""

    code = "incomplete"
    exit_code = ExitCode.INCOMPLETE


class InvalidModel(LandfastError):
    """The file is not a GGUF model, or one whose contents contradict themselves."""

    code = "invalid-model"
    exit_code = ExitCode.INVALID_MODEL


class NotEnoughSpace(LandfastError):
    """The file system cannot hold what is to be written."""

    code = "no-space"
    exit_code = ExitCode.RESOURCES


class NotEnoughMemory(LandfastError):
    """The plan takes more memory than is free now."""

    code = "no-memory"
    exit_code = ExitCode.RESOURCES


class NotWritable(LandfastError):
    """A folder that Landfast must write to refuses it."""

    code = "not-writable"
    exit_code = ExitCode.NOT_WRITABLE


class EngineFailed(LandfastError):
    """The engine process refused the model, reported a fault or died."""

    code = "engine"
    exit_code = ExitCode.ENGINE


class NotSealed(LandfastError):
    """An audit found a way out of the engine process."""

    code = "not-sealed"
    exit_code = ExitCode.NOT_SEALED


class Interrupted(LandfastError):
    """The user stopped it; nothing is half done."""

    code = "interrupted"
    exit_code = ExitCode.INTERRUPTED


class PipeClosed(LandfastError):
    """The program that read standard output went away."""

    code = "pipe-closed"
    exit_code = ExitCode.PIPE_CLOSED


def of_the_machine(error: Exception) -> LandfastError | None:
    """What an error of another kind says of this machine or of a name that was given; None for a fault of our own."""
    if isinstance(error, RuntimeError) and "home directory" in str(error):  # what Path.expanduser says
        return NotFound("A path begins with the ~ of a user who is not known here.", hint="Give the whole path.")
    if isinstance(error, FileNotFoundError) and "temporary directory" in str(error):  # what tempfile says
        return NotWritable(
            "No folder for temporary files can be written.", hint="Set TMPDIR to a folder that can be written."
        )
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        return UsageError(f"{error.object!a} is not UTF-8 text.", hint="Give the file or the folder another name.")
    if isinstance(error, OSError) and isinstance(error.filename, str):
        return NotFound(
            f"{error.filename} cannot be used: {error.strerror}.", hint="Check the path and its permissions."
        )
    return None


def explain(error: OSError, place: Path) -> LandfastError:
    """The error that says what the system's error number means for the user."""
    if error.errno in _FULL:
        return NotEnoughSpace(
            f"The disk that holds {place} is full, or your share of it is.",
            hint=f"Free some space, or {larger_disk(place)}, and run the command again.",
        )
    if error.errno == errno.EFBIG:
        return NotEnoughSpace(
            f"The file system that holds {place} does not take a file of this size.",
            hint="Set LANDFAST_HOME to a folder on another disk.",
        )
    return NotWritable(
        f"Landfast cannot use {place}: {error.strerror or error}.",
        hint="Give this user write access to it, or set LANDFAST_HOME to a folder that can be written.",
    )


def larger_disk(place: Path) -> str:
    """What to do where the disk is too small, as the middle of a sentence; the host's store has its place."""
    if _HOST in place.as_posix():
        return f"mount a larger disk at {_HOST}"
    return "set LANDFAST_HOME to a folder on a larger disk"
