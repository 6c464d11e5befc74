"""An install as steps of one transaction: what is done, what runs, how fast, and what comes next."""

from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from deploy.quantities import gigabytes
from tui import text
from tui.jobs import InstallJob
from tui.steps import Step

GLYPHS: Final = {"waiting": "·", "running": "▸", "done": "✓", "failed": "✗", "stopped": "■"}
NAMES: Final = {"reach": "find", "download": "download", "verify": "verify", "load": "open chat"}
BAR_WIDTH: Final = 24
STATES: Final = {
    "asked": "? to confirm",
    "queued": "· waits",
    "running": "▸ running",
    "stopping": "■ stopping",
    "stopped": "■ stopped",
    "failed": "✗ failed",
    "done": "✓ installed",
}


def state_of(job: InstallJob) -> str:
    """Glyph and word."""
    return "■ interrupted" if job.state == "asked" and job.kept_bytes else STATES[job.state]


def progress_of(job: InstallJob) -> str:
    """How far a job has come, in a few words."""
    if job.state == "done" and job.installed is not None:
        return gigabytes(job.installed.installed.size_bytes)
    if job.state == "asked" and job.kept_bytes:
        return f"{gigabytes(job.kept_bytes)} kept"
    if not job.started or job.steps.current >= len(job.steps.rows):
        return ""
    step = job.steps.rows[job.steps.current]
    name = NAMES[step.name]
    return f"{name} {step.done_bytes / step.total_bytes:.0%}" if step.total_bytes and step.done_bytes else name


def explain(job: InstallJob) -> RenderableType:
    """All of it."""
    return Group(*_parts(job))


def _parts(job: InstallJob) -> list[RenderableType]:
    if not job.started:
        return [_before(job)]
    parts: list[RenderableType] = [_table(job.steps.rows)]
    if job.steps.note and not job.over:
        parts += [Text(), Text(job.steps.note, "dim")]
    return [*parts, Text(), _closing(job)]


def _before(job: InstallJob) -> Text:
    if job.queued:
        return Text("It begins when the install before it has ended. Press x to remove it from the list.")
    if job.kept_bytes:
        kept = f"An earlier run of Landfast was interrupted; {gigabytes(job.kept_bytes)} of it is kept."
        return Text.assemble(kept, ("\n\nPress Enter to continue from there.", "bold"))
    return Text.assemble(job.question, ("\n\nPress Enter to install it, Esc to leave it.", "bold"))


def _closing(job: InstallJob) -> Text:
    if job.problem is not None and job.stopped:
        return Text("■ Stopped. What has come is kept: press Enter to continue from there.")
    if job.problem is not None:
        hint = f"\n  {job.problem.hint}" if job.problem.hint else ""
        return Text.assemble(
            ("✗ ", "bold"), job.problem.message, (hint, "dim"), ("\n\n  Press Enter to try again.", "bold")
        )
    if job.installed is not None:
        return _installed(job)
    if job.stopped:
        return Text("Stopping …", "dim")
    after = "The chat opens when it is done." if job.then_chat else "It continues when you leave this window."
    return Text(after, "dim")


def _installed(job: InstallJob) -> Text:
    said = Text("✓ Installed, and every byte is verified. ")
    said.append("Press Enter to chat.", "bold")
    for file in job.installed.installed.all_files if job.installed else ():
        said.append(f"\n  SHA-256 {file.sha256}", "dim")
    return said


def _table(rows: tuple[Step, ...]) -> Table:
    table = Table.grid(padding=(0, 1))
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for row in rows:
        style = "bold" if row.state in {"running", "failed"} else ("dim" if row.state == "waiting" else "")
        table.add_row(Text(GLYPHS[row.state], style), Text(f"{NAMES[row.name]:<10}", style), _detail(row))
    return table


def _detail(row: Step) -> Text:
    if row.state == "waiting":
        return Text()
    if row.state == "done" or not row.done_bytes:
        return Text(row.text or ("…" if row.state == "running" else ""), "dim", overflow="ellipsis")
    total = row.total_bytes
    share = f"{text.bar(row.done_bytes / total, BAR_WIDTH)} " if total else ""
    of = f" of {gigabytes(total)}" if total else ""
    detail = Text(f"{share}{gigabytes(row.done_bytes)}{of}")
    if row.state == "running" and row.rate_bytes_s:
        left = f" · {text.duration(row.left_s)} left" if row.left_s is not None else ""
        detail.append(f"\n{gigabytes(round(row.rate_bytes_s))}/s{left}", "dim")
    return detail
