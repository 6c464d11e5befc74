"""Decode speed with and without another busy program, for the engine's default waiting and for ours.

python -m scripts.bench.contention MODEL.gguf [ROUNDS]
"""

import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.engine.client import LlamaEngine
from deploy.engine.process import SPIN_COUNT
from deploy.engine.protocol import ChatMessage, Done, Generate, LoadPlan, Sampling
from scripts.bench.report import table, write_section

LIBRARY_DEFAULT = "300000"
"""What GNU OpenMP takes where nothing is said."""
WAITING = {"engine's default": LIBRARY_DEFAULT, f"{SPIN_COUNT} turns, then sleep (ours)": SPIN_COUNT}
BUSY = "while True: pass"
TOKENS = 16


def decode_tok_s(model: Path, spin_count: str, threads: int) -> float:
    """The engine's own figure for one short answer in a fresh process."""
    os.environ["GOMP_SPINCOUNT"] = spin_count
    session = LlamaEngine().open([model], LoadPlan(context_tokens=1024, threads=threads), lambda _: None)
    try:
        request = Generate(
            messages=(ChatMessage("user", "Count."),), max_tokens=TOKENS, sampling=Sampling(temperature=0)
        )
        return next(event.stats.decode_tok_s for event in session.generate(request) if isinstance(event, Done))
    finally:
        session.close()


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


def main(model: Path, rounds: int) -> None:
    """All settings in turn in every round."""
    cores = len(os.sched_getaffinity(0))
    rows = []
    for others in (0, 1, cores):
        taken: dict[str, list[float]] = {name: [] for name in WAITING}
        with busy(others):
            for _ in range(rounds):
                for name, spin_count in WAITING.items():
                    taken[name].append(decode_tok_s(model, spin_count, cores))
        medians = [statistics.median(values) for values in taken.values()]
        rows.append((others, f"{medians[0]:.1f}", f"{medians[1]:.1f}", f"{medians[1] / medians[0]:.2f}"))
    shown = table(("Busy programs", *(f"{name}, tok/s" for name in WAITING), "Ratio"), rows)
    intro = (
        "`python -m scripts.bench.contention MODEL.gguf`: decode speed beside programs that never rest, with the "
        f"engine's own way of waiting for its threads and with ours. {model.stem}, {cores} threads on {cores} cores, "
        f"medians of {rounds} rounds."
    )
    write_section("contention", f"## A busy machine\n\n{intro}\n\n{shown}")
    print(shown)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5)  # noqa: PLR2004 - MODEL, ROUNDS
