"""How results read on the screen: glyph and word, unit and origin. It formats figures and computes none."""

from typing import Final

from deploy.fit.fit import Fit, Workload
from deploy.fit.placement import room_bytes
from deploy.fit.rank import Ranked
from deploy.quantities import gigabytes
from profiles.budget import Budget
from profiles.machine import Fact, Machine, Provenance, Unknown

VERDICTS: Final = {
    "fits": "✓ fits",
    "too-large": "✗ too large",
    "too-slow": "✗ too slow",
    "not-for-chat": "✗ no chat",
    "unsuited": "✗ unsuited",
    "policy": "✗ policy",
}
STEERING: Final = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
KEPT: Final = {ord(character): character for character in "\t\n\r"}
CONTROLS: Final = dict.fromkeys(STEERING, "\ufffd") | KEPT
"""Characters that steer a terminal become a visible mark; tab and line ends stay."""
MINUTE_S: Final = 60
HOUR_S: Final = 3600
FULL: Final = "█"
EMPTY: Final = "░"


def harmless(foreign: str) -> str:
    """Foreign text without what a terminal or a line count would take for more than text.

    An escape sequence in an answer could otherwise write to the clipboard, and a line separator that Markdown does
    not know would make the toolkit draw blocks twice.
    """
    return foreign.translate(CONTROLS)


def bar(share: float, width: int) -> str:
    """A bar of blocks; anything above nothing shows at least one."""
    share = min(1.0, max(0.0, share))
    filled = max(1, round(share * width)) if share > 0 else 0
    return FULL * filled + EMPTY * (width - filled)


def bytes_fact(fact: Fact[int]) -> str:
    """A number of bytes, or the word unknown."""
    return "unknown" if isinstance(fact.value, Unknown) else gigabytes(fact.value)


def needs(fit: Fit) -> str:
    """What a model takes, marked when a part of it is an estimate."""
    mark = "~" if fit.memory.provenance in {Provenance.ESTIMATED, Provenance.ASSUMED} else ""
    return f"{mark}{gigabytes(fit.peak_bytes)}"


def speed(fact: Fact[float]) -> str:
    """Tokens a second with the mark of its origin."""
    if isinstance(fact.value, Unknown):
        return "unknown"
    digits = 1 if fact.value < 10 else 0  # noqa: PLR2004 - two figures are enough
    return f"{fact.provenance.mark}{fact.value:.{digits}f} tok/s"


def state(candidate: Ranked) -> str:
    """Whether the model is here, can be had, or cannot be reached."""
    if not candidate.obtainable:
        return "✗ no source"
    return "● installed" if candidate.obtain == "installed" else "○ to install"


def licence(identifier: str) -> str:
    """A licence's short name."""
    return identifier.removeprefix("LicenseRef-")


def duration(seconds: float) -> str:
    """Seconds as people read them."""
    if seconds < MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < HOUR_S:
        return f"{seconds // MINUTE_S:.0f} min {seconds % MINUTE_S:.0f} s"
    return f"{seconds // HOUR_S:.0f} h {seconds % HOUR_S // MINUTE_S:.0f} min"


def workload_words(workload: Workload) -> str:
    """What the figures were worked out for."""
    language = f" in {workload.language}" if workload.language else ""
    users = f" · {workload.users} users" if workload.users > 1 else ""
    context = f"{workload.context_tokens / 1024:g}k context"
    return f"for {workload.purpose}{language} · {context} · ≥{workload.min_decode_tok_s:g} tok/s{users}"


def machine_lines(machine: Machine, budget: Budget) -> tuple[str, str]:
    """The machine in two lines: what it computes with, and what a model may take of it."""
    cpu, memory = machine.cpu, machine.memory
    processor = "unknown processor" if isinstance(cpu.model.value, Unknown) else cpu.model.value
    threads = "1 thread" if budget.threads == 1 else f"{budget.threads} threads"
    room = f"RAM {bytes_fact(memory.total_bytes)}, {gigabytes(room_bytes(budget.host))} free for a model"
    return (
        f"{processor} · {threads} · {_accelerators(machine, budget)}",
        f"{room} · disk {bytes_fact(machine.disk.free_bytes)} free",
    )


def _accelerators(machine: Machine, budget: Budget) -> str:
    devices = machine.accelerators.value
    if isinstance(devices, Unknown):
        return f"GPU unknown: {devices.reason}"
    if not devices:
        return "no GPU found"
    if budget.unused:
        return " ".join(budget.unused)
    pools = [pool for pool in budget.pools if pool.kind == "accelerator"]
    free = {pool.name: f", {gigabytes(room_bytes(pool))} free for a model" for pool in pools}
    return " · ".join(f"{d.name} {bytes_fact(d.total_bytes)}{free.get(d.name, '')}" for d in devices)
