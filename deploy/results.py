"""What every command returns: one frozen result, which prints as prose or as one versioned JSON envelope."""

from typing import Final, Generic, Literal, TypeVar

import msgspec

from deploy.errors import ExitCode, LandfastError

SCHEMA: Final = "landfast.result/1"
SIMULATED: Final = "SIMULATED"
"""How the message begins that marks a result as one for another machine."""

T = TypeVar("T")


class Message(msgspec.Struct, frozen=True):
    """One sentence for the person at the terminal, beside the data."""

    level: Literal["info", "warning"]
    text: str


class Problem(msgspec.Struct, frozen=True):
    """One error: a stable code for programs, a cause and a cure for people."""

    code: str
    message: str
    hint: str = ""


class Result(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """The envelope. `data` is None exactly when `status` is "error" and nothing could be said."""

    schema: Literal["landfast.result/1"] = SCHEMA
    command: str
    status: Literal["success", "partial", "error"] = "success"
    changed: bool = False
    """True when something outside memory is different from before."""
    data: T | None = None
    messages: tuple[Message, ...] = ()
    errors: tuple[Problem, ...] = ()
    exit_code: int = ExitCode.DONE


def failure(command: str, error: LandfastError) -> Result[None]:
    """The result of a command that ended in an error."""
    return Result(
        command=command,
        status="error",
        errors=(Problem(error.code, error.message, error.hint),),
        exit_code=int(error.exit_code),
    )


def info(text: str) -> Message:
    """A sentence that may be ignored."""
    return Message("info", text)


def warning(text: str) -> Message:
    """A sentence that should be read."""
    return Message("warning", text)


def simulation_warning(machine: str) -> Message:
    """The mark of a result that was worked out for another machine."""
    return warning(f"{SIMULATED}: these figures are for {machine}, not for this machine.")
