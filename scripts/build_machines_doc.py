"""Writes docs/machines.md: what the profiler makes of each recorded machine.

python -m scripts.build_machines_doc [OUT]
"""

import json
import sys
from pathlib import Path

from profiles.budget import Budget, budget
from profiles.machine import Accelerator, Machine, Unknown
from profiles.recording import Recording, recording_from_json, replay

ROOT = Path(__file__).resolve().parents[1]
MACHINES = ROOT / "tests" / "profiles" / "machines"
GIB = 1 << 30
HEAD = """# Recorded machines

Made by `scripts/build_machines_doc.py` from the recordings in `tests/profiles/machines/`; a test fails when it is out
of date. Each row is a machine whose tools' outputs were published, played back through the probes. A recording may
hold only a part of a machine: what it does not hold is unknown, and a budget of an unknown amount is none. Budgets
are of the pools that an engine build for these devices would have; memory that a GPU shares with the host stands in
brackets, because it is the host's as well. Sizes are in GiB.
"""
COLUMNS = ("Machine", "Memory", "Threads", "Accelerators", "Budget of the host", "Budget of the accelerators", "Trap")


def page() -> str:
    """Give the whole page."""
    expected = json.loads((MACHINES / "expected.json").read_text(encoding="utf-8"))
    rows = [row(slug, entry.get("trap", "")) for slug, entry in sorted(expected.items())]
    lines = [f"| {' | '.join(cells)} |" for cells in (COLUMNS, ("---",) * len(COLUMNS), *rows)]
    sources = [f"- `{slug}`: {'; '.join(read(slug).source)}" for slug in sorted(expected)]
    return "\n".join([HEAD, *lines, "", "## Sources", "", *sources, ""])


def read(slug: str) -> Recording:
    """Read one recording."""
    return recording_from_json((MACHINES / f"{slug}.json").read_bytes())


def row(slug: str, trap: str) -> tuple[str, ...]:
    """Give one machine's cells."""
    recording = read(slug)
    machine = replay(recording)
    found = budget(machine)
    return (
        f"{cell(recording.title)} (`{slug}`)",
        gib(machine.memory.total_bytes.known),
        str(found.threads) if machine.cpu.logical_cores.known else "",
        accelerators(machine),
        gib(found.host.budget_bytes or None),
        budgets(found),
        cell(trap),
    )


def accelerators(machine: Machine) -> str:
    """List the devices, equal ones once with their number."""
    devices = machine.accelerators.value
    if isinstance(devices, Unknown):
        return "unknown"
    counts: dict[str, int] = {}
    for device in devices:
        counts[describe(device)] = counts.get(describe(device), 0) + 1
    return "<br>".join(f"{count} x {text}" if count > 1 else text for text, count in counts.items()) or "none"


def describe(device: Accelerator) -> str:
    """Name a device with its kind and size."""
    return f"{cell(device.name)}, {device.memory_kind}, {gib(device.total_bytes.known) or 'size unknown'}"


def budgets(found: Budget) -> str:
    """List the accelerators' budgets."""
    pools = [pool for pool in found.pools if pool.kind == "accelerator"]
    return ", ".join(f"({gib(p.budget_bytes)})" if p.shared_bytes else gib(p.budget_bytes) for p in pools)


def gib(size: int | None) -> str:
    """Write a size, empty where it is unknown."""
    return "" if size is None else f"{size / GIB:.1f}"


def cell(text: str) -> str:
    """Write a text that does not end its cell."""
    return text.replace("|", "/").replace("\n", " ")


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "docs" / "machines.md").write_text(page(), encoding="utf-8")
