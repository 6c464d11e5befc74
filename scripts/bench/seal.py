"""What the seal costs: time at start, tokens per second with and without it, an event of the journal.

python -m scripts.bench.seal MODEL.gguf [PAIRS]
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from deploy.engine.client import LlamaEngine
from deploy.engine.load_plan import LoadPlan
from deploy.journal import Event, Journal
from deploy.paths import Paths
from scripts.bench.engine import COUNTING, answer, prompt_of
from scripts.bench.report import table, write_section

PLAN: Final = LoadPlan(context_tokens=1024, threads=2)
ANSWER_TOKENS: Final = 128
PROMPT_TOKENS: Final = 512
ANSWERS: Final = 3
"""Of each process; a process counts their median."""
STARTS: Final = 10
EVENTS: Final = 1000


def starts(engine: LlamaEngine) -> tuple[float, float]:
    """Median seconds from process start to ready, and of sealing alone."""
    taken, sealing = [], []
    for _ in range(STARTS):
        started = time.perf_counter()
        sealing.append(engine.describe().seal.seconds)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken), statistics.median(sealing)


def speeds(engine: LlamaEngine, model: Path) -> tuple[float, float, float]:
    """Seconds until a model can be asked, then tokens per second of writing, and of reading a prompt."""
    started = time.perf_counter()
    session = engine.open([model], PLAN, lambda _: None)
    loaded = time.perf_counter() - started
    try:
        prompt = prompt_of(session, PROMPT_TOKENS - 2)
        answer(session, prompt, 1, 0.0)
        readings = [answer(session, f"{first} {prompt}", 1, 0.0).prompt_tok_s for first in range(ANSWERS)]
        writings = [answer(session, COUNTING, ANSWER_TOKENS, 0.6).decode_tok_s for _ in range(ANSWERS)]
    finally:
        session.close()
    return loaded, statistics.median(writings), statistics.median(readings)


def event_s() -> float:
    """Median seconds of one journal line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        journal = Journal(Paths(data=folder, state=folder, config=folder))
        taken = []
        for count in range(EVENTS):
            started = time.perf_counter()
            journal.append(Event(kind="answer", model="m", answer_tokens=count, outcome="stop"))
            taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def cost_rows(model: Path, pairs: int) -> list[tuple[str, ...]]:
    """Sealed and unsealed in turn, so that a drift of the machine meets both."""
    sealed, unsealed = LlamaEngine(), LlamaEngine(unsealed=True)
    (ready, sealing), (bare, _) = starts(sealed), starts(unsealed)
    rows = [
        ("engine process ready, ms", f"{ready * 1e3:.0f}", f"{bare * 1e3:.0f}", "", f"{STARTS} starts"),
        ("sealing alone, ms", f"{sealing * 1e3:.1f}", "", "", f"{STARTS} starts"),
    ]
    taken = [(speeds(sealed, model), speeds(unsealed, model)) for _ in range(pairs)]
    for index, what in enumerate(("model can be asked, s", "writing, tok/s", "reading, tok/s")):
        with_it, without = (statistics.median(pair[side][index] for pair in taken) for side in (0, 1))
        shown = (f"{with_it:.3g}", f"{without:.3g}", f"{(with_it / without - 1) * 100:+.1f}", f"{pairs} pairs")
        rows.append((what, *shown))
    return rows


def main(model: Path, pairs: int) -> None:
    """Write the section."""
    header = ("What", "Sealed", "Unsealed", "Difference %", "Medians of")
    shown = table(header, cost_rows(model, pairs))
    intro = (
        f"`python -m scripts.bench.seal MODEL.gguf PAIRS`: {model.stem}, mapped and in the page cache, each process "
        f"with {ANSWERS} prompts of {PROMPT_TOKENS} tokens and {ANSWERS} answers of {ANSWER_TOKENS}, sealed and "
        f"unsealed in turn. An event of the journal takes {event_s() * 1000:.2f} ms (median of {EVENTS})."
    )
    write_section("seal", f"## What the seal costs\n\n{intro}\n\n{shown}")
    print(shown)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 6)  # noqa: PLR2004 - the optional one
