"""The sealed engine times steps on a hollow model, and says no to what it cannot load."""

from pathlib import Path

import pytest

from deploy.engine.base import Trial
from deploy.engine.client import LlamaEngine
from deploy.engine.load_plan import LoadPlan
from deploy.engine.measure_protocol import Step
from deploy.errors import EngineFailed
from deploy.gguf.hollow import HollowModel, write_hollow

pytestmark = pytest.mark.engine

DENSE = HollowModel(weight_type="Q8_0", blocks=2, embedding=256, feed_forward=512, heads=4, kv_heads=2, head_size=64)
EXPERTS = HollowModel(
    weight_type="MXFP4",
    blocks=2,
    embedding=256,
    feed_forward=256,
    heads=4,
    kv_heads=2,
    head_size=64,
    experts=4,
    experts_used=2,
)


@pytest.mark.parametrize("model", [DENSE, EXPERTS])
@pytest.mark.parametrize("flash", [True, False])
def test_steps_are_timed_in_order(tmp_path: Path, model: HollowModel, *, flash: bool) -> None:
    """Writing and reading, at the begin and at a depth: each as often as asked for."""
    path = tmp_path / "hollow.gguf"
    write_hollow(path, model)
    steps = (
        Step(threads=1, tokens=1, least=3, repeats=3),
        Step(threads=2, tokens=32, least=2, repeats=2),
        Step(threads=1, tokens=1, depth_tokens=300, least=2, repeats=2),
        Step(threads=1, tokens=16, depth_tokens=0, least=1, repeats=1),
    )
    plan = LoadPlan(context_tokens=512, threads=2, flash_attention=flash)
    (found,) = LlamaEngine().measure([Trial(path, plan, steps)])
    assert [timing.step for timing in found.timings] == list(steps)
    assert [len(timing.seconds) for timing in found.timings] == [3, 2, 2, 1]
    assert all(0 < seconds < 10 for timing in found.timings for seconds in timing.seconds)
    assert found.graph_nodes > 20


def test_several_models_share_one_process(tmp_path: Path) -> None:
    """One after the other; a caller that has seen enough lets the rest be."""
    trials = []
    for number in range(3):
        path = tmp_path / f"{number}.gguf"
        write_hollow(path, DENSE)
        trials.append(Trial(path, LoadPlan(context_tokens=256), (Step(threads=1, tokens=1, least=1, repeats=1),)))
    results = LlamaEngine().measure(trials)
    assert next(results).timings[0].seconds
    results.close()


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    """In the words of the engine."""
    path = tmp_path / "not.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(EngineFailed, match="refuses"):
        list(LlamaEngine().measure([Trial(path, LoadPlan(context_tokens=256), ())]))
