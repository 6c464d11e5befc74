"""Results as text for people. Nothing is computed here that a result does not hold."""

from collections import Counter
from typing import TYPE_CHECKING, Final

from deploy.commands.audit import AuditData, Findings, VerifiedData
from deploy.commands.doctor import DoctorData
from deploy.commands.install import InstallData
from deploy.commands.journal import ExportData
from deploy.commands.machines import LibraryData, RecordData
from deploy.commands.models import ListData, RemoveData, ShowData, VerifyData
from deploy.commands.plan import PlanData
from deploy.commands.profile import ProfileData
from deploy.commands.run import RunData
from deploy.commands.select import SelectData
from deploy.commands.version import VersionData
from deploy.fit.fit import Fit
from deploy.fit.memory import MemoryPlan
from deploy.fit.rank import Ranked
from deploy.journal import Verdict
from deploy.quantities import gigabytes
from deploy.store.records import Acceptance, Pinned, Promise, StoredProjector
from deploy.terminal import cut_short, new_table, out, write_bytes
from profiles.machine import NOT_ASKED, Accelerator, Disk, Fact, Machine, Unknown

if TYPE_CHECKING:
    from rich.table import Table

RUNNERS_UP: Final = 7
EXAMPLES: Final = 3
MARKS: Final = {"ok": "✓ ok", "warning": "! look", "failed": "✗ failed"}
PROMISED: Final[dict[Pinned, str]] = {
    "catalogue": "as the catalogue says",
    "bundle": "as the bundle says",
    "first-use": "pinned on first use",
}
"""Who promised the hash of a file."""
SEALS: Final = {
    "full": "files and system calls are shut off",
    "two-stage": "system calls are shut off, files once the model is in memory",
    "none": "nothing is shut off",
}
SLOW_TOK_S: Final = 10
"""Below this the tenths matter."""
REFUSALS: Final = {
    "too-large": "too large for the memory",
    "too-slow": "slower than asked",
    "not-for-chat": "not trained to answer",
    "unsuited": "not made for what was asked for",
    "policy": "forbidden by the policy",
    "fits": "would fit, but without a source in reach",
}


def banner(text: str) -> None:
    """A mark that nobody overlooks."""
    _line(f"=== {text} ===", style="bold reverse")


def library(data: LibraryData) -> None:
    """The reference machines."""
    table = new_table("Machine", "What it is", "For a model")
    for entry in data.machines:
        table.add_row(entry.name, entry.title, entry.memory)
    out().print(table)


def recorded(data: RecordData) -> None:
    """Where the recording is."""
    _line(f"✓ {data.path} holds what the probes read here ({data.size_bytes:,} bytes).")


def profile(data: ProfileData) -> None:
    """One screen: what matters for models first."""
    machine = data.machine
    rows = [
        ("Processor", _processor(machine)),
        ("Memory", f"{_size(machine.memory.total_bytes)}, {_size(machine.memory.available_bytes)} available"),
        *(("Limit", f"{limit.name}: {_size(limit.limit_bytes)}") for limit in machine.limits.memory),
        *(("Limit", f"{limit.name}: {_plain(limit.cores)} cores") for limit in machine.limits.cpu),
        ("GPU", _accelerators(machine)),
        ("Disk", _disk(machine.disk)),
        ("Engine", _backends(machine)),
        ("System", f"{_plain(machine.operating_system)}, {_plain(machine.architecture)}"),
    ]
    _print_pairs(rows)
    out().print("\nFor a model")
    for pool in data.budget.pools:
        _line(f"  {gigabytes(pool.budget_bytes)} in {pool.name}. {pool.free_reason}")
        for part in pool.subtractions:
            _line(f"    less {gigabytes(part.bytes)}: {part.reason}")
    _line(f"  {data.budget.threads_reason}")


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
            _line(f"  {count:4} {REFUSALS[verdict]}{_examples(data, verdict)}")
    if data.advice is not None:
        out().print(f"\nWhat would bring {data.advice.name}")
        for change in data.advice.changes:
            _line(f"  {change.sentence}")
    if ranking.chosen is not None and ranking.chosen.obtain != "installed":
        out().print("\nNext: `landfast install`.")


