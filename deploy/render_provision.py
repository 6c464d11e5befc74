"""Results about whole hosts as text for people."""

import difflib
from typing import Final

from deploy.fit.fit import gigabytes
from deploy.provision.apply import ApplyData
from deploy.provision.evidence import EvidenceData
from deploy.provision.steps import StepReport
from deploy.terminal import out

MARKS: Final = {"ok": "=", "changed": "✓", "would-change": "→", "unseen": "?", "failed": "✗", "not-reached": "·"}


def applied(data: ApplyData, *, diff: bool) -> None:
    """One line a step, and the count by which a program or a person knows what happened."""
    for step in data.steps:
        _say(f"{MARKS[step.state]} {step.name}: {step.sentence}")
        if diff and step.changed:
            for line in _diff(step):
                _say(f"    {line}")
    ok = sum(step.state == "ok" for step in data.steps)
    unseen = sum(step.state == "unseen" for step in data.steps)
    _say(f"changed={data.changed} ok={ok} unseen={unseen} failed={data.failed}{' (only looked)' * data.check}")


def evidence_made(data: EvidenceData) -> None:
    """Where it is, how it is checked, and what it does not show."""
    _say(f"✓ {len(data.files)} files are in {data.path}, {gigabytes(data.size_bytes)}, signed by {data.signed_by}")
    for model in data.models:
        _say(f"  {model}")
    _say("How to check it, without Landfast, stands in README.txt. What it does not cover:")
    for sentence in data.not_covered:
        _say(f"  - {sentence}")


def _diff(step: StepReport) -> list[str]:
    lines = difflib.unified_diff(step.before.splitlines(), step.after.splitlines(), "before", "after", lineterm="")
    return list(lines)


def _say(text: str) -> None:
    from rich.text import Text

    out().print(Text(text), soft_wrap=True)
