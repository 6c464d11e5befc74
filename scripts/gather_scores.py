"""Gathers public benchmark scores whose terms allow shipping into scripts/data/scores.jsonl.

    python -m scripts.gather_scores FACTS_DIR LLM_STATS_DIR EPOCH_DIR ARENA_DIR QWEN3X_README

The folders are checkouts of the sources that benchmarks.py names: the organisations' folder of LLM-Stats, the unpacked
benchmark_data of Epoch AI, the csv folder of the Arena tables, and one comparison in Markdown.
"""

import csv
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from scripts.benchmarks import ALIASES, BENCHMARKS

OUT: Final = Path(__file__).resolve().parent / "data" / "scores.jsonl"


class ScoreRow(msgspec.Struct, frozen=True):
    """One line of the file: one score of one model in one source."""

    model: str
    benchmark: str
    value: float
    """A share of 1, or a rating."""
    source: str


class Known:
    """The models of the facts by any spelling of their names."""

    def __init__(self, facts: Path) -> None:
        """Read their ids."""
        lines = (facts / "models.jsonl").read_bytes().splitlines()
        self._ids = {plain(row["id"]): row["id"] for row in map(msgspec.json.decode, lines)}

    def find(self, name: str) -> str | None:
        """The id that a source's name stands for."""
        lower = name.strip().lower()
        setting = re.sub(r"_[a-z0-9.]+$", "", lower)
        wanted = ALIASES.get(lower, ALIASES.get(setting, setting))
        return self._ids.get(plain(wanted))


def plain(name: str) -> str:
    """A name without publisher, punctuation and the words that every tuned model bears."""
    short = re.sub(r"[^a-z0-9]+", "-", name.lower().rpartition("/")[2]).strip("-")
    return re.sub(r"-(instruct|it|chat|hf|bf16|fp8)(?=-|$)", "", short)


def llm_stats(folder: Path, known: Known) -> Iterator[ScoreRow]:
    """What publishers say of their own models."""
    names = {key: benchmark.name for benchmark in BENCHMARKS for key in benchmark.llm_stats}
    for path in sorted(folder.glob("*/models/*/benchmarks.json")):
        model = known.find(path.parent.name)
        for entry in msgspec.json.decode(path.read_bytes()) if model else ():
            name, value = names.get(entry["benchmark_id"]), entry["score"]
            if model and name and value is not None and 0 < value < 1:
                yield ScoreRow(model, name, float(value), "llm-stats")


def epoch(folder: Path, known: Known) -> Iterator[ScoreRow]:
    """Epoch's own runs, and the tables that it keeps of others; of several settings the best."""
    for benchmark in BENCHMARKS:
        for stem, column in benchmark.epoch:
            best: dict[str, float] = {}
            for row in _table(folder / f"{stem}.csv"):
                model, text = known.find(row.get("Model version") or ""), row.get(column) or ""
                if model and text:
                    best[model] = max(best.get(model, 0.0), _share(float(text)))
            for model, value in best.items():
                if 0 < value < 1:
                    yield ScoreRow(model, benchmark.name, value, "epoch")


def arena(folder: Path, known: Known) -> Iterator[ScoreRow]:
    """Ratings by people who compared two answers without knowing whose they were."""
    for benchmark in BENCHMARKS:
        for row in _table(folder / f"lmarena_{benchmark.arena}.csv") if benchmark.arena else ():
            model = known.find(row["model"])
            if model:
                yield ScoreRow(model, benchmark.name, float(row["arena_score"]), "arena")


def qwen3x(readme: Path, known: Known) -> Iterator[ScoreRow]:
    """A table in Markdown with one column a model."""
    names = {key: benchmark.name for benchmark in BENCHMARKS for key in benchmark.qwen3x}
    lines = [line for line in readme.read_text("utf-8").splitlines() if line.startswith("|")]
    models = [known.find(cell.strip()) for cell in lines[0].split("|")[3:-1]]
    for line in lines[2:]:
        cells = [cell.strip(" *") for cell in line.split("|")[2:-1]]
        name = names.get(cells[0])
        for model, text in zip(models, cells[1:], strict=False):
            if name and model and re.fullmatch(r"[\d.]+", text):
                yield ScoreRow(model, name, _share(float(text)), "qwen3x")


def _table(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _share(value: float) -> float:
    return round(value / 100 if value > 1 else value, 4)


def main(arguments: Sequence[str]) -> None:
    """Gather, sort, write."""
    if len(arguments) != 5:  # noqa: PLR2004 - the five of the usage
        raise SystemExit(__doc__)
    facts, stats, epochs, arenas, readme = map(Path, arguments)
    known = Known(facts)
    sources = (epoch(epochs, known), llm_stats(stats, known), arena(arenas, known), qwen3x(readme, known))
    best: defaultdict[tuple[str, str, str], float] = defaultdict(float)
    for source in sources:
        for row in source:
            key = (row.model, row.benchmark, row.source)
            best[key] = max(best[key], row.value)
    rows = [
        ScoreRow(model, benchmark, best[key], source) for key in sorted(best) for model, benchmark, source in (key,)
    ]
    OUT.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    print(f"{len(rows)} scores of {len({row.model for row in rows})} models")


if __name__ == "__main__":
    main(sys.argv[1:])
