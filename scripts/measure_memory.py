"""Asks the engine for the compute buffer of every model over its whole context, as Landfast's engine would load it.

    python -m scripts.measure_memory FACTS_DIR [OUT]

Writes one line a model to scripts/data/memory_bounds.jsonl, which build_catalog.py merges. The same facts and the same
engine give the same bytes. Takes some minutes on one core; needs Linux on x86-64 (see dry_run.py).
"""

import itertools
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from deploy.catalog.model import Cache, StateCurve
from deploy.engine.load_plan import LoadPlan
from deploy.fit.memory import CELL_STEP, state_bytes

if TYPE_CHECKING:
    from scripts.dry_run import DryRun

OUT: Final = Path(__file__).resolve().parent / "data" / "memory_bounds.jsonl"
BATCH_TOKENS: Final = LoadPlan(context_tokens=512).batch_tokens
FIRST: Final = 512
"""A shorter context takes less: the batch shrinks with it."""
LEAST_TOLERANCE_BYTES: Final = 32 << 10
TOLERANCE_PER_PARAMETER: Final = 1 / 4000
"""A thousandth of the weights at two bits each, the smallest form of a model that is ever shipped."""

Points = tuple[tuple[int, int], ...]


class Setting(msgspec.Struct, frozen=True):
    """One way to keep the context; the engine allows values as q8_0 with flash attention only."""

    name: str
    plan: LoadPlan


SETTINGS: Final = (
    Setting("f16", LoadPlan(context_tokens=0)),
    Setting("f16_without_flash", LoadPlan(context_tokens=0, flash_attention=False)),
    Setting("q8_0", LoadPlan(context_tokens=0, kv_type="q8_0")),
)


KEYS: Final = LoadPlan(context_tokens=0, kv_type="q8_0/f16", flash_attention=False)
"""Another, which the engine refuses where keys and values are one."""


