"""Speed deep in a conversation: the sealed engine process beside the engine's own defaults.

python -m scripts.bench.depth RECORD.jsonl [MODEL.gguf DEPTH BUSY SIDE ...]

SIDE is one of ours, llama-bench and llama-server, the last two without flags. BUSY is how many other programs compute
without end meanwhile; several numbers, with commas, are taken one after the other. Results are added to RECORD; the
section is written from all of them.
"""

import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from deploy.commands.context import real_context
from deploy.commands.pace import read_calibration
from deploy.commands.plan import plan
from deploy.engine.client import LlamaEngine
from deploy.engine.load_plan import LoadPlan
from deploy.fit.fit import Workload
from deploy.fit.loading import sparing
from scripts.bench.contention import busy
from scripts.bench.engine import COUNTING, answer, prompt_of
from scripts.bench.quiet import LIMIT, Disturbance
from scripts.bench.report import table, write_section
from scripts.bench.server import serving
from scripts.bench.tools import bench

PROMPT_TOKENS: Final = 512
ANSWER_TOKENS: Final = 24
DEFAULTS: Final = ("llama-bench", "llama-server")


class Speeds(NamedTuple):
    """Tokens per second."""

    prompt: float
    decode: float


class Taken(msgspec.Struct, frozen=True):
    """What one side did once."""

    model: str
    depth: int
    busy: int
    side: str
    prompt: float
    decode: float
    others: float
    """Share of a core that programs other than the busy ones used meanwhile."""


def chosen(model: Path, depth: int) -> LoadPlan:
    """The plan that `landfast plan` chooses for the file, but without guesses.

    Raises SystemExit where nothing was measured to choose by.
    """
    context = real_context(lambda _: None, offline=True)
    if read_calibration(context.paths, context.profile()) is None:
        raise SystemExit("This machine is not calibrated: run `landfast calibrate` first.")
    tokens = depth + PROMPT_TOKENS + ANSWER_TOKENS
    found = plan(context, str(model), Workload(context_tokens=tokens, min_decode_tok_s=0)).data
    if found is None:
        raise SystemExit(f"no plan for {model}")
    return sparing(found.plan)


def ours(model: Path, depth: int, loads: Sequence[int]) -> Iterator[Speeds]:
    """The sealed engine process, by the clock, beside one number of busy programs after the other."""
    session = LlamaEngine().open([model], chosen(model, depth), lambda _: None)
    try:
        deep = prompt_of(session, depth) if depth else COUNTING
        answer(session, deep, 1, 0.0)
        for others in loads:
            with busy(others):
                answer(session, deep, ANSWER_TOKENS, 0.6)
                reading = answer(session, f"{deep} {prompt_of(session, PROMPT_TOKENS)}", 1, 0.0)
                answer(session, deep, 1, 0.0)
                writing = answer(session, deep, ANSWER_TOKENS, 0.6)
            yield Speeds(reading.prompt_tok_s, writing.decode_tok_s)
    finally:
        session.close()


def bench_defaults(model: Path, depth: int, loads: Sequence[int]) -> Iterator[Speeds]:
    """llama-bench without flags."""
    tests = ["-p", str(PROMPT_TOKENS), "-n", str(ANSWER_TOKENS), "-d", str(depth)]
    for others in loads:
        with busy(others):
            rows = bench(model, tests)
        prompt = next(row.tok_s for row in rows if row.n_prompt)
        yield Speeds(prompt, next(row.tok_s for row in rows if row.n_gen))


def server_defaults(model: Path, depth: int, loads: Sequence[int]) -> Iterator[Speeds]:
    """llama-server without flags, by its own clock."""
    deep = [100 + number % 1000 for number in range(max(depth, 8))]
    more = list(range(2000, 2000 + PROMPT_TOKENS))
    with serving(model) as server:
        server.complete(deep, 1)
        for others in loads:
            with busy(others):
                server.complete(deep, ANSWER_TOKENS)
                reading = server.complete([*deep, *more], 1)
                server.complete(deep, 1)
                writing = server.complete(deep, ANSWER_TOKENS)
            yield Speeds(reading.prompt, writing.decode)


