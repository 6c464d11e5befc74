"""Results as text for people. Nothing is computed here that a result does not hold."""

from collections import Counter
from typing import TYPE_CHECKING, Final

from deploy.commands.doctor import DoctorData
from deploy.commands.install import InstallData
from deploy.commands.models import ListData, RemoveData, ShowData, VerifyData
from deploy.commands.plan import PlanData
from deploy.commands.profile import ProfileData
from deploy.commands.run import RunData
from deploy.commands.select import SelectData
from deploy.commands.version import VersionData
from deploy.fit.fit import Fit, gigabytes
from deploy.fit.memory import MemoryPlan
from deploy.fit.rank import Ranked
from deploy.terminal import out
from profiles.machine import Accelerator, Fact, Machine, Unknown

if TYPE_CHECKING:
    from rich.table import Table

RUNNERS_UP: Final = 7
MARKS: Final = {"ok": "✓ ok", "warning": "! look", "failed": "✗ failed"}
REFUSALS: Final = {
    "too-large": "too large for the memory",
    "too-slow": "slower than asked",
    "not-for-chat": "not trained to answer",
    "fits": "would fit, but cannot be had from here now",
}


def profile(data: ProfileData) -> None:
    """One screen: what matters for models first."""
    machine = data.machine
    if machine.simulated:
        out().print("SIMULATED: this machine was read from a file.\n")
    rows = [
        ("Processor", _processor(machine)),
        ("Memory", f"{_size(machine.memory.total_bytes)}, {_size(machine.memory.available_bytes)} available"),
        *(("Limit", f"{limit.name}: {_size(limit.limit_bytes)}") for limit in machine.limits.memory),
        *(("Limit", f"{limit.name}: {_plain(limit.cores)} cores") for limit in machine.limits.cpu),
        ("GPU", _accelerators(machine)),
        ("Disk", f"{_size(machine.disk.free_bytes)} free at {machine.disk.path}"),
        ("Engine", _backends(machine)),
        ("System", f"{_plain(machine.operating_system)}, {_plain(machine.architecture)}"),
    ]
    _print_pairs(rows)
    out().print("\nFor a model")
    for pool in data.budget.pools:
        out().print(f"  {gigabytes(pool.budget_bytes)} in {pool.name}. {pool.free_reason}", markup=False)
        for part in pool.subtractions:
            out().print(f"    less {gigabytes(part.bytes)}: {part.reason}", markup=False)
    out().print(f"  {data.budget.threads_reason}", markup=False)


def select(data: SelectData) -> None:
    """The choice and its reasons, the runners-up, and what was refused."""
    ranking = data.ranking
    if ranking.chosen is not None:
        _chosen(ranking.chosen)
        if len(ranking.ranked) > 1:
            out().print("\nAlso fit, best first")
            out().print(_runners_up(ranking.ranked[1 : RUNNERS_UP + 1]))
    refused = Counter(candidate.fit.verdict for candidate in ranking.refused)
    if refused:
        out().print("\nRefused")
        for verdict, count in refused.most_common():
            out().print(f"  {count:4} {REFUSALS[verdict]}")
    if ranking.chosen is not None and ranking.chosen.obtain != "installed":
        out().print("\nNext: landfast install")


def plan(data: PlanData) -> None:
    """One model, term by term."""
    mark = "✓" if data.verdict == "fits" else "✗"
    out().print(f"{mark} {data.name}", markup=False)
    out().print(f"  {data.reason}\n", markup=False)
    _memory(data.memory)
    out().print()
    for label, speed in (("writes", data.speed.decode_tok_s), ("reads", data.speed.prefill_tok_s)):
        out().print(f"  {label} {_rate(speed)}: {speed.source}", markup=False)
    settings = data.plan
    out().print(
        f"  loaded with {settings.threads} threads, {settings.kv_type} cache, "
        f"{'mapped' if settings.load_mode == 'mmap' else 'read'} weights",
        markup=False,
    )


def install(data: InstallData) -> None:
    """What is in the store now."""
    record = data.installed
    out().print(f"✓ {record.name} {record.quant} is installed as {record.id}.", markup=False)
    out().print(f"  {gigabytes(record.size_bytes)} from the {record.source}, licence {record.licence}.", markup=False)
    for file in record.files:
        by = "as the catalogue says" if file.pinned == "catalogue" else "pinned on first use"
        out().print(f"  SHA-256 {file.sha256} ({by})", markup=False)


def run_summary(data: RunData) -> str:
    """One line of talk after an answer."""
    stats = data.stats
    return (
        f"{data.model} · {stats.answer_tokens} tokens at ✓ {data.decode_tok_s:.0f} tok/s · "
        f"first token ✓ {stats.first_token_s:.2f} s · memory ✓ {gigabytes(stats.memory_bytes)}"
        + {"length": " · cut at --max-tokens", "context": " · the context is full", "cancelled": " · stopped"}.get(
            data.ended, ""
        )
    )


def models(data: ListData) -> None:
    """All installed models."""
    if not data.installed:
        out().print("No model is installed. Next: landfast install")
        return
    table = _table("Model", "Size", "Licence", "From", "Verified")
    for record in data.installed:
        table.add_row(
            record.id, gigabytes(record.size_bytes), record.licence, record.source, f"{record.verified_at:%Y-%m-%d}"
        )
    out().print(table)
    out().print(f"\n{gigabytes(data.used_bytes)} in {data.store}", markup=False)


