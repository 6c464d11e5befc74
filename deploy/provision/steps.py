"""Steps of a plan: each looks first, and changes the host only where it is not as wanted."""

from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol

import msgspec

from deploy.errors import LandfastError, NotWritable
from deploy.results import Problem

State = Literal["ok", "changed", "would-change", "unseen", "failed", "not-reached"]
"""What came of a step; "unseen" is what this user may not look at."""
GO_ON: Final = (
    "This step left the host as it was before it. Put that right and apply the file again: it continues here."
)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a step would do, or did."""

    sentence: str
    before: str = ""
    """What is there, as text; empty for nothing."""
    after: str = ""
    """What is wanted."""


class Unseen(msgspec.Struct, frozen=True):
    """What this user may not look at, so that nothing can be said of it."""

    reason: str


Finding = Change | Unseen | None


class StepReport(msgspec.Struct, frozen=True, kw_only=True):
    """One step and what came of it."""

    name: str
    state: State
    changed: bool = False
    """Whether it changed the host, or would with --check."""
    sentence: str
    before: str = ""
    after: str = ""


class Step(Protocol):
    """One thing that is to be so. `do` is all or nothing."""

    @property
    def name(self) -> str:
        """Of what is to be so, in a few words; no two steps of a plan have the same."""
        ...

    def look(self) -> Finding:
        """What would have to be done; None where all is as wanted. Touches nothing."""
        ...

    def do(self) -> None:
        """Make it so. Raises LandfastError, after which the host is as before."""
        ...


def carry_out(
    steps: Sequence[Step], *, check: bool, begin: Callable[[], None]
) -> tuple[tuple[StepReport, ...], tuple[LandfastError, ...]]:
    """Take the steps in turn until one fails; with `check` only look, at all of them.

    `begin` is called once, before the first change; it may wait for another run to end.
    """
    reports: list[StepReport] = []
    errors: list[LandfastError] = []
    started = False
    for step in steps:
        if errors and not check:
            reports.append(StepReport(name=step.name, state="not-reached", sentence="An earlier step failed."))
            continue
        try:
            found = step.look()
            if found is not None and not check and not started:
                begin()
                started = True
                found = step.look()  # another run may have done it while this one waited
            if found is not None and not check:
                _do(step, found)
        except LandfastError as error:
            errors.append(error)
            reports.append(StepReport(name=step.name, state="failed", sentence=error.message))
        else:
            reports.append(_report(step.name, found, check=check))
    return tuple(reports), tuple(errors)


def problem(error: LandfastError, *, check: bool) -> Problem:
    """The error of a step, with how to go on."""
    hint = error.hint if check else f"{error.hint} {GO_ON}".strip()
    return Problem(error.code, error.message, hint)


def _do(step: Step, found: Change | Unseen) -> None:
    if isinstance(found, Unseen):
        raise NotWritable(found.reason, hint="Apply the file as the user who owns it, such as with sudo.")
    step.do()


def _report(name: str, found: Finding, *, check: bool) -> StepReport:
    if found is None:
        return StepReport(name=name, state="ok", sentence="As wanted.")
    if isinstance(found, Unseen):
        return StepReport(name=name, state="unseen", sentence=f"Not looked at: {found.reason}")
    return StepReport(
        name=name,
        state="would-change" if check else "changed",
        changed=True,
        sentence=found.sentence,
        before=found.before,
        after=found.after,
    )
