"""What guessing ahead from the text gives: the same questions with and without it.

python -m scripts.bench.speculation MODEL.gguf [ROUNDS]
"""

import os
import statistics
import sys
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from deploy.engine.client import LlamaEngine
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import ChatMessage, Done, Generate, Sampling, Stats
from deploy.engine.speculate import MOST_GUESSES
from scripts.bench.report import table, write_section

TEXT: Final = (
    "The lighthouse at Cape Arran was built in 1823 by order of the harbour board, after two ships had been lost in "
    "the winter before. Its first keeper, Abel Morrow, wrote every evening what he had seen: the ships, the weather, "
    "the oil that was burned. When he died in 1851 his daughter Ruth took the lamp, and she kept it for thirty-four "
    "years. The book that they wrote has nine hundred pages. It names 4,112 ships, 61 storms and one whale, which lay "
    "on the beach for a week in the spring of 1840 and was then taken by the tide."
)
TASKS: Final = {
    "copy": f"Repeat this text word for word, without any change:\n\n{TEXT}",
    "change a name": f"Replace 'Abel' by 'Adam' in this text and give the whole text back:\n\n{TEXT}",
    "explain": "Explain in your own words how a lighthouse works.",
    "tell": "Write a long story about a dog that learns to swim.",
    "translate": "Translate into French: The ship left the harbour in the morning and came back in the evening.",
}
TOKENS: Final = 200


def answers(model: Path, plan: LoadPlan, seed: int) -> dict[str, Stats]:
    """Every task in a fresh process, drawn as the model's makers recommend."""
    session = LlamaEngine().open([model], plan, lambda _: None)
    try:
        found = {}
        for task, question in TASKS.items():
            message = ChatMessage("user", question)
            request = Generate(messages=(message,), max_tokens=TOKENS, sampling=Sampling(seed=seed))
            *_, done = session.generate(request)
            if not isinstance(done, Done):
                raise TypeError(done)
            found[task] = done.stats
        return found
    finally:
        session.close()


class Pair(NamedTuple):
    """One task, without and with guesses."""

    task: str
    attention: str
    plain: Stats
    guessing: Stats


def pairs(model: Path, seed: int) -> list[Pair]:
    """One round."""
    taken = []
    for attention in (False, True):
        plain = LoadPlan(
            context_tokens=2048, threads=len(os.sched_getaffinity(0)), flash_attention=attention
        )  # fmt: skip
        without = answers(model, plain, seed)
        with_it = answers(model, msgspec.structs.replace(plain, speculation_tokens=MOST_GUESSES), seed)
        name = "flash" if attention else "plain"
        taken += [Pair(task, name, stats, with_it[task]) for task, stats in without.items()]
    return taken


def row(these: list[Pair]) -> tuple[object, ...]:
    """One line of the table: medians of the rounds."""
    gain = statistics.median(pair.guessing.decode_tok_s / pair.plain.decode_tok_s for pair in these)
    all_ = [pair.guessing.speculation for pair in these]
    return (
        these[0].task,
        these[0].attention,
        f"{statistics.median(pair.plain.decode_tok_s for pair in these):.1f}",
        f"{statistics.median(pair.guessing.decode_tok_s for pair in these):.1f}",
        f"{gain:.2f}",
        f"{sum(found.right for found in all_)} of {sum(found.guessed for found in all_)}",
        all_[-1].why_not,
    )


def main(model: Path, rounds: int) -> None:
    """Write the section."""
    taken = [pair for seed in range(1, rounds + 1) for pair in pairs(model, seed)]
    keys = dict.fromkeys((pair.task, pair.attention) for pair in taken)
    rows = [row([pair for pair in taken if (pair.task, pair.attention) == key]) for key in keys]
    header = ("Task", "Attention", "Plain, tok/s", "Guessing", "Times", "Right", "Off at the end, because")
    intro = (
        f"`python -m scripts.bench.speculation MODEL.gguf ROUNDS`: {model.stem}, drawn as its makers recommend, "
        f"{TOKENS} tokens at most, medians of {rounds} seeds. At temperature 0 nothing is "
        "guessed: the engine rounds differently when it computes several tokens at once, and the text must not change."
    )
    shown = table(header, rows)
    write_section("speculation", f"## Guessing ahead\n\n{intro}\n\n{shown}")
    print(shown)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3)  # noqa: PLR2004 - MODEL, ROUNDS
