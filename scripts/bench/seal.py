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
from deploy.engine.protocol import Done, Generate, Sampling
from deploy.journal import Event, Journal
from deploy.paths import Paths

PLAN: Final = LoadPlan(context_tokens=1024, threads=2)
REQUEST: Final = Generate(prompt="The sea is", max_tokens=128, sampling=Sampling(temperature=0))
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
    """Seconds until a model can be asked, then tokens per second of one answer, and of reading the prompt."""
    started = time.perf_counter()
    session = engine.open([model], PLAN, lambda _: None)
    loaded = time.perf_counter() - started
    *_, done = session.generate(REQUEST)
    session.close()
    if not isinstance(done, Done):
        raise TypeError(done)
    return loaded, done.stats.decode_tok_s, done.stats.prompt_tok_s


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


def main(model: Path, pairs: int) -> None:
    """Print all figures; sealed and unsealed in turn, so that a drift of the machine meets both."""
    sealed, unsealed = LlamaEngine(), LlamaEngine(unsealed=True)
    for name, engine in (("sealed", sealed), ("unsealed", unsealed)):
        ready, sealing = starts(engine)
        print(f"{name:9} ready in {ready * 1000:.0f} ms, sealing {sealing * 1000:.1f} ms (medians of {STARTS})")
    rows = [(speeds(sealed, model), speeds(unsealed, model)) for _ in range(pairs)]
    for index, what in enumerate(("loaded in s", "decode tok/s", "prompt tok/s")):
        with_it = statistics.median(row[0][index] for row in rows)
        without = statistics.median(row[1][index] for row in rows)
        difference = (with_it / without - 1) * 100
        print(f"{what:13} sealed {with_it:.3f}, unsealed {without:.3f}, {difference:+.1f} % (medians of {pairs} pairs)")
    print(f"journal       {event_s() * 1000:.3f} ms an event (median of {EVENTS})")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 6)  # noqa: PLR2004 - the optional one