class KeysBounds(msgspec.Struct, frozen=True):
    """What a context takes with KEYS."""

    state: StateCurve
    compute: Points


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the file that is written."""

    id: str
    engine: str
    f16: Points
    """Context tokens and bytes. Between two points the bound is the straight line."""
    f16_without_flash: Points
    q8_0: Points
    state_without_flash: StateCurve | None = None
    """Where it differs from the state with flash attention."""
    keys_q8_0: KeysBounds | None = None
    """None where the engine refuses it."""


class CurveRow(msgspec.Struct, frozen=True):
    """One line of memory_curves.jsonl, as far as it is used."""

    id: str
    engine: str | None
    metadata: dict[str, Any] | None
    state: dict[str, StateCurve] | None
    n_params_engine: int | None

    @property
    def tolerance_bytes(self) -> int:
        """What a straight line may be beside a figure; it is added, so that the line is a bound."""
        return max(LEAST_TOLERANCE_BYTES, round((self.n_params_engine or 0) * TOLERANCE_PER_PARAMETER))


def points(ask: Callable[[int], int], longest_tokens: int, tolerance_bytes: int) -> Points:
    """The bound over contexts from 512 tokens on: asked at doubling contexts, and between them until it is straight."""
    known: dict[int, int] = {}

    def at(tokens: int) -> int:
        if tokens not in known:
            known[tokens] = ask(tokens)
        return known[tokens]

    stops = [tokens for tokens in (FIRST << step for step in range(16)) if tokens < longest_tokens] + [longest_tokens]
    for first, last in itertools.pairwise(stops):
        _refine(at, first, last, tolerance_bytes / 2)
    at(stops[-1])
    measured = sorted(known.items())
    return tuple((tokens, count + tolerance_bytes) for tokens, count in _corners(measured, tolerance_bytes / 2))


def _refine(at: Callable[[int], int], first: int, last: int, tolerance: float) -> None:
    """Ask at the quarters; where they do not lie on the line, go on with both halves."""
    steps = (last - first) // CELL_STEP
    ends = ((first, at(first)), (last, at(last)))
    if steps <= 1:
        return
    inner = sorted({first + CELL_STEP * (steps * quarter // 4) for quarter in (1, 2, 3)} - {first, last})
    if all(abs(at(tokens) - _line(*ends, tokens)) <= tolerance for tokens in inner):
        return
    middle = first + CELL_STEP * (steps // 2)
    _refine(at, first, middle, tolerance)
    _refine(at, middle, last, tolerance)


def _corners(measured: list[tuple[int, int]], tolerance: float) -> list[tuple[int, int]]:
    """Leave out what lies on the line between the points that stay."""
    kept = [measured[0]]
    for index in range(1, len(measured) - 1):
        start = next(i for i, point in enumerate(measured) if point == kept[-1])
        between = measured[start + 1 : index + 1]
        following = measured[index + 1]
        off = max(abs(count - _line(kept[-1], following, tokens)) for tokens, count in between)
        if off > tolerance:
            kept.append(measured[index])
    return [*kept, *(measured[-1:] if len(measured) > 1 else [])]


def _line(first: tuple[int, int], last: tuple[int, int], tokens: int) -> float:
    return first[1] + (last[1] - first[1]) * (tokens - first[0]) / (last[0] - first[0])


def measure(row: CurveRow) -> Bounds:
    """All bounds of one model, and a check of its state. Raises ValueError where engine and facts disagree."""
    from scripts.dry_run import DryRun, EngineRefuses

    metadata, states = row.metadata, row.state
    if metadata is None or states is None or row.engine is None:
        raise ValueError("the facts have no dry run of it")
    dry = DryRun(metadata)
    longest = _longest(metadata)
    tried = sorted({FIRST, longest} | {n for n in (768, 4096, longest - CELL_STEP) if FIRST <= n <= longest})
    found: dict[str, Points] = {}
    state_off: StateCurve | None = None
    for setting in SETTINGS:
        plan = setting.plan
        found[setting.name] = _compute_points(dry, plan, longest, row.tolerance_bytes)
        known = states["q8_0" if plan.kv_type == "q8_0" else "f16"]
        real = {tokens: dry.context(_at(plan, tokens)).state for tokens in tried}
        if all(state_bytes(known, n) == count for n, count in real.items()):
            continue
        if setting.name != "f16_without_flash":
            raise ValueError(f"state differs from the facts: {real}")
        state_off = _refit(known, real)
    keys = None
    with suppress(EngineRefuses):
        real = {tokens: dry.context(_at(KEYS, tokens)).state for tokens in tried}
        compute = _compute_points(dry, KEYS, longest, row.tolerance_bytes)
        keys = KeysBounds(_refit(states["f16"], real), compute)
    return Bounds(id=row.id, engine=row.engine, state_without_flash=state_off, keys_q8_0=keys, **found)


def _compute_points(dry: "DryRun", plan: LoadPlan, longest: int, tolerance_bytes: int) -> Points:
    return points(lambda tokens: dry.context(_at(plan, tokens)).compute, longest, tolerance_bytes)


def _refit(known: StateCurve, real: dict[int, int]) -> StateCurve:
    """The same caches with other widths: of the one that grows to the end, then of the window."""
    caches = list(known.caches)
    before, longest = sorted(real)[-2:]
    growing = next(i for i, cache in enumerate(caches) if cache.max_cells is None)
    caches[growing] = msgspec.structs.replace(
        caches[growing], bytes_per_cell=(real[longest] - real[before]) // (longest - before)
    )
    window = next((i for i, cache in enumerate(caches) if cache.max_cells is not None), None)
    if window is not None:
        without = StateCurve(tuple(c for i, c in enumerate(caches) if i != window), known.recurrent_bytes)
        cells = min(longest, caches[window].max_cells or longest)
        width = (real[longest] - state_bytes(without, longest)) // cells
        caches[window] = Cache(bytes_per_cell=width, max_cells=caches[window].max_cells)
    fitted = StateCurve(tuple(caches), known.recurrent_bytes)
    wrong = {n: count for n, count in real.items() if state_bytes(fitted, n) != count}
    if wrong:
        raise ValueError(f"no formula for the state: {real}")
    return fitted


def _at(plan: LoadPlan, context_tokens: int) -> LoadPlan:
    return msgspec.structs.replace(plan, context_tokens=context_tokens)


def _longest(metadata: dict[str, Any]) -> int:
    trained = int(metadata[f"{metadata['general.architecture']}.context_length"])
    return max(BATCH_TOKENS, -(-trained // CELL_STEP) * CELL_STEP)


def _measured_apart(line: bytes) -> bytes | str:
    """Measure in a process of its own, which bad metadata may abort. A text says why there is nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.measure_memory", "--child"], input=line, capture_output=True, check=False
    )
    if done.returncode:
        return done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    return done.stdout


def main(arguments: Sequence[str]) -> None:
    """Measure every model of the facts that the engine knows."""
    if list(arguments) == ["--child"]:
        row = msgspec.json.decode(sys.stdin.buffer.read(), type=CurveRow)
        sys.stdout.buffer.write(msgspec.json.encode(measure(row)) + b"\n")
        return
    if len(arguments) not in (1, 2):
        raise SystemExit("usage: python -m scripts.measure_memory FACTS_DIR [OUT]")
    out = Path(arguments[1]) if len(arguments) > 1 else OUT
    written = []
    for line in (Path(arguments[0]) / "memory_curves.jsonl").read_bytes().splitlines():
        row = msgspec.json.decode(line, type=CurveRow)
        if row.metadata is None:
            continue
        found = _measured_apart(line)
        if isinstance(found, str):
            print(f"{row.id}: {found}")
        else:
            written.append(found)
    out.write_bytes(b"".join(written))
    print(f"{len(written)} models, {out.stat().st_size:,} bytes in {out}")


if __name__ == "__main__":
    main(sys.argv[1:])
