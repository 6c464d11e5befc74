"""Results about the catalogue, the policy and comparisons as text for people."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from deploy.commands.catalog import CatalogData, Listed, UpdateData
from deploy.commands.compare import CompareData, Side
from deploy.commands.policy import CheckData, Hit, PolicyFile, ShowData
from deploy.fit.fit import gigabytes
from deploy.terminal import out

if TYPE_CHECKING:
    from rich.table import Table

SHOWN_HITS: Final = 12


def catalog(data: CatalogData) -> None:
    """One line a model, then what is known and cannot be installed."""
    table = _table("Model", "Parameters", "From", "Licence", "Released", "Publisher")
    for model in data.models:
        size = f"{model.parameters_total / 1e9:.1f} B"
        mark = " (forbidden)" if model.forbidden else ""
        table.add_row(
            model.id + mark,
            size,
            gigabytes(model.smallest_bytes),
            model.licence,
            model.release_date or "unknown",
            f"{model.publisher}, {model.country}",
        )
    if data.models:
        out().print(table)
    _say(f"\n{_counted(len(data.models))} in the catalogue of {data.dated}.")
    if len(data.models) == 1:
        _one(data.models[0])
        _scores(data)
    for entry in data.left_out:
        _say(f"  {entry.id}: cannot be installed. {entry.reason}")


def catalog_updated(data: UpdateData) -> None:
    """What is in force now."""
    _say(f"✓ The catalogue of {data.dated} is in force, with {data.models} models; before it was of {data.before}.")
    for label, names in (("New", data.added), ("Gone", data.gone)):
        if names:
            _say(f"  {label}: {', '.join(names)}")
    if data.signed_by:
        _say(f"  Signed with the key {data.signed_by}")


def policy(data: ShowData) -> None:
    """Every rule of every file."""
    if not data.files:
        _say("No policy is in force: every model of the catalogue may be used.")
    _files(data.files)
    for sentence in data.barred:
        _say(f"  {sentence}")


def policy_checked(data: CheckData) -> None:
    """Figures first, then what is hit."""
    _files(data.files)
    if data.named is None:
        _say(f"\n{data.admitted_before} of {data.forms} forms of models are admitted.")
        _hits(data.refused_before)
    else:
        _say(f"\nWith {data.named} {data.admitted_after} of {data.forms} forms of models are admitted, ")
        _say(f"without it {data.admitted_before}. It would take away:")
        _hits(data.newly_refused)
    for sentence in data.barred:
        _say(f"  {sentence}")


def compared(data: CompareData) -> None:
    """Two columns, then what differs."""
    first, second = data.sides
    table = _table("", first.plan.name, second.plan.name)
    for label, one, other in zip(_LABELS, _column(first), _column(second), strict=True):
        table.add_row(label, one, other)
    out().print(table)
    out().print()
    for sentence in data.differences:
        _say(f"  {sentence}")


_LABELS: Final = (
    "Verdict",
    "Hard",
    "Reclaimable",
    "Peak",
    "Writes",
    "Quality",
    "Licence",
    "Publisher",
    "Released",
    "Parameters",
)


def _column(side: Side) -> tuple[str, ...]:
    plan, model = side.plan, side.model
    speed, points = plan.speed.decode_tok_s, side.quality.known
    return (
        plan.verdict,
        gigabytes(plan.hard_bytes),
        gigabytes(plan.peak_bytes - plan.hard_bytes),
        f"{plan.memory.provenance.mark} {gigabytes(plan.peak_bytes)}",
        "unknown" if speed.known is None else f"{speed.provenance.mark} {speed.known:.0f} tok/s",
        "unknown" if points is None else f"~ {points:.1f} points",
        plan.licence or "unknown",
        "unknown" if model is None else f"{model.publisher}, {model.country}",
        (model.release_date if model else None) or "unknown",
        "unknown" if model is None else f"{model.parameters_total / 1e9:.1f} B",
    )


def _one(model: Listed) -> None:
    """All that is known of a model that was found alone."""
    capabilities = {name: getattr(model.capabilities, name) for name in model.capabilities.__struct_fields__}
    known = [name for name, value in capabilities.items() if value]
    unknown = [name for name, value in capabilities.items() if value is None]
    _say(f"  Made for: {', '.join(known) or 'nothing in particular'}; not known: {', '.join(unknown) or 'nothing'}")
    _say(f"  Languages: {', '.join(model.languages) if model.languages else 'unknown'}")
    _say(f"  Context: {model.context_tokens:,} tokens. Openness, at the least: {model.openness}")
    _say(f"  Comes as {', '.join(model.quants)}")
    if model.restrictions:
        _say(f"  Restrictions: {model.restrictions}")
    if model.forbidden:
        _say(f"  {model.forbidden}")


def _scores(data: CatalogData) -> None:
    """Benchmark scores of the one model, and whose they are."""
    scores = data.models[0].scores
    shown = (f"{s.benchmark} {s.value:.0f}" if s.value > 1 else f"{s.benchmark} {s.value:.1%}" for s in scores)
    _say(f"  Benchmarks: {', '.join(shown) or 'none from a source with open terms'}")
    for source in data.score_sources:
        if any(score.source == source.id for score in scores):
            _say(f"    {source.name} ({source.licence}), as of {source.dated}")


def _files(files: Sequence[PolicyFile]) -> None:
    for file in files:
        _say(f"{file.name} ({file.file})" if file.name != file.file else file.file)
        for rule in file.rules:
            _say(f"  {rule.rule}: {rule.value}")
        for name, doubt in file.doubts.items():
            _say(f"  unknown.{name}: {doubt}")


def _hits(hits: Sequence[Hit]) -> None:
    """How many each rule refuses, and all that is installed."""
    for (rule, file), count in Counter((hit.rule, hit.file) for hit in hits).most_common():
        _say(f"  {count:5} by {rule} in {file}")
    for hit in [hit for hit in hits if hit.installed][:SHOWN_HITS]:
        _say(f"  ! {hit.id} is installed and may not run: {hit.why}")
    if not hits:
        _say("  nothing")


def _counted(count: int) -> str:
    return "1 model" if count == 1 else f"{count} models"


def _say(text: str) -> None:
    from rich.text import Text

    out().print(Text(text))


def _table(*columns: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
