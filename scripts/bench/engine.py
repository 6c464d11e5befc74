"""Speed through the sealed engine process beside llama-bench: one build, one file, one plan, in turn.

python -m scripts.bench.engine RECORD.jsonl [MODEL.gguf ROUNDS]

Rounds are added to RECORD, so that they can be taken in pieces; the section is written from all of them.
"""

import os
import statistics
import sys
from pathlib import Path
from typing import Final

import msgspec

from deploy.engine.client import LlamaEngine, LlamaSession
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import Done, Generate, Sampling, Stats
from scripts.bench.quiet import LIMIT, Disturbance
from scripts.bench.report import table, write_section
from scripts.bench.tools import as_options, bench

PROMPT_TOKENS: Final = 512
ANSWER_TOKENS: Final = 64
WARM_UP_TOKENS: Final = 16
"""Enough for the process to have tried how many threads are best, once for a session."""
SAMPLE_WORDS: Final = 32
COUNTING: Final = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10,"
"""What no model soon tires of continuing."""


class Round(msgspec.Struct, frozen=True):
    """Tokens per second of one round."""

    model: str
    plan: str
    bench_prompt: float
    bench_decode: float
    our_prompt: float
    our_decode: float
    """By the clock, drawing and sending included."""
    others: float
    """Share of a core that other programs used meanwhile."""


def plans() -> dict[str, LoadPlan]:
    """The plans that are compared."""
    plain = LoadPlan(context_tokens=1024, threads=len(os.sched_getaffinity(0)))
    return {
        "flash attention": plain,
        "no flash attention": msgspec.structs.replace(plain, flash_attention=False),
        "no flash attention, repacked": msgspec.structs.replace(
            plain, flash_attention=False, repack=True, load_mode="read"
        ),
    }


def answer(session: LlamaSession, prompt: str, tokens: int, temperature: float) -> Stats:
    """Figures of one answer of so many tokens, or less where the model ends it."""
    request = Generate(prompt=prompt, max_tokens=tokens, sampling=Sampling(temperature=temperature, seed=1))
    *_, done = session.generate(request)
    if not isinstance(done, Done):
        raise TypeError(done)
    return done.stats


def prompt_of(session: LlamaSession, tokens: int) -> str:
    """A text that this model reads as so many tokens, or one less."""
    sample = digits(SAMPLE_WORDS)
    added = answer(session, sample, 1, 0.0).prompt_tokens - session.count(sample)
    words = tokens
    while (over := session.count(digits(words)) + added - tokens) > 0:
        words -= max(1, over // 2)
    return digits(words)


def digits(words: int) -> str:
    """So many digits, as words."""
    return " ".join(str(number % 10) for number in range(words))


def measure(model: Path, name: str, plan: LoadPlan) -> Round:
    """llama-bench reading, the engine process, llama-bench writing equally deep in a text: all fresh and warmed up."""
    disturbance = Disturbance()
    options = as_options(plan)
    (their_reading,) = bench(model, ["-p", str(PROMPT_TOKENS), "-n", "0", *options])
    session = LlamaEngine().open([model], plan, lambda _: None)
    try:
        depth = answer(session, COUNTING, 1, 0.0).prompt_tokens
        prompt = prompt_of(session, PROMPT_TOKENS - 2)
        answer(session, f"Warm up. {prompt}", WARM_UP_TOKENS, 0.6)
        reading = answer(session, f"1 {prompt}", 1, 0.0)
        writing = answer(session, COUNTING, ANSWER_TOKENS, 0.6)
    finally:
        session.close()
    (their_writing,) = bench(model, ["-p", "0", "-n", str(ANSWER_TOKENS), "-d", str(depth), *options])
    return Round(
        model.stem,
        name,
        bench_prompt=their_reading.tok_s,
        bench_decode=their_writing.tok_s,
        our_prompt=(reading.prompt_tokens - reading.reused_tokens) / reading.first_token_s,
        our_decode=writing.decode_tok_s,
        others=disturbance.share(),
    )


def section(rounds: list[Round]) -> str:
    """Medians of every file and plan."""
    rows = []
    for model, plan in dict.fromkeys((found.model, found.plan) for found in rounds):
        these = [found for found in rounds if (found.model, found.plan) == (model, plan)]
        shares = [
            statistics.median(found.our_decode / found.bench_decode for found in these),
            statistics.median(found.our_prompt / found.bench_prompt for found in these),
        ]
        speeds = [
            statistics.median(getattr(found, name) for found in these)
            for name in ("bench_decode", "our_decode", "bench_prompt", "our_prompt")
        ]
        rows.append((model, plan, len(these), *(f"{x:.1f}" for x in speeds), *(f"{x * 100:.1f}" for x in shares)))
    header = (
        "File", "Plan", "Rounds", "llama-bench tg64", "Ours", "llama-bench pp512", "Ours", "Decode %", "Prompt %"
    )  # fmt: skip
    return table(header, rows)


def main(record: Path, models: list[Path], count: int) -> None:
    """Take rounds, then write the section from all that the record has."""
    for _ in range(count):
        for model in models:
            for name, plan in plans().items():
                found = measure(model, name, plan)
                print(found, flush=True)
                with record.open("ab") as file:
                    file.write(msgspec.json.encode(found) + b"\n")
    taken = [msgspec.json.decode(line, type=Round) for line in record.read_bytes().splitlines()]
    rounds = [found for found in taken if found.others <= LIMIT]
    intro = (
        "`python -m scripts.bench.engine RECORD.jsonl MODEL.gguf ROUNDS`: tokens per second through the sealed engine "
        "process, by the clock, drawing at temperature 0.6 and sending included, beside llama-bench (which draws "
        "nothing) with the same plan and as deep in a text: same build, same file, in turn. Each round has a process "
        "of each, warmed up, and counts once: processes differ more than what one of them does again. Medians; the "
        "shares are medians of the rounds' own. Rounds in which other programs used more than "
        f"{LIMIT:.0%} of a core are left out."
    )
    write_section("engine", f"## Through the engine process\n\n{intro}\n\n{section(rounds)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:-1]], int(sys.argv[-1]) if len(sys.argv) > 2 else 0)  # noqa: PLR2004 - RECORD alone
