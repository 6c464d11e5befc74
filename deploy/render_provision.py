"""Results about whole hosts as text for people."""

import difflib
from functools import partial
from typing import Final

from deploy.provision.apply import ApplyData
from deploy.provision.evidence import EvidenceData
from deploy.provision.steps import StepReport
from deploy.quantities import gigabytes
from deploy.terminal import put

_put = partial(put, soft_wrap=True)  # hashes, paths and lines of files stay whole

MARKS: Final = {"ok": "=", "changed": "✓", "would-change": "→", "unseen": "?", "failed": "✗", "not-reached": "·"}


def applied(data: ApplyData, *, diff: bool) -> None:
    """One line a step, and the count by which a program or a person knows what happened."""
    for step in data.steps:
        _put(f"{MARKS[step.state]} {step.name}: {step.sentence}")
        if diff and step.changed:
            for line in _diff(step):
                _put(f"    {line}")
    ok = sum(step.state == "ok" for step in data.steps)
    unseen = sum(step.state == "unseen" for step in data.steps)
    _put(f"changed={data.changed} ok={ok} unseen={unseen} failed={data.failed}{' (check only)' * data.check}")


def evidence_made(data: EvidenceData) -> None:
    """Where it is, how it is checked, and what it does not show."""
    _put(f"✓ {len(data.files)} files are in {data.path}, {gigabytes(data.size_bytes)}, signed by {data.signed_by}")
    for model in data.models:
        _put(f"  {model}")
    _put("README.txt says how to check it without Landfast. What it does not cover:")
    for sentence in data.not_covered:
        _put(f"  - {sentence}")


def _diff(step: StepReport) -> list[str]:
    lines = difflib.unified_diff(step.before.splitlines(), step.after.splitlines(), "before", "after", lineterm="")
    return list(lines)
