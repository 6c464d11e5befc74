"""What attention takes by the way in which the context is kept: all ways in one process, in turn, on one file.

python -m scripts.bench.attention RECORD.jsonl [MODEL.gguf DEPTH ROUNDS]

Results are added to RECORD; the section is written from all of them.
"""

import contextlib
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import llama_cpp.llama_cpp as native
import msgspec

from deploy.engine.calibrate import Bench
from deploy.engine.load_plan import LoadPlan
from deploy.engine.measure_protocol import Step
from deploy.engine.native import Log, context_params, open_model
from scripts.bench.quiet import LIMIT, Disturbance
from scripts.bench.report import table, write_section

READ_TOKENS: Final = 512
WRITTEN_TOKENS: Final = 8
THREADS: Final = len(os.sched_getaffinity(0))
PLAIN: Final = LoadPlan(context_tokens=0, threads=THREADS, flash_attention=False)
WAYS: Final = {
    "f16": PLAIN,
    "q8_0/f16": msgspec.structs.replace(PLAIN, kv_type="q8_0/f16"),
    "f16, flash attention": msgspec.structs.replace(PLAIN, flash_attention=True),
}


class Round(msgspec.Struct, frozen=True):
    """Each way once: seconds for a token that is written, and for all that are read."""

    model: str
    depth: int
    write_s: dict[str, float]
    read_s: dict[str, float]
    others: float
    """Share of a core that other programs used meanwhile."""


def measure(path: Path, depth: int, rounds: int) -> Iterator[Round]:
    """All ways with so many tokens in memory."""
    log = Log()
    model = open_model(log, (str(path),), PLAIN, rehearsal=False, on_fraction=lambda _: None)
    write = Step(threads=THREADS, tokens=1, depth_tokens=depth, least=WRITTEN_TOKENS, repeats=WRITTEN_TOKENS)
    read = Step(threads=THREADS, tokens=READ_TOKENS, depth_tokens=depth, least=1, repeats=1)
    with contextlib.ExitStack() as opened:
        opened.callback(native.llama_model_free, model)
        benches = {}
        for name, way in WAYS.items():
            plan = msgspec.structs.replace(way, context_tokens=depth + 2 * READ_TOKENS)
            context = native.llama_init_from_model(model, context_params(plan))
            opened.callback(native.llama_free, context)
            benches[name] = Bench(model, context, plan.batch_tokens)
            benches[name].time(write)
        for _ in range(rounds):
            disturbance = Disturbance()
            writing = {name: statistics.median(bench.time(write)) for name, bench in benches.items()}
            reading = {name: bench.time(read)[0] for name, bench in benches.items()}
            yield Round(path.stem, depth, writing, reading, disturbance.share())


def section(rounds: Sequence[Round]) -> str:
    """Medians of every file and depth, and how many times as fast as the first way each is in the same round."""
    rows = []
    for model, depth in dict.fromkeys((one.model, one.depth) for one in rounds):
        mine = [one for one in rounds if (one.model, one.depth) == (model, depth)]
        for name in WAYS:
            row: list[object] = [model, f"{depth:,}", name, len(mine)]
            for tokens, seconds in (
                (1, [one.write_s for one in mine]),
                (READ_TOKENS, [one.read_s for one in mine]),
            ):
                speed = statistics.median(tokens / each[name] for each in seconds)
                times = statistics.median(each["f16"] / each[name] for each in seconds)
                row += [f"{speed:.1f}", f"{times:.2f}"]
            rows.append(row)
    return table(("File", "Depth", "Cache", "Rounds", "Writes, tok/s", "Times", "Reads, tok/s", "Times"), rows)


def write(record: Path) -> None:
    """Write the section from all that the record has."""
    every = [msgspec.json.decode(line, type=Round) for line in record.read_bytes().splitlines()]
    quiet = [found for found in every if found.others <= LIMIT]
    intro = (
        "`python -m scripts.bench.attention RECORD.jsonl MODEL.gguf DEPTH ROUNDS`: tokens per second after so many "
        f"tokens of context, all ways in one process and in turn, {THREADS} threads, mapped weights. Times: beside an "
        f"f16 cache without flash attention, in the same round; medians. {READ_TOKENS} tokens read, {WRITTEN_TOKENS} "
        f"written. Rounds in which other programs used more than {LIMIT:.0%} of a core are left out."
    )
    write_section("attention", f"## Ways to keep the context\n\n{intro}\n\n{section(quiet)}")


if __name__ == "__main__":
    if len(sys.argv) > 2:  # noqa: PLR2004 - more than RECORD
        with Path(sys.argv[1]).open("ab") as kept:
            for found in measure(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])):
                print(found, flush=True)
                kept.write(msgspec.json.encode(found) + b"\n")
    write(Path(sys.argv[1]))
