"""Times the first five of every use on this machine: their forecast against files of their full shape.

    python -m scripts.bench.picks list
    python -m scripts.bench.picks measure FACTS_DIR WORK_DIR [MODEL:QUANT[@DEPTH] ...]
    python -m scripts.bench.picks report WORK_DIR

It is for a machine that was calibrated. `measure` takes all picks, or those named, and adds what it finds to
WORK_DIR/picks.jsonl; it may be called in pieces, on a quiet machine. Tokens are timed with half of the context in
memory, or with DEPTH, for a shape that takes minutes to read so much. `report` writes the section of BENCHMARKS.md.
"""

import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from deploy.catalog import loader
from deploy.commands.pace import timed_budget
from deploy.engine.base import Trial
from deploy.engine.client import LlamaEngine
from deploy.engine.measure_protocol import Step, Timing
from deploy.fit.fit import Fit, Workload
from deploy.fit.rank import rank
from deploy.fit.speed import Range, conditions_of
from deploy.fit.suit import PURPOSES, Purpose
from deploy.paths import current
from profiles.budget import Budget
from profiles.probe import profile
from scripts.bench.memory import engine, full_shape, metadata_of
from scripts.bench.quiet import Disturbance
from scripts.bench.report import table, write_section
from scripts.bench.speed import enliven

SHOWN: Final = 5
DISTURBED_CORES: Final = 0.2
"""What was measured beside more than this counts for nothing."""
LEAST_TOK_S: Final = Workload().min_decode_tok_s


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One pick: what was promised, and what a file of its shape did."""

    name: str
    licence: str
    size_bytes: int
    file_bytes: int
    """Of the file of its shape."""
    peak_share: float
    """Of all memory."""
    depth_tokens: int
    forecast_tok_s: float
    forecast_range: Range
    empty_tok_s: float
    deep_tok_s: float
    foreign_cores: float


class Picks(NamedTuple):
    """What is chosen here."""

    by_use: dict[Purpose, tuple[str, ...]]
    fits: dict[str, Fit]
    total_bytes: int


def here() -> Budget:
    """The budget of this machine, with its calibration."""
    paths = current()
    found = timed_budget(paths, profile(paths.store))
    if conditions_of(found).calibration is None:
        raise SystemExit("This machine is not calibrated: run `landfast calibrate` first.")
    return found


@cache
def picks() -> Picks:
    """The first five of every use."""
    catalog, found = loader.load(), here()
    by_use: dict[Purpose, tuple[str, ...]] = {}
    fits: dict[str, Fit] = {}
    for purpose in PURPOSES:
        ranking = rank(catalog, found, Workload(purpose=purpose), lambda _model, _artifact: (True, "assumed"))
        first = [one.fit for one in ranking.ranked[:SHOWN]]
        by_use[purpose] = tuple(fit.id for fit in first)
        fits |= {fit.id: fit for fit in first}
    return Picks(by_use, fits, found.host.total_bytes.known or 0)


def measure(facts: Path, work: Path, names: Sequence[str]) -> None:
    """Write the file of each pick, time it, and take it away again."""
    known = metadata_of(facts)
    work.mkdir(parents=True, exist_ok=True)
    for name in names or picks().fits:
        pick, _, depth = name.partition("@")
        fit = picks().fits[pick]
        path = full_shape(known[fit.model_id], fit.model_id, fit.quant, work)
        try:
            enliven(path)
            record = _record(fit, path, int(depth) if depth else fit.plan.context_tokens // 2)
        finally:
            path.unlink()
        with (work / "picks.jsonl").open("ab") as file:
            file.write(msgspec.json.encode(record) + b"\n")
        print(record, flush=True)


def _record(fit: Fit, path: Path, depth: int) -> Record:
    """With the plan that was chosen, empty and with so many tokens in memory."""
    disturbance = Disturbance()
    steps = (_step(fit, 0), _step(fit, depth))
    (found,) = LlamaEngine().measure([Trial(path, fit.plan, steps)])
    empty, deep = (_rate(timing) for timing in found.timings)
    return Record(
        name=fit.id,
        licence=fit.licence,
        size_bytes=fit.size_bytes,
        file_bytes=path.stat().st_size,
        peak_share=fit.peak_bytes / picks().total_bytes,
        depth_tokens=depth,
        forecast_tok_s=fit.speed.decode_tok_s.known or 0.0,
        forecast_range=fit.speed.decode_range,
        empty_tok_s=empty,
        deep_tok_s=deep,
        foreign_cores=disturbance.share(),
    )


def _step(fit: Fit, depth: int) -> Step:
    return Step(threads=fit.plan.threads, tokens=1, depth_tokens=depth, least=12, limit_s=4.0)


def _rate(timing: Timing) -> float:
    """Of the median repetition."""
    return 1 / sorted(timing.seconds)[len(timing.seconds) // 2]


def report(work: Path) -> None:
    """Write the section: the picks by use, and what each did."""
    lines = (work / "picks.jsonl").read_bytes().splitlines()
    records = (msgspec.json.decode(line, type=Record) for line in lines)
    found = {record.name: record for record in records if record.foreign_cores <= DISTURBED_CORES}
    uses = [(purpose, *names) for purpose, names in picks().by_use.items()]
    rows = [_row(found[name]) for name in sorted(picks().fits) if name in found]
    missing = sorted(set(picks().fits) - set(found))
    slowest = min(found[name].deep_tok_s for name in picks().fits if name in found)
    largest = max(found[name].peak_share for name in picks().fits if name in found)
    intro = (
        "## The first five of every use\n\n"
        f"`python -m scripts.bench.picks`, {engine()}, a machine with two cores and {picks().total_bytes / 1e9:.0f} GB "
        "of memory, calibrated. What `select` puts first when everything can be had, and what synthetic files of their "
        f"full shape did with the plan that was chosen: median of at least 12 tokens, in tok/s. The slowest "
        f"writes {slowest:.1f} with what stands under At in memory ({LEAST_TOK_S:g} were asked for); the largest is "
        f"planned with {largest:.1%} of all memory. Others: cores that other programs took meanwhile."
        + (f" Not measured: {', '.join(missing)}." if missing else "")
    )
    header = (
        "Pick",
        "Licence",
        "GB",
        "File, GB",
        "Of memory %",
        "At",
        "Forecast",
        "Real",
        "Off %",
        "In range",
        "Empty",
        "Others",
    )
    places = ("Use", *(str(number) for number in range(1, SHOWN + 1)))
    write_section("picks", "\n\n".join((intro, table(places, uses), table(header, rows))))


def _row(record: Record) -> tuple[object, ...]:
    within = record.forecast_range.least <= record.deep_tok_s <= record.forecast_range.most
    return (
        record.name,
        record.licence,
        f"{record.size_bytes / 1e9:.2f}",
        f"{record.file_bytes / 1e9:.2f}",
        f"{100 * record.peak_share:.0f}",
        f"{record.depth_tokens:,}",
        f"{record.forecast_tok_s:.1f}",
        f"{record.deep_tok_s:.1f}",
        f"{100 * (record.forecast_tok_s / record.deep_tok_s - 1):+.0f}",
        "yes" if within else "no",
        f"{record.empty_tok_s:.1f}",
        f"{record.foreign_cores:.2f}",
    )


def main(arguments: Sequence[str]) -> None:
    """Run what was asked for."""
    os.environ["GGML_NO_BACKTRACE"] = "1"
    match arguments:
        case ["list"]:
            print("\n".join(picks().fits))
        case ["measure", facts, work, *names]:
            measure(Path(facts), Path(work), names)
        case ["report", work]:
            report(Path(work))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
