"""`landfast journal`: check the record of what ran, and hand it on."""

import re
from typing import Final

import msgspec

from deploy.commands.context import Context
from deploy.errors import IntegrityError, UsageError
from deploy.journal import Journal, Note, Verdict
from deploy.results import Problem, Result

NOTE: Final = re.compile(r"(\d+):([0-9a-f]{64})")


class ExportData(msgspec.Struct, frozen=True, kw_only=True):
    """The journal's lines as they stand, oldest first."""

    lines: tuple[msgspec.Raw, ...]


def verify(context: Context, head: str | None = None) -> Result[Verdict]:
    """Follow the chain; `head` is LINES:SHA256 as an earlier check printed it. Raises UsageError for another form."""
    verdict = Journal(context.paths).verify(None if head is None else _note(head))
    if verdict.whole:
        return Result(command="journal verify", data=verdict)
    broken = IntegrityError(
        verdict.problem, hint="Keep a copy of the journal as it is, and compare it with what was exported before."
    )
    return Result(
        command="journal verify",
        status="error",
        data=verdict,
        errors=(Problem(broken.code, broken.message, broken.hint),),
        exit_code=int(broken.exit_code),
    )


def export(context: Context, *, as_json: bool = False) -> Result[ExportData]:
    """Give out every whole line. In JSON, which could not hold it as it stands, a damaged one becomes a text."""
    lines = [line[:-1] for line in Journal(context.paths).raw_lines() if line.endswith(b"\n")]
    if as_json:
        lines = [line if _is_json(line) else msgspec.json.encode(line.decode(errors="replace")) for line in lines]
    return Result(command="journal export", data=ExportData(lines=tuple(map(msgspec.Raw, lines))))


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _note(text: str) -> Note:
    match = NOTE.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{text!r} is not of the form LINES:SHA256.", hint="Use what an earlier `landfast journal verify` printed."
        )
    return Note(int(match[1]), match[2])
