"""Rules, seal and journal as lines of a list, each with its details."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tui.policylook import PolicyLook
from tui.text import harmless

if TYPE_CHECKING:
    from deploy.commands.audit import Findings
    from deploy.commands.policy import CheckData, Hit, PolicyFile
    from deploy.journal import Line as JournalLine

HITS_SHOWN: Final = 200
SEALS: Final = {
    "full": "files and system calls are shut off",
    "two-stage": "system calls are shut off, files once the model is in memory",
    "none": "nothing is shut off",
}
NO_AUDIT: Final = (
    "The engine process gives up the network and the file system before it reads a byte of a model.\n\n"
    "Press a to attack it from inside on this machine: the audit tries what a bad model would try, compares with an "
    "engine without the seal, and writes a signed report that openssl alone can check. It takes some seconds."
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the list."""

    name: str
    rule: str
    value: str
    effect: str
    details: RenderableType


def summary_of(look: PolicyLook) -> str:
    """One sentence on top."""
    check = look.check
    if check.named is not None:
        lost = len(check.newly_refused)
        return f"TEST of {check.named}: it would refuse {lost} of {check.admitted_before:,} forms. Not in force."
    if not check.files:
        return f"No policy is in force: all {check.forms:,} forms of models in the catalogue may be used."
    files = "1 policy file" if len(check.files) == 1 else f"{len(check.files)} policy files"
    return f"{files} in force: {check.admitted_after:,} of {check.forms:,} forms of models may be used."


def lines_of(look: PolicyLook) -> tuple[Line, ...]:
    """All rules of all files, then the sources that are not asked, the seal and the journal."""
    rules = tuple(_rule(look, file, number) for file in look.check.files for number in range(len(file.rules)))
    barred = (_barred(look.check),) if look.check.barred else ()
    return (*(rules or (_no_rule(),)), *barred, _seal(look), _journal(look))


def _no_rule() -> Line:
    return Line(
        name="none",
        rule="no rules",
        value="everything is admitted",
        effect="refuses nothing",
        details=Text(
            "A policy is a TOML file that admits or refuses models by licence, country, publisher, openness, size "
            "and more. It is kept in /etc/landfast/policy.toml for a machine, or beside your settings for you.\n\n"
            "Press t to see what a file would refuse before it is in force."
        ),
    )


def _rule(look: PolicyLook, file: "PolicyFile", number: int) -> Line:
    rule = file.rules[number]
    count = look.refused[rule.rule, file.file]
    hits = [
        h for h in (*look.check.refused_before, *look.check.newly_refused) if (h.rule, h.file) == (rule.rule, file.file)
    ]
    return Line(
        name=f"{file.file} {rule.rule}",
        rule=rule.rule,
        value=harmless(rule.value),
        effect=f"✗ refuses {count:,}" if count else "✓ refuses none",
        details=Group(
            Text(rule.rule, "bold"),
            Text(harmless(rule.value)),
            Text(f"\nIn {file.file}" + (f" ({harmless(file.name)})" if file.name != file.file else ""), "dim"),
            *(Text(f"unknown.{name}: {doubt}", "dim") for name, doubt in file.doubts.items()),
            *_hits(hits),
        ),
    )


def _hits(hits: "list[Hit]") -> list[RenderableType]:
    """Installed ones first: those are what a person will miss."""
    if not hits:
        return [Text("\nIt refuses no model of the catalogue and none that is installed.")]
    ordered = sorted(hits, key=lambda hit: not hit.installed)
    shown: list[RenderableType] = [Text(f"\nRefused because of it: {len(hits):,}", "bold")]
    for hit in ordered[:HITS_SHOWN]:
        mark = "! installed: " if hit.installed else "✗ "
        shown.append(Text.assemble((mark, "bold"), hit.id, (f"\n  {hit.why}", "dim")))
    if len(hits) > HITS_SHOWN:
        shown.append(Text(f"… and {len(hits) - HITS_SHOWN:,} more: `landfast policy check --json` names all.", "dim"))
    return shown


