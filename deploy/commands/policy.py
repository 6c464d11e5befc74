"""`landfast policy`: which rules are in force, and what a change of them would hit."""

from pathlib import Path
from typing import Any

import msgspec

from deploy.commands.admission import subject_of_installed
from deploy.commands.context import Context
from deploy.commands.resolve import catalogued
from deploy.commands.sources import place_of
from deploy.policy.document import Document
from deploy.policy.policy import Policy
from deploy.policy.subject import Subject, of_model
from deploy.results import Result, warning


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """One rule of one file."""

    rule: str
    value: str
    """As a person would write it."""


class PolicyFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file in force."""

    file: str
    name: str
    rules: tuple[InForce, ...]
    doubts: dict[str, str]


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A model that a rule refuses."""

    id: str
    rule: str
    file: str
    why: str
    installed: bool


class ShowData(msgspec.Struct, frozen=True, kw_only=True):
    """All files in force; none admits everything."""

    files: tuple[PolicyFile, ...]
    barred: tuple[str, ...]
    """Sources that are not asked, and why."""


class CheckData(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules admit, now and with one more file."""

    files: tuple[PolicyFile, ...]
    """In force, and the one that was named, which comes last."""
    named: str | None
    forms: int
    """Installable forms of all models in the catalogue, and installed models that it does not know."""
    admitted_before: int
    admitted_after: int
    refused_before: tuple[Hit, ...]
    newly_refused: tuple[Hit, ...]
    """What the named file would take away."""
    barred: tuple[str, ...]
    """Sources that would not be asked, and why."""


def show(context: Context) -> Result[ShowData]:
    """List the rules in force."""
    files = tuple(_file(document) for document in context.policy.documents)
    return Result(command="policy show", data=ShowData(files=files, barred=context.barred))


def check(context: Context, file: str | None) -> Result[CheckData]:
    """Judge the whole catalogue and everything installed, by the rules in force and with one file more.

    Raises NotFound, or PolicyRefused naming the line where the file is broken.
    """
    before = context.policy
    after = before if file is None else before.with_file(Path(file).expanduser())
    subjects = _subjects(context)
    old = {subject.id: hit for subject, installed in subjects if (hit := _hit(before, subject, installed=installed))}
    new = {subject.id: hit for subject, installed in subjects if (hit := _hit(after, subject, installed=installed))}
    taken = tuple(hit for name, hit in new.items() if name not in old)
    lost = [hit.id for hit in taken if hit.installed]
    data = CheckData(
        files=tuple(_file(document) for document in after.documents),
        named=file,
        forms=len(subjects),
        admitted_before=len(subjects) - len(old),
        admitted_after=len(subjects) - len(new),
        refused_before=tuple(old.values()),
        newly_refused=taken,
        barred=_barred(context, after),
    )
    messages = (warning(f"Installed and no longer allowed to run: {', '.join(lost)}."),) if lost else ()
    return Result(command="policy check", data=data, messages=messages)


def _subjects(context: Context) -> list[tuple[Subject, bool]]:
    """Every form of the catalogue, or as it is installed, and what is installed beside it."""
    found = {f"{m.id}:{a.quant}": (of_model(m, a), False) for m in context.catalog().models for a in m.artifacts}
    for record in context.store.installed():
        found[record.id] = (subject_of_installed(record, catalogued(context, record)), True)
    return list(found.values())


def _hit(policy: Policy, subject: Subject, *, installed: bool) -> Hit | None:
    refusal = policy.refusal(subject)
    if refusal is None:
        return None
    return Hit(id=subject.id, rule=refusal.rule, file=refusal.file, why=refusal.why, installed=installed)


def _barred(context: Context, policy: Policy) -> tuple[str, ...]:
    refusals = ((source, policy.refusal_of_place(place_of(source))) for source in context.sources)
    more = tuple(f"The {source.name} is not asked. {refusal.sentence}" for source, refusal in refusals if refusal)
    return (*context.barred, *more)


def _file(document: Document) -> PolicyFile:
    rules = tuple(InForce(rule=rule, value=_written(value)) for rule, value in document.rules.items())
    return PolicyFile(file=document.file, name=document.name, rules=rules, doubts=dict(document.doubts))


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    if value is True:
        return "yes"
    return f"{value / 1e9:g} GB" if isinstance(value, int) else str(value)