def plan(data: PlanData) -> None:
    """One model, term by term."""
    mark = "✓" if data.verdict == "fits" else "✗"
    _line(f"{mark} {data.name}")
    _line(f"  {data.reason}\n")
    _memory(data.memory)
    for change in data.advice:
        _line(f"  {change.sentence}")
    out().print()
    for label, speed in (("writes", data.speed.decode_tok_s), ("reads", data.speed.prefill_tok_s)):
        _line(f"  {label} {_rate(speed)}: {speed.source}")
    settings = data.plan
    _line(
        f"  loaded with {settings.threads} threads, {settings.kv_type} cache, "
        f"{'mapped' if settings.load_mode == 'mmap' else 'read'} weights"
    )


def install(data: InstallData) -> None:
    """What is in the store now."""
    record = data.installed
    _line(f"✓ {record.name} {record.quant} is installed as {record.id}.")
    _line(f"  {gigabytes(record.size_bytes)} from the {record.source}, licence {record.licence}.")
    for file in record.all_files:
        _line(f"  SHA-256 {file.sha256} ({PROMISED[file.pinned]})")


def run_summary(data: RunData) -> str:
    """One line of talk after an answer."""
    stats = data.stats
    return (
        f"{data.model} · {stats.answer_tokens} tokens at ✓ {data.decode_tok_s:.0f} tok/s · "
        f"first token ✓ {stats.first_token_s:.2f} s · memory ✓ {gigabytes(stats.memory_bytes)}" + cut_short(data.ended)
    )


def models(data: ListData) -> None:
    """All installed models."""
    if not data.installed:
        out().print("No model is installed. Next: `landfast install`.")
        return
    table = new_table("Model", "Size", "Licence", "From", "Verified")
    for record in data.installed:
        table.add_row(
            record.id,
            gigabytes(record.size_bytes),
            record.licence,
            "this host" if record.id in data.of_host else record.source,
            f"{record.verified_at:%Y-%m-%d}",
        )
    out().print(table)
    _line(f"\n{gigabytes(data.used_bytes)} in {data.store}")


def _ran(data: ShowData) -> list[tuple[str, str]]:
    """Promise and reality of its speed."""
    pace = data.pace
    if pace is None:
        return []
    runs = "1 run" if pace.runs == 1 else f"{pace.runs} runs"
    last = f"{pace.measured_tok_s:.1f} tok/s, the forecast was {pace.forecast_tok_s:.1f}"
    return [("Ran at", f"{last}; {pace.ratio:.0%} of the plain forecast over {runs}, which later forecasts use")]


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
        *((("Revision", record.revision),) if record.revision else ()),
        *((("Accepted", f"{_accepted(record.accepted)}"),) if record.accepted else ()),
        *((("Forecast", _foretold(record.promise)),) if record.promise else ()),
        *(("SHA-256", file.sha256) for file in record.files),
        *((("Projector", _eyes(record.projector)),) if record.projector else ()),
        *(("Former", f"{one.serial}, of {one.installed_at:%Y-%m-%d}, {one.hashes[0][:12]}") for one in data.former),
        *_ran(data),
        *(("Path", path) for path in data.paths),
    ]
    _print_pairs(rows)


def _eyes(kept: StoredProjector) -> str:
    return f"{kept.name} by {kept.publisher}, {gigabytes(kept.size_bytes)}, SHA-256 {kept.sha256}"


def _accepted(accepted: Acceptance) -> str:
    return f"{accepted.licence}, by {accepted.by}, {accepted.at:%Y-%m-%d %H:%M} UTC"