def _barred(check: "CheckData") -> Line:
    return Line(
        name="sources",
        rule="sources",
        value="not all are asked",
        effect=f"✗ {len(check.barred)} not asked",
        details=Text("\n\n".join(check.barred)),
    )


def _seal(look: PolicyLook) -> Line:
    if look.audit_problem is not None:
        problem = look.audit_problem
        text = Text.assemble(("✗ ", "bold"), f"{problem.message} {problem.hint}")
        return Line("seal", "seal", "the last report is damaged", "✗ not shown", text)
    if look.audit is None:
        return Line("seal", "seal", "of the engine process", "? not audited", Text(NO_AUDIT))
    found = look.audit.findings
    return Line(
        name="seal",
        rule="seal",
        value=SEALS[found.seal.level],
        effect="✓ holds" if found.holds else "✗ does not hold",
        details=_findings(found, look.audit.report, look.audit.signed_by),
    )


def _findings(found: "Findings", report: str, signed_by: str) -> RenderableType:
    opened = [attempt for attempt in found.working if attempt.open]
    without = sum(attempt.open for attempt in found.control)
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for attempt in found.working:
        outcome = "it worked" if attempt.open else attempt.outcome
        table.add_row("✗" if attempt.open else "✓", Text.assemble(attempt.name, (f"  {outcome}", "dim")))
    outside = Table.grid(padding=(0, 1))
    for finding in found.outside:
        outside.add_row("✓" if finding.ok else "✗", finding.name, Text(finding.value, "dim"))
    return Group(
        Text(
            f"{'✓ The seal holds' if found.holds else '✗ The seal does not hold'}: {SEALS[found.seal.level]}.", "bold"
        ),
        Text(f"Audited {found.made_at} on {found.kernel}", "dim"),
        Text(
            f"\n{len(found.working)} attacks from inside: {len(opened)} worked. Without the seal {without} work here."
        ),
        Text(f"Planted listeners received: {', '.join(found.received) or 'nothing'}."),
        Text(f"{len(found.calls_allowed)} system calls are left to the engine.\n"),
        table,
        Text("\nSeen from outside", "bold"),
        outside,
        Text("\nNot covered", "bold"),
        Text("\n".join(f"- {sentence}" for sentence in found.not_covered), "dim"),
        Text(f"\nReport: {report}\nSigned with the key {signed_by}", "dim"),
    )


def _journal(look: PolicyLook) -> Line:
    verdict = look.verdict
    if look.journal_problem is not None:
        effect, said = "✗ broken", f"{look.journal_problem.message} {look.journal_problem.hint}"
    else:
        effect, said = ("✓ whole" if verdict.lines else "○ empty"), "No line was changed, removed or inserted."
    head = f"{verdict.lines}:{verdict.head}" if verdict.lines and verdict.whole else ""
    note = "\nNote this elsewhere, to find later whether lines were removed:" if head else ""
    return Line(
        name="journal",
        rule="journal",
        value=f"lines: {verdict.lines:,}, signed checkpoints: {verdict.checkpoints:,}",
        effect=effect,
        details=Group(
            Text(f"{effect}. {said}" if verdict.lines else "Nothing has run yet.", "bold"),
            Text(f"After the last signed checkpoint: {verdict.after_checkpoint:,}."),
            Text(note, "dim"),
            Text(head),
            Text("\nNewest first; never what was asked or answered", "bold") if look.newest else Text(),
            *(_entry(line) for line in look.newest),
        ),
    )


def _entry(line: "JournalLine") -> Text:
    event = line.event
    figures = f"{event.prompt_tokens} read, {event.answer_tokens} written" if event.kind == "answer" else ""
    what = " · ".join(part for part in (event.model, event.seal, event.outcome, figures) if part)
    return Text.assemble((f"{line.time[:19].replace('T', ' ')}  ", "dim"), f"{event.kind:<10}", (harmless(what), "dim"))
