"""How exact attention stays with a smaller cache: one text, word for word, with each way to keep the context.

    python -m scripts.bench.cache MODEL.gguf ...

Writes its section of BENCHMARKS.md.
"""

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import llama_cpp.llama_cpp as native
import msgspec
import numpy as np
from numpy.typing import NDArray

from deploy.engine.load_plan import KvType, LoadPlan
from deploy.engine.native import Log, context_params, open_model
from deploy.engine.vocabulary import Vocabulary
from scripts.bench.report import table, write_section

TEXTS: Final = Path(__file__).resolve().parents[2] / "docs"
TOKENS: Final = 2048
SKIPPED: Final = 256
"""The first ones have little to attend to, and are not counted."""
STEP: Final = 16
WAYS: Final[tuple[tuple[KvType, bool], ...]] = (
    ("f16", False),
    ("f16", True),
    ("q8_0/f16", False),
    ("q8_0", True),
)
"""Type of the cache, and flash attention; the first is what the others are compared with."""

Logits = NDArray[np.float32]


class Difference(NamedTuple):
    """One way beside the first."""

    perplexity: float
    divergence: float
    """Kullback-Leibler, in nats a token."""
    same: float
    """Share of tokens after which both find the same one likeliest."""


def logits(model: Any, tokens: list[int], plan: LoadPlan) -> Iterator[Logits]:
    """Of every token, `STEP` rows at a time, as logarithms of chances."""
    context = native.llama_init_from_model(model, context_params(plan))
    width = native.llama_vocab_n_tokens(native.llama_model_get_vocab(model))
    batch = native.llama_batch_init(STEP, 0, 1)
    try:
        for begin in range(0, len(tokens) - STEP + 1, STEP):
            batch.n_tokens = STEP
            for row, token in enumerate(tokens[begin : begin + STEP]):
                batch.token[row], batch.pos[row], batch.logits[row] = token, begin + row, 1
                batch.n_seq_id[row], batch.seq_id[row][0] = 1, 0
            if native.llama_decode(context, batch):
                raise SystemExit(f"the engine could not compute tokens {begin} to {begin + STEP}")
            found = native.llama_get_logits(context)
            rows = np.ctypeslib.as_array(ctypes.cast(found, ctypes.POINTER(ctypes.c_float)), (STEP, width)).copy()
            rows -= rows.max(axis=1, keepdims=True)
            yield rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
    finally:
        native.llama_batch_free(batch)
        native.llama_free(context)


def compared(path: Path) -> list[Difference]:
    """Every way on one file, all in step."""
    log = Log()
    plan = LoadPlan(context_tokens=TOKENS, threads=2, speculation_tokens=STEP - 1)
    model = open_model(log, (str(path),), plan, rehearsal=False, on_fraction=lambda _: None)
    text = "\n\n".join(page.read_text("utf-8") for page in sorted(TEXTS.glob("*.md")))
    tokens = Vocabulary(model).tokenize(text, add_special=True, parse_special=False)[:TOKENS]
    following = np.array([*tokens[1:], tokens[0]])
    plans = [msgspec.structs.replace(plan, kv_type=kind, flash_attention=flash) for kind, flash in WAYS]
    sums = np.zeros((len(WAYS), 3))
    count = 0
    for number, every in enumerate(zip(*(logits(model, tokens, way) for way in plans), strict=True)):
        begin = number * STEP
        if begin < SKIPPED:
            continue
        first, chances = every[0], np.exp(every[0])
        wanted = following[begin : begin + STEP]
        count += STEP
        for row, found in enumerate(every):
            loss = -found[np.arange(STEP), wanted].sum()
            divergence = (chances * (first - found)).sum()
            sums[row] += (loss, divergence, (found.argmax(axis=1) == first.argmax(axis=1)).sum())
    native.llama_model_free(model)
    return [Difference(float(np.exp(a / count)), float(b / count), float(c / count)) for a, b, c in sums]


def main(paths: list[Path]) -> None:
    """Compare, and write the section."""
    rows = [
        (path.stem, kind, "on" if flash else "off", f"{it.perplexity:.3f}", f"{it.divergence:.5f}", f"{it.same:.2%}")
        for path in paths
        for (kind, flash), it in zip(WAYS, compared(path), strict=True)
    ]
    header = ("File", "Cache", "Flash attention", "Perplexity", "Divergence, nats", "Same likeliest token")
    intro = (
        f"`python -m scripts.bench.cache MODEL.gguf ...`: the first {TOKENS:,} tokens of docs/*.md, of which the first "
        f"{SKIPPED} are not counted. Each way beside the first, which has an f16 cache and no flash attention: "
        "Kullback-Leibler divergence of the chances of the next token, and how often both find the same one likeliest."
    )
    write_section("cache", f"## How exact a smaller cache is\n\n{intro}\n\n{table(header, rows)}")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
