"""What guessing ahead gives at full shape: models that say their last token again, as often as they are told to.

python -m scripts.bench.repeating SHAPE.gguf [ROUNDS]

SHAPE.gguf is a file of scripts/bench/synthetic.py with tied embeddings, whose weights are zeros. A copy of it gets
embeddings of random signs: what a token's own row gives is its own logit, and that logit's size is the chance.
"""

import ctypes
import math
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from deploy.engine.client import LlamaEngine
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import Done, Generate, Sampling, Stats
from deploy.engine.speculate import MOST_GUESSES
from deploy.gguf.reader import Tensor, read_header
from scripts.bench.report import table, write_section
from scripts.bench.synthetic import Q6_K
from scripts.dry_run import ggml_library

CHANCES: Final = (0.98, 0.95, 0.9, 0.8, 0.5)
TOP_K: Final = 40
OTHERS_LOGIT: Final = 0.6
"""Of the likeliest others: about 3.6 standard deviations of a random sum."""
TOKENS: Final = 200
ROWS_AT_ONCE: Final = 1024
PROMPT: Final = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10,"
GUESSES: Final = (0, 7, MOST_GUESSES)


def fill(path: Path, chance: float) -> None:
    """Write the embeddings and the last norm, so that a token follows itself with this chance."""
    header = read_header(path)
    tensors = {tensor.name: tensor for tensor in header.tensors}
    norm, embeddings = tensors["output_norm.weight"], tensors["token_embd.weight"]
    own = math.log(chance / (1 - chance) * TOP_K) + OTHERS_LOGIT
    with path.open("r+b") as file:
        file.seek(header.data_offset + norm.offset)
        file.write(np.ones(norm.shape[0], np.float32).tobytes())
        file.seek(header.data_offset + embeddings.offset)
        for rows in quantised(embeddings, own / embeddings.shape[0]):
            file.write(rows)


def quantised(embeddings: Tensor, size: float) -> Iterator[bytes]:
    """Rows of random signs of this size, as Q6_K."""
    base, pointer, integer = ggml_library(), ctypes.c_void_p, ctypes.c_int64
    base.ggml_quantize_chunk.argtypes = [ctypes.c_int, pointer, pointer, integer, integer, integer, pointer]
    base.ggml_quantize_chunk.restype = ctypes.c_size_t
    base.ggml_row_size.argtypes, base.ggml_row_size.restype = [ctypes.c_int, ctypes.c_int64], ctypes.c_size_t
    width, count = embeddings.shape[:2]
    random = np.random.default_rng(1)
    for first in range(0, count, ROWS_AT_ONCE):
        rows = min(ROWS_AT_ONCE, count - first)
        signs = (random.integers(0, 2, (rows, width)) * 2 - 1).astype(np.float32) * size
        out = ctypes.create_string_buffer(rows * base.ggml_row_size(Q6_K, width))
        base.ggml_quantize_chunk(Q6_K, signs.ctypes.data, out, 0, rows, width, None)
        yield out.raw


def answer(model: Path, plan: LoadPlan, seed: int) -> Stats:
    """One answer of a fresh process, drawn from all that is likely."""
    session = LlamaEngine().open([model], plan, lambda _: None)
    try:
        drawing = Sampling(temperature=1.0, top_k=TOP_K, top_p=1.0, min_p=0.0, seed=seed)
        *_, done = session.generate(Generate(prompt=PROMPT, max_tokens=TOKENS, sampling=drawing))
    finally:
        session.close()
    if not isinstance(done, Done):
        raise TypeError(done)
    return done.stats


def row(model: Path, chance: float, rounds: int) -> tuple[object, ...]:
    """One line of the table: medians of the rounds."""
    plain = LoadPlan(context_tokens=1024, threads=len(os.sched_getaffinity(0)))
    taken = [
        [answer(model, msgspec.structs.replace(plain, speculation_tokens=most), seed) for most in GUESSES]
        for seed in range(1, rounds + 1)
    ]
    speeds = [statistics.median(round_[at].decode_tok_s for round_ in taken) for at in range(len(GUESSES))]
    gains = [
        statistics.median(round_[at].decode_tok_s / round_[0].decode_tok_s for round_ in taken)
        for at in range(1, len(GUESSES))
    ]
    last = taken[-1][-1].speculation
    counts = f"{last.right} of {last.guessed}"
    return (f"{chance:.0%}", *(f"{x:.1f}" for x in speeds), *(f"{x:.2f}" for x in gains), counts, last.why_not)


def main(shape: Path, rounds: int) -> None:
    """Write the section."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "repeating.gguf"
        shutil.copyfile(shape, model)
        for chance in CHANCES:
            fill(model, chance)
            rows.append(row(model, chance, rounds))
            print(rows[-1], flush=True)
    header = ("Chance", "Plain, tok/s", "At most 7", "At most 15", "Times", "Times", "Right", "Off at the end, because")
    intro = (
        f"`python -m scripts.bench.repeating SHAPE.gguf ROUNDS`: the full shape of {shape.stem}, with embeddings that "
        f"make each token follow itself with the chance of the first column. {TOKENS} tokens, flash attention, medians "
        f"of {rounds} seeds; without guesses, and with at most so many in a step."
    )
    write_section("repeating", f"## Guessing ahead at full shape\n\n{intro}\n\n{table(header, rows)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3)  # noqa: PLR2004 - SHAPE, ROUNDS
