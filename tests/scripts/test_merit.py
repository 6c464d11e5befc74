"""The composite of benchmarks: what it makes of scores, and of models that have none."""

import pytest

from deploy.catalog.model import Merit
from scripts.gather_scores import ScoreRow, plain
from scripts.merit import Composite, Facts, readings

SIZES = (1, 2, 4, 8, 16, 32, 64)


def facts(name: str, billions: float, family: str = "one", date: str | None = "2024-06-01") -> Facts:
    """A dense model."""
    count = int(billions * 1e9)
    return Facts(name, family, count, count, date, reasoning=name.startswith("r"))


DATES = ("2024-01-01", "2024-06-01")
MODELS = [facts(f"{kind}{size}", size, date=DATES[place % 2]) for kind in "mr" for place, size in enumerate(SIZES)]
ROWS = [
    ScoreRow(f"{kind}{size}", benchmark, 0.2 + 0.08 * place + (0.05 if kind == "r" else 0), "test")
    for kind in "mr"
    for place, size in enumerate(SIZES)
    for benchmark in ("MMLU", "GPQA", "LiveCodeBench")
]


def chat(composite: Composite, model: Facts) -> Merit:
    """The composite for conversation."""
    return next(merit for merit in composite.merits(model) if merit.use == "chat")


def test_better_scores_make_more_points_and_size_is_a_doubling() -> None:
    """The scale is that of doublings, and the order that of the scores."""
    composite = Composite(MODELS, ROWS)
    points = [chat(composite, model).points for model in MODELS if model.id.startswith("m")]
    assert points == sorted(points)
    assert points[-1] - points[0] == pytest.approx(6, abs=1.5)


def test_a_model_without_scores_is_expected_by_size_and_less_sure() -> None:
    """It lies between its neighbours, says that nothing was measured, and a strange family lies behind."""
    composite = Composite(MODELS, ROWS)
    unknown = chat(composite, facts("m12", 12))
    assert chat(composite, MODELS[3]).points - 1 < unknown.points < chat(composite, MODELS[4]).points + 1
    assert (unknown.scores, unknown.others) == (0, 0)
    assert unknown.error > chat(composite, MODELS[3]).error
    strange = chat(composite, facts("m12", 12, family="other"))
    assert strange.points < unknown.points
    assert strange.error > unknown.error


def test_nothing_is_gained_by_a_date_after_the_last_score() -> None:
    """Progress is not prolonged beyond what was measured."""
    composite = Composite(MODELS, ROWS)
    assert chat(composite, facts("m", 8, date="2026-01-01")).points == chat(composite, facts("m", 8)).points


def test_a_benchmark_with_few_models_is_left_out() -> None:
    """Of several sources the middle counts."""
    rows = [ScoreRow(f"m{n}", "MMLU", 0.5, "a") for n in range(3)]
    assert readings(rows) == {}
    several = [ScoreRow(f"m{n}", "MMLU", 0.5, source) for n in range(4) for source in ("a", "b")]
    assert [len(found) for found in readings(several).values()] == [1] * 4


@pytest.mark.parametrize(
    ("one", "other"),
    [("Qwen/Qwen3-32B", "qwen3-32b"), ("Gemma-3-27B-it", "gemma-3-27b-it"), ("Llama-3.1-8B-Instruct", "llama-3.1-8b")],
)
def test_names_are_matched_by_what_tells_models_apart(one: str, other: str) -> None:
    """Publisher, punctuation and the word for tuning do not."""
    assert plain(one) == plain(other)