def _foretold(promise: Promise) -> str:
    speed = "unknown speed" if promise.decode_tok_s is None else f"{promise.decode_tok_s:.0f} tok/s"
    return f"{gigabytes(promise.peak_bytes)} of {gigabytes(promise.room_bytes)} in {promise.pool}, {speed}"


def verify(data: VerifyData) -> None:
    """One line a file."""
    if not data.models:
        out().print("No model is installed: nothing to verify.")
    checked = (*((one.id, one.files) for one in data.models), *((one.id, one.files) for one in data.adapters))
    for name, files in checked:
        for file in files:
            mark = "✓" if file.verdict == "ok" else "✗"
            _line(f"{mark} {name}: {file.sentence}")


def remove(data: RemoveData) -> None:
    """What was freed."""
    _line(f"✓ {data.id} is removed, {gigabytes(data.freed_bytes)} freed.")


def audit(data: AuditData) -> None:
    """What was tried, what was seen, what is not covered, and where the report lies."""
    _findings(data.findings)
    out().print()
    _line(f"Report: {data.report}", style="bold")
    _line(f"  Signed with the key {data.signed_by}")


def audit_verify(data: VerifiedData) -> None:
    """A report, as it was signed."""
    _line(f"✓ {data.report} is unchanged since it was signed with the key {data.signed_by}.", style="bold")
    _findings(data.findings)


def journal_verify(data: Verdict) -> None:
    """Whether the chain holds, and what to note for the next time."""
    _line(f"{'✓' if data.whole else '✗'} {data.lines} lines, {data.checkpoints} signed checkpoints.", style="bold")
    _line(f"  {data.after_checkpoint} lines after the last checkpoint are not signed yet.")
    if data.ended:
        _line(f"  {data.ended} ended journals with {data.ended_lines} lines were checked too.")
    if data.whole and data.lines:
        _line(f"  Note this elsewhere, to find later whether lines were removed: {data.lines}:{data.head}")


def journal_export(data: ExportData) -> None:
    """Plain JSON lines, however wide."""
    write_bytes(b"".join(bytes(line) + b"\n" for line in data.lines))


def doctor(data: DoctorData) -> None:
    """A page that can be pasted into a bug report."""
    version(data.version)
    out().print()
    table = new_table("Check", "Outcome", "Found")
    for check in data.checks:
        found = check.detail + (f"\n→ {check.advice}" if check.advice else "")
        table.add_row(check.name, MARKS[check.outcome], found)
    out().print(table)
    if data.probes:
        out().print()
        table = new_table("Probe", "Outcome", "Took")
        for probe in data.probes:
            mark = f"{MARKS['warning']}: {probe.failure}" if probe.failure else MARKS["ok"]
            table.add_row(probe.name, mark, f"{probe.duration_s * 1000:.0f} ms")
        out().print(table)


def version(data: VersionData) -> None:
    """The parts and their versions."""
    _line(
        f"landfast {data.landfast} · {data.engine} · catalogue of {data.catalogue_dated} "
        f"with {data.catalogue_models} models · Python {data.python}"
    )


def _findings(found: Findings) -> None:
    opened = [attempt for attempt in found.working if attempt.open]
    worked = sum(attempt.open for attempt in found.control)
    _line(f"{'✓ The seal holds' if found.holds else '✗ The seal does not hold'}: {SEALS[found.seal.level]}.")
    _line(f"  {len(found.working)} attacks from inside: {len(opened)} worked. Without the seal {worked} work here.")
    for attempt in opened:
        _line(f"    ✗ {attempt.name}: {attempt.what}")
    _line(f"  Planted listeners received: {', '.join(found.received) or 'nothing'}.")
    while_loading = [attempt.name for attempt in found.while_loading if attempt.open]
    _line(f"  While a model is being read, these work: {', '.join(while_loading) or 'none'}.")
    if found.question is not None:
        _line(f"  {found.question.model} answered sealed, with {found.question.answer_tokens} tokens.")
    _line(f"  {len(found.calls_allowed)} system calls are left to it.")
    out().print()
    _print_pairs([(f"  {'✓' if finding.ok else '✗'} {finding.name}", finding.value) for finding in found.outside])
    for note in found.seal.notes:
        _line(f"  ! {note}")
    out().print("\nNot covered")
    for sentence in found.not_covered:
        _line(f"  - {sentence}")


