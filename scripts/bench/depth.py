"""Speed deep in a conversation: the plan without flash attention beside the engine's own defaults.

python -m scripts.bench.depth RECORD.jsonl [MODEL.gguf DEPTH BUSY ROUNDS]

BUSY other programs compute without end meanwhile. llama-bench without flags is the default; ours is the sealed engine
process, by the clock on the parent's side. Rounds are added to RECORD; the section is written from all of them.
"""

import os
import statistics
import sys
from pathlib import Path
from typing import Final

import msgspec

from deploy.engine.client import LlamaEngine
from deploy.engine.protocol import LoadPlan
from scripts.bench.contention import busy
from scripts.bench.engine import COUNTING, answer, prompt_of
from scripts.bench.quiet import LIMIT, Disturbance
from scripts.bench.report import table, write_section
from scripts.bench.tools import bench

PROMPT_TOKENS: Final = 512
ANSWER_TOKENS: Final = 24


class Round(msgspec.Struct, frozen=True):
    """Tokens per second of one round."""

    model: str
    depth: int
    busy: int
    threads: int
    """Ours."""
    default_prompt: float
    default_decode: float
    our_prompt: float
    our_decode: float
    others: float
    """Share of a core that programs other than the busy ones used meanwhile."""


def plan(depth: int, others: int) -> LoadPlan:
    """What measurement favours on processors: no flash attention, and a thread for each core that is left."""
    threads = max(1, len(os.sched_getaffinity(0)) - others)
    context = depth + PROMPT_TOKENS + ANSWER_TOKENS
    return LoadPlan(context_tokens=context, threads=threads, flash_attention=False)


def measure(model: Path, depth: int, others: int) -> Round:
    """One round of each."""
    tests = ["-p", str(PROMPT_TOKENS), "-n", str(ANSWER_TOKENS), "-d", str(depth), "--no-warmup"]
    ours = plan(depth, others)
    disturbance = Disturbance()
    session = LlamaEngine().open([model], ours, lambda _: None)
    try:
        deep = prompt_of(session, depth) if depth else COUNTING
        answer(session, deep, 1, 0.0)
        with busy(others):
            rows = bench(model, tests)
            reading = answer(session, f"{deep} {prompt_of(session, PROMPT_TOKENS)}", 1, 0.0)
            answer(session, deep, 1, 0.0)
            writing = answer(session, deep, ANSWER_TOKENS, 0.6)
    finally:
        session.close()
    return Round(
        model.stem,
        depth,
        others,
        ours.threads,
        default_prompt=next(row.avg_ts for row in rows if row.n_prompt),
        default_decode=next(row.avg_ts for row in rows if row.n_gen),
        our_prompt=reading.prompt_tok_s,
        our_decode=writing.decode_tok_s,
        others=disturbance.share(),
    )


def section(rounds: list[Round]) -> str:
    """Medians of every file, depth and load."""
    rows = []
    for key in dict.fromkeys((found.model, found.depth, found.busy) for found in rounds):
        these = [found for found in rounds if (found.model, found.depth, found.busy) == key]
        speeds = [
            statistics.median(getattr(found, name) for found in these)
            for name in ("default_decode", "our_decode", "default_prompt", "our_prompt")
        ]
        gains = [
            statistics.median(found.our_decode / found.default_decode for found in these),
            statistics.median(found.our_prompt / found.default_prompt for found in these),
        ]
        rows.append(
            (
                key[0],
                f"{key[1]:,}",
                key[2],
                these[0].threads,
                len(these),
                *(f"{x:.1f}" for x in speeds),
                *(f"{x:.2f}" for x in gains),
            )
        )
    header = (
        *("File", "Depth", "Busy programs", "Our threads", "Rounds", "Default decode", "Ours"),
        *("Default prompt", "Ours", "Decode, times", "Prompt, times"),
    )
    return table(header, rows)


def main(record: Path, model: Path, depth: int, others: int, count: int) -> None:
    """Take rounds and keep them."""
    for _ in range(count):
        found = measure(model, depth, others)
        print(found, flush=True)
        with record.open("ab") as file:
            file.write(msgspec.json.encode(found) + b"\n")


def write(record: Path) -> None:
    """Write the section from all that the record has."""
    taken = [msgspec.json.decode(line, type=Round) for line in record.read_bytes().splitlines()]
    rounds = [found for found in taken if found.others <= LIMIT]
    intro = (
        "`python -m scripts.bench.depth RECORD.jsonl MODEL.gguf DEPTH BUSY ROUNDS`: tokens per second after so many "
        "tokens of context, with so many other programs that never rest. The default is llama-bench without flags "
        "(flash attention on, all cores); ours is the sealed engine process without flash attention, with a thread "
        f"for each core that is left. {PROMPT_TOKENS} tokens read, {ANSWER_TOKENS} written; medians. "
        f"Rounds in which other programs used more than {LIMIT:.0%} of a core are left out."
    )
    write_section("depth", f"## Deep in a conversation\n\n{intro}\n\n{section(rounds)}")


if __name__ == "__main__":
    if len(sys.argv) > 2:  # noqa: PLR2004 - more than RECORD
        main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:6]))
    write(Path(sys.argv[1]))