SIDES: Final = {"ours": ours, "llama-bench": bench_defaults, "llama-server": server_defaults}


def measure(model: Path, depth: int, loads: Sequence[int], side: str) -> Iterator[Taken]:
    """One side, once beside each number of busy programs."""
    disturbance = Disturbance()
    for others, speeds in zip(loads, SIDES[side](model, depth, loads), strict=True):
        yield Taken(model.stem, depth, others, side, *speeds, others=disturbance.share())
        disturbance = Disturbance()


def section(taken: list[Taken]) -> str:
    """Medians of every file, depth and load, and how many times as fast as each default we are."""
    rows = []
    for key in dict.fromkeys((found.model, found.depth, found.busy) for found in taken):
        of_key = [found for found in taken if (found.model, found.depth, found.busy) == key]
        sides = {side: [found for found in of_key if found.side == side] for side in SIDES}
        if not sides["ours"]:
            continue
        mine = _medians(sides["ours"])
        rows.append(("ours", *_cells(key), len(sides["ours"]), *(f"{x:.1f}" for x in mine), "", ""))
        for side in DEFAULTS:
            if sides[side]:
                theirs = _medians(sides[side])
                times = (f"{mine.decode / theirs.decode:.2f}", f"{mine.prompt / theirs.prompt:.2f}")
                rows.append((side, *_cells(key), len(sides[side]), *(f"{x:.1f}" for x in theirs), *times))
    header = (
        *("Side", "File", "Depth", "Busy programs", "Rounds", "Prompt, tok/s", "Decode, tok/s"),
        *("We write, times", "We read, times"),
    )
    return table(header, rows)


def _cells(key: tuple[str, int, int]) -> tuple[str, str, int]:
    return key[0], f"{key[1]:,}", key[2]


def _medians(taken: Sequence[Taken]) -> Speeds:
    prompt, decode = (statistics.median(getattr(found, name) for found in taken) for name in ("prompt", "decode"))
    return Speeds(prompt, decode)


def main(record: Path, model: Path, depth: int, loads: Sequence[int], sides: Sequence[str]) -> None:
    """Measure and keep it."""
    for side in sides:
        for found in measure(model, depth, loads, side):
            print(found, flush=True)
            with record.open("ab") as file:
                file.write(msgspec.json.encode(found) + b"\n")


def write(record: Path) -> None:
    """Write the section from all that the record has."""
    every = [msgspec.json.decode(line, type=Taken) for line in record.read_bytes().splitlines()]
    taken = [found for found in every if found.others <= LIMIT]
    intro = (
        "`python -m scripts.bench.depth RECORD.jsonl MODEL.gguf DEPTH BUSY SIDE ...`: tokens per second after so many "
        "tokens of context, with so many other programs that never rest. llama-bench and llama-server are the ones "
        "of the same build, without flags; ours is the sealed engine process with the plan that `landfast plan` "
        "chooses on this machine, which was calibrated, and without guesses. At depth that is an f16 cache with "
        "keys as q8_0, without flash attention; at the begin it is flash attention, and weights that are not "
        "repacked, which read faster and write slower than the defaults' repacked ones. "
        f"{PROMPT_TOKENS} tokens read, {ANSWER_TOKENS} written; medians. Measurements in which other programs used "
        f"more than {LIMIT:.0%} of a core are left out."
    )
    write_section("depth", f"## Deep in a conversation\n\n{intro}\n\n{section(taken)}")


if __name__ == "__main__":
    if len(sys.argv) > 2:  # noqa: PLR2004 - more than RECORD
        main(
            Path(sys.argv[1]),
            Path(sys.argv[2]),
            int(sys.argv[3]),
            [int(load) for load in sys.argv[4].split(",")],
            sys.argv[5:],
        )
    write(Path(sys.argv[1]))