def _chosen(choice: Ranked) -> None:
    found = choice.fit
    _line(f"✓ {found.name} {found.quant}", style="bold")
    _line(f"  {choice.why}")
    _line(f"  {gigabytes(found.size_bytes)}, {choice.obtain}; licence {found.licence}.")
    if found.restrictions:
        _line(f"  Restrictions: {found.restrictions}")
    out().print()
    _memory(found.memory)
    out().print()
    speed = found.speed.decode_tok_s
    _line(f"  speed {_rate(speed)}: {speed.source}")
    points = "unknown" if found.quality.known is None else f"~ {found.quality.known} points"
    why = found.quality.value.reason if isinstance(found.quality.value, Unknown) else found.quality.source
    _line(f"  quality {points}: {why}")


def _memory(memory: MemoryPlan) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    for term in memory.terms:
        table.add_row(f"  {term.name}", f"{term.provenance.mark} {gigabytes(term.bytes)}", term.how)
    mark = memory.provenance.mark
    reclaimable = memory.peak_bytes - memory.hard_bytes
    table.add_row("  hard", f"{mark} {gigabytes(memory.hard_bytes)}", "must stay in memory")
    if reclaimable:
        table.add_row("  reclaimable", f"{mark} {gigabytes(reclaimable)}", "mapped weights, read again when taken back")
    table.add_row("  peak", f"{mark} {gigabytes(memory.peak_bytes)}", "what must be free for the promised speed")
    out().print(table)


def _examples(data: SelectData, verdict: str) -> str:
    """The best few of what would fit if it could be had: the reader may want to fetch them."""
    if verdict != "fits":
        return ""
    names = [candidate.fit.id for candidate in data.ranking.refused if candidate.fit.verdict == verdict]
    return f", such as {', '.join(names[:EXAMPLES])}"


def _runners_up(candidates: tuple[Ranked, ...]) -> "Table":
    table = new_table("Model", "Needs", "Speed", "Why not first")
    for candidate in candidates:
        found: Fit = candidate.fit
        table.add_row(found.id, gigabytes(found.peak_bytes), _rate(found.speed.decode_tok_s), candidate.why)
    return table


def _line(text: str, style: str = "") -> None:
    """One paragraph; its continuation lines keep its indentation."""
    from rich.padding import Padding
    from rich.text import Text

    words = text.lstrip(" ")
    indent = len(text) - len(words)
    out().print(Padding(Text(words, style=style), (0, 0, 0, indent), expand=False))


def _print_pairs(rows: list[tuple[str, str]]) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(overflow="fold")
    for label, text in rows:
        table.add_row(label, text)
    out().print(table)


def _disk(disk: Disk) -> str:
    said = f"{_size(disk.free_bytes)} free at {disk.path}"
    if disk.read_bytes_s == NOT_ASKED:
        return said
    rate = disk.read_bytes_s.value
    if isinstance(rate, Unknown):
        return f"{said}; how fast it reads is unknown ({rate.reason})"
    return f"{said}, reads {gigabytes(round(rate))} a second"


def _size(fact: Fact[int]) -> str:
    return f"unknown ({fact.value.reason})" if isinstance(fact.value, Unknown) else gigabytes(fact.value)


def _plain(fact: Fact[str] | Fact[int] | Fact[float]) -> str:
    return f"unknown ({fact.value.reason})" if isinstance(fact.value, Unknown) else str(fact.value)


def _rate(fact: Fact[float]) -> str:
    if isinstance(fact.value, Unknown):
        return "unknown"
    digits = 1 if fact.value < SLOW_TOK_S else 0
    return f"{fact.provenance.mark} {fact.value:.{digits}f} tok/s"


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
