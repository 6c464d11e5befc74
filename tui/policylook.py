"""What the policy screen shows, gathered from the commands in a job's thread."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.commands.context import Context
from deploy.errors import LandfastError
from deploy.results import Problem

if TYPE_CHECKING:
    from deploy.commands.audit import VerifiedData
    from deploy.commands.policy import CheckData
    from deploy.journal import Line, Verdict

NEWEST: Final = 100
"""So many lines of the journal are shown; `landfast journal export` gives all."""


@dataclass(frozen=True, slots=True)
class PolicyLook:
    """Rules, seal and journal as they stand."""

    check: "CheckData"
    verdict: "Verdict"
    journal_problem: Problem | None
    newest: "tuple[Line, ...]" = ()
    """Of the journal, newest first."""
    audit: "VerifiedData | None" = None
    """The newest report on this machine whose signature fits."""
    audit_problem: Problem | None = None
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many forms of models each rule of each file refuses."""


def look_at_policy(context: Context, file: str | None) -> PolicyLook:
    """With one more policy file where one is to be tested. Raises what the commands raise."""
    from deploy.commands.journal import verify
    from deploy.commands.policy import check

    checked, verified = check(context, file), verify(context)
    if checked.data is None or verified.data is None:
        raise LandfastError("The rules cannot be read.")
    report, problem = _newest_audit(context)
    hits = (*checked.data.refused_before, *checked.data.newly_refused)
    return PolicyLook(
        check=checked.data,
        verdict=verified.data,
        journal_problem=verified.errors[0] if verified.errors else None,
        newest=_newest_lines(context),
        audit=report,
        audit_problem=problem,
        refused=Counter((hit.rule, hit.file) for hit in hits),
    )


def _newest_lines(context: Context) -> "tuple[Line, ...]":
    """The last lines that are lines of a journal."""
    import msgspec

    from deploy.commands.journal import export
    from deploy.journal import Line

    exported = export(context).data
    lines = []
    for raw in reversed(exported.lines[-NEWEST:] if exported else ()):
        try:
            lines.append(msgspec.json.decode(raw, type=Line))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return tuple(lines)


def _newest_audit(context: Context) -> "tuple[VerifiedData | None, Problem | None]":
    from deploy.commands.audit import verify

    reports = sorted(Path(context.paths.state, "audits").glob("audit-*.json"))
    if not reports:
        return None, None
    try:
        return verify(context, str(reports[-1])).data, None
    except LandfastError as error:
        return None, Problem(error.code, error.message, error.hint)
