"""Decode speed beside other busy programs: llama-bench with as many threads, and ours, which gives way.

python -m scripts.bench.contention RECORD.jsonl [MODEL.gguf BUSY ...]

The other programs are there before, and, for ours, once more so that they come in the middle of an answer. Results are
added to RECORD; the section is written from all of them.
"""

import contextlib
import itertools
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from deploy.engine.client import LlamaEngine, LlamaSession
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import Done, Generate, Sampling, Text
from scripts.bench.report import table, write_section
from scripts.bench.tools import as_options, bench

BUSY: Final = "while True: pass"
TOKENS: Final = 32
FEW_TOKENS: Final = 8
"""Of llama-bench beside others, where a token can take seconds."""
COUNTING: Final = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10,"
"""What no model soon tires of continuing."""
AHEAD_S: Final = 1.0
"""How long the others run before."""


class Taken(msgspec.Struct, frozen=True):
    """Tokens per second beside so many busy programs."""

    model: str
    busy: int
    bench: float
    ours: float
    pause_s: float
    """Longest time between two tokens when the others come in the middle of an answer."""


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Programs that compute without end, for as long as the block lasts."""
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def measure(model: Path, others: int) -> Taken:
    """One file beside so many."""
    plan = LoadPlan(context_tokens=1024, threads=len(os.sched_getaffinity(0)), flash_attention=False)
    session = LlamaEngine().open([model], plan, lambda _: None)
    try:
        answer(session, TOKENS)
        pause = pause_s(session, others)
        with busy(others):
            time.sleep(AHEAD_S)
            ours = statistics.median(answer(session, TOKENS) for _ in range(3))
            theirs = bench(model, ["-p", "0", "-n", str(TOKENS if others == 0 else FEW_TOKENS), *as_options(plan)])[
                0
            ].tok_s
    finally:
        session.close()
    return Taken(model.stem, others, theirs, ours, pause)


def answer(session: LlamaSession, tokens: int) -> float:
    """The engine process's own figure, by the clock."""
    *_, done = session.generate(request(tokens))
    return done.stats.decode_tok_s if isinstance(done, Done) else 0.0


def pause_s(session: LlamaSession, others: int) -> float:
    """The longest pause of an answer in whose first quarter the others come."""
    come, over = threading.Event(), threading.Event()

    def disturb() -> None:
        come.wait()
        with busy(others):
            over.wait()

    disturber = threading.Thread(target=disturb)
    disturber.start()
    times = []
    for event in session.generate(request(8 * TOKENS)):
        if isinstance(event, Text):
            times.append(time.perf_counter())
        if len(times) >= TOKENS:
            come.set()
    come.set()
    over.set()
    disturber.join()
    return max((after - before for before, after in itertools.pairwise(times)), default=0.0)


def request(tokens: int) -> Generate:
    """So many tokens."""
    return Generate(prompt=COUNTING, max_tokens=tokens, sampling=Sampling(temperature=0.6, seed=1))


def section(taken: Sequence[Taken]) -> str:
    """Medians of every file and load."""
    rows = []
    for key in dict.fromkeys((found.model, found.busy) for found in taken):
        these = [found for found in taken if (found.model, found.busy) == key]
        theirs, ours, pause = (
            statistics.median(getattr(found, name) for found in these) for name in ("bench", "ours", "pause_s")
        )
        rows.append((*key, len(these), f"{theirs:.1f}", f"{ours:.1f}", f"{ours / theirs:.2f}", f"{pause:.2f}"))
    header = ("File", "Busy programs", "Rounds", "llama-bench, tok/s", "Ours", "Times", "Longest pause, s")
    return table(header, rows)


def main(record: Path, model: Path | None, loads: Sequence[int]) -> None:
    """Measure, keep it, and write the section."""
    for others in loads:
        if model is not None:
            found = measure(model, others)
            print(found, flush=True)
            with record.open("ab") as file:
                file.write(msgspec.json.encode(found) + b"\n")
    taken = [msgspec.json.decode(line, type=Taken) for line in record.read_bytes().splitlines()]
    intro = (
        "`python -m scripts.bench.contention RECORD.jsonl MODEL.gguf BUSY ...`: decode speed beside programs that "
        "never rest, of llama-bench and of the sealed engine process with the same plan, which has a thread for each "
        "core. Ours gives up threads while others hold their cores, and takes them back. The pause is the longest "
        "between two pieces of text when the others come in the middle of an answer. Medians."
    )
    write_section("contention", f"## A busy machine\n\n{intro}\n\n{section(taken)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2:] else None, [int(load) for load in sys.argv[3:]])
