"""Results about the catalogue, the policy and comparisons as text for people."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from deploy.commands.catalog import CatalogData, Listed, UpdateData
from deploy.commands.compare import CompareData, Side
from deploy.commands.policy import CheckData, Hit, PolicyFile, ShowData
from deploy.quantities import gigabytes
from deploy.terminal import new_table, out, put

SHOWN_HITS: Final = 12


def catalog(data: CatalogData) -> None:
    """One line a model, then what is known and cannot be installed."""
    table = new_table("Model", "Parameters", "From", "Licence", "Released", "Publisher")
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
        put(f"\n{_counted(len(data.models))} in the catalogue of {data.dated}.")
    else:
        put(f"No model in the catalogue of {data.dated} is like that. `landfast catalog search` alone lists all.")
    if len(data.models) == 1:
        _one(data.models[0])
        _scores(data)
    for entry in data.left_out:
        put(f"  {entry.id}: cannot be installed. {entry.reason}")


def catalog_updated(data: UpdateData) -> None:
    """What is in force now."""
    before = f"; the one before was of {data.before}" if data.before != data.dated else ""
    put(f"✓ The catalogue of {data.dated} is in force, with {data.models} models{before}.")
    for label, names in (("New", data.added), ("Gone", data.gone)):
        if names:
            put(f"  {label}: {', '.join(names)}")
    if data.signed_by:
        put(f"  Signed with the key {data.signed_by}")


def policy(data: ShowData) -> None:
    """Every rule of every file."""
    if not data.files:
        put("No policy is in force: every model of the catalogue may be used.")
    _files(data.files)
    for sentence in data.barred:
        put(f"  {sentence}")


def policy_checked(data: CheckData) -> None:
    """Figures first, then what is hit."""
    _files(data.files)
    if data.named is None:
        put(f"\n{data.admitted_before} of {data.forms} forms of models are admitted.")
        _hits(data.refused_before)
    else:
        put(f"\nWith {data.named} {data.admitted_after} of {data.forms} forms of models are admitted, ")
        put(f"without it {data.admitted_before}. It would refuse:")
        _hits(data.newly_refused)
    for sentence in data.barred:
        put(f"  {sentence}")


def compared(data: CompareData) -> None:
    """Two columns, then what differs."""
    first, second = data.sides
    table = new_table("", first.plan.name, second.plan.name)
    for label, one, other in zip(_LABELS, _column(first), _column(second), strict=True):
        table.add_row(label, one, other)
    out().print(table)
    out().print()
    for sentence in data.differences:
        put(f"  {sentence}")


MARKS: Final = {True: "✓", False: "✗"}
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
        f"{MARKS[plan.verdict == 'fits']} {plan.verdict.replace('-', ' ')}",
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
    put(f"  Made for: {', '.join(known) or 'nothing in particular'}; not known: {', '.join(unknown) or 'nothing'}")
    put(f"  Languages: {', '.join(model.languages) if model.languages else 'unknown'}")
    put(f"  Context: {model.context_tokens:,} tokens. Openness, at the least: {model.openness}")
    put(f"  Comes as {', '.join(model.quants)}")
    if model.projectors:
        put(f"  For images its projector comes with --for vision, as {', '.join(model.projectors)}")
    if model.restrictions:
        put(f"  Restrictions: {model.restrictions}")
    if model.forbidden:
        put(f"  {model.forbidden}")


def _scores(data: CatalogData) -> None:
    """Benchmark scores of the one model, and whose they are."""
    scores = data.models[0].scores
    shown = (f"{s.benchmark} {s.value:.0f}" if s.value > 1 else f"{s.benchmark} {s.value:.1%}" for s in scores)
    put(f"  Benchmarks: {', '.join(shown) or 'none from a source with open terms'}")
    for source in data.score_sources:
        if any(score.source == source.id for score in scores):
            put(f"    {source.name} ({source.licence}), as of {source.dated}")


def _files(files: Sequence[PolicyFile]) -> None:
    for file in files:
        put(f"{file.name} ({file.file})" if file.name != file.file else file.file)
        for rule in file.rules:
            put(f"  {rule.rule}: {rule.value}")
        for name, doubt in file.doubts.items():
            put(f"  unknown.{name}: {doubt}")


def _hits(hits: Sequence[Hit]) -> None:
    """How many each rule refuses, and all that is installed."""
    for (rule, file), count in Counter((hit.rule, hit.file) for hit in hits).most_common():
        put(f"  {count:5} by {rule} in {file}")
    for hit in [hit for hit in hits if hit.installed][:SHOWN_HITS]:
        put(f"  ! {hit.id} is installed and may not run: {hit.why}")
    if not hits:
        put("  nothing")


def _counted(count: int) -> str:
    return "1 model" if count == 1 else f"{count} models"