def show(data: ShowData) -> None:
    """One installed model."""
    record, model = data.installed, data.model
    rows = [
        ("Model", f"{record.name} {record.quant}"),
        ("Id", record.id),
        ("Made by", f"{model.publisher} ({model.country})" if model else "unknown: a file of your own"),
        ("Files by", record.publisher),
        ("Licence", record.licence),
        *((("Restrictions", model.licence.restrictions),) if model and model.licence.restrictions else ()),
        ("Architecture", record.architecture),
        *((("Parameters", f"{model.parameters_total / 1e9:.2f} billion"),) if model else ()),
        *((("Context", f"{model.context_tokens:,} tokens"),) if model else ()),
        ("From", record.source),
        ("Installed", f"{record.installed_at:%Y-%m-%d %H:%M} UTC"),
        ("Verified", f"{record.verified_at:%Y-%m-%d %H:%M} UTC"),
        *(("SHA-256", file.sha256) for file in record.files),
        *(("Path", path) for path in data.paths),
    ]
    _print_pairs(rows)


def verify(data: VerifyData) -> None:
    """One line a file."""
    if not data.models:
        out().print("No model is installed: nothing to verify.")
    for model in data.models:
        for file in model.files:
            mark = "✓" if file.verdict == "ok" else "✗"
            out().print(f"{mark} {model.id}: {file.sentence}", markup=False)


def remove(data: RemoveData) -> None:
    """What was freed."""
    out().print(f"✓ {data.id} is removed, {gigabytes(data.freed_bytes)} freed.", markup=False)


def doctor(data: DoctorData) -> None:
    """A page that can be pasted into a bug report."""
    version(data.version)
    out().print()
    table = _table("Check", "Outcome", "Found")
    for check in data.checks:
        found = check.detail + (f"\n→ {check.advice}" if check.advice else "")
        table.add_row(check.name, MARKS[check.outcome], found)
    out().print(table)


def version(data: VersionData) -> None:
    """The parts and their versions."""
    out().print(
        f"landfast {data.landfast} · {data.engine} · catalogue of {data.catalogue_dated} "
        f"with {data.catalogue_models} models · Python {data.python}",
        markup=False,
    )


def _chosen(choice: Ranked) -> None:
    found = choice.fit
    out().print(f"✓ {found.name} {found.quant}", style="bold", markup=False)
    out().print(f"  {choice.why}", markup=False)
    out().print(f"  {gigabytes(found.size_bytes)}, {choice.obtain}; licence {found.licence}.", markup=False)
    if found.restrictions:
        out().print(f"  Restrictions: {found.restrictions}", markup=False)
    out().print()
    _memory(found.memory)
    speed = found.speed.decode_tok_s
    out().print(f"\n  speed {_rate(speed)}: {speed.source}", markup=False)
    out().print(f"  quality ~ {_plain(found.quality)} points: {found.quality.source}", markup=False)


def _memory(memory: MemoryPlan) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    for term in memory.terms:
        table.add_row(f"  {term.name}", f"{term.provenance.mark} {gigabytes(term.bytes)}", term.how)
    table.add_row("  together", f"{memory.provenance.mark} {gigabytes(memory.peak_bytes)}", "")
    out().print(table)


def _runners_up(candidates: tuple[Ranked, ...]) -> "Table":
    table = _table("Model", "Needs", "Speed", "Why not first")
    for candidate in candidates:
        found: Fit = candidate.fit
        table.add_row(found.id, gigabytes(found.peak_bytes), _rate(found.speed.decode_tok_s), candidate.why)
    return table


def _table(*columns: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print_pairs(rows: list[tuple[str, str]]) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for label, text in rows:
        table.add_row(label, text)
    out().print(table)


def _size(fact: Fact[int]) -> str:
    return f"unknown ({fact.value.reason})" if isinstance(fact.value, Unknown) else gigabytes(fact.value)


def _plain(fact: Fact[str] | Fact[int] | Fact[float]) -> str:
    return f"unknown ({fact.value.reason})" if isinstance(fact.value, Unknown) else str(fact.value)


def _rate(fact: Fact[float]) -> str:
    return "unknown" if isinstance(fact.value, Unknown) else f"{fact.provenance.mark} {fact.value:.0f} tok/s"


def _processor(machine: Machine) -> str:
    sets = machine.cpu.instruction_sets.known
    features = f" ({', '.join(sets)})" if sets else ""
    return f"{_plain(machine.cpu.model)}, {_plain(machine.cpu.physical_cores)} cores{features}"


def _accelerators(machine: Machine) -> str:
    devices = machine.accelerators.value
    if isinstance(devices, Unknown):
        return f"unknown ({devices.reason})"
    return "; ".join(_accelerator(device) for device in devices) or "none"


def _accelerator(device: Accelerator) -> str:
    return f"{device.name}, {_size(device.total_bytes)}, {_size(device.free_bytes)} free"


def _backends(machine: Machine) -> str:
    backends = machine.engine_backends.value
    return f"unknown ({backends.reason})" if isinstance(backends, Unknown) else f"llama.cpp for {', '.join(backends)}"
