"""What `landfast calibrate` keeps, who reads it, and how runs are held against their forecast."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.commands import pace
from deploy.commands.calibrate import calibrate
from deploy.commands.pace import (
    Foreseen,
    fingerprint,
    keep_calibration,
    keep_disk_rate,
    keep_run,
    kept_run,
    timed_budget,
)
from deploy.commands.select import select
from deploy.engine.fake import FakeEngine
from deploy.engine.protocol import Stats
from deploy.errors import EngineFailed
from deploy.fit.fit import Workload, fit
from deploy.fit.speed import Speed, conditions_of, forecast
from deploy.paths import Paths
from profiles.budget import budget
from profiles.machine import Fact, Machine, Provenance
from tests.support.pace import HOST, PLAN, calibration, demand
from tests.support.world import machine, model, sized, world

HERE: Machine = machine(cores=2)


class SlowEngine(FakeEngine):
    """An engine that has no time for more than a few models."""

    def measure(self, trials: Any) -> Any:
        """Stop after three."""
        for result, _ in zip(super().measure(trials), range(3), strict=False):
            yield result


def stats(tok_s: float, tokens: int = 64) -> Stats:
    """Of an answer written at this speed after a prompt of 100 tokens."""
    return Stats(
        prompt_tokens=100,
        reused_tokens=0,
        answer_tokens=tokens,
        prompt_eval_tokens=100,
        prompt_eval_s=1.0,
        decode_tokens=tokens,
        decode_s=tokens / tok_s,
        first_token_s=1.0,
        total_s=1.0 + tokens / tok_s,
        memory_bytes=1,
        peak_memory_bytes=1,
    )


def speed() -> Speed:
    """A forecast."""
    return forecast(demand("qwen3-1.7b"), HOST, 2, PLAN)


def paths(tmp_path: Path) -> Paths:
    """A place of its own."""
    return Paths(data=tmp_path / "data", state=tmp_path / "state", config=tmp_path / "config")


def test_a_calibration_is_kept_and_shown(tmp_path: Path) -> None:
    """Whole, in one file of the user's state."""
    context = world(tmp_path)
    result = calibrate(context)
    assert (result.status, result.changed) == ("success", True)
    assert result.data is not None
    assert Path(result.data.path).parent == context.paths.state
    assert result.data.calibration.machine == fingerprint(context.profile())
    assert result.data.probes_run == result.data.probes_planned


def test_a_machine_too_busy_to_measure_keeps_nothing(tmp_path: Path) -> None:
    """Better no calibration than one of three figures."""
    context = world(tmp_path, engine=SlowEngine())
    with pytest.raises(EngineFailed, match="too busy"):
        calibrate(context)
    assert not (context.paths.state / "calibration.json").exists()


def test_only_the_machine_that_was_measured_uses_it(tmp_path: Path) -> None:
    """Another processor, a simulated machine and a damaged file have none."""
    here = paths(tmp_path)
    path = keep_calibration(here, calibration(fingerprint(HERE)))
    assert conditions_of(timed_budget(here, HERE)).calibration is not None
    other = msgspec.structs.replace(HERE, architecture=Fact("riscv64", "the test"))
    assert conditions_of(timed_budget(here, other)).calibration is None
    assert timed_budget(here, msgspec.structs.replace(HERE, simulated=True)) == budget(
        msgspec.structs.replace(HERE, simulated=True)
    )
    path.write_bytes(path.read_bytes()[:-100])
    assert conditions_of(timed_budget(here, HERE)).calibration is None


def test_another_engine_needs_another_calibration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its code is as fast as it is, not as its forerunner's was."""
    here = paths(tmp_path)
    keep_calibration(here, calibration(fingerprint(HERE)))
    monkeypatch.setattr("importlib.metadata.version", lambda _name: "99.0")
    assert conditions_of(timed_budget(here, HERE)).calibration is None


def test_the_load_of_the_moment_counts_for_what_runs_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A choice that is made for longer does not look at it."""
    monkeypatch.setattr(pace, "busy_cores", lambda _seconds: 1.5)
    here = paths(tmp_path)
    assert conditions_of(timed_budget(here, HERE, now=True)).busy_cores == 1.5
    assert conditions_of(timed_budget(here, HERE)).busy_cores == 0.0


def test_a_run_is_held_against_its_forecast_and_corrects_the_next(tmp_path: Path) -> None:
    """The difference is kept with the model, and what it does again and again counts."""
    here, known_as = paths(tmp_path), fingerprint(HERE)
    foreseen = Foreseen("m", speed(), PLAN.context_tokens)
    real = 0.8 * (speed().decode_empty_tok_s.known or 0)
    keep_run(here, known_as, foreseen, stats(real))
    kept = kept_run(here, "m")
    assert kept is not None
    assert kept.ratio == pytest.approx(0.8, abs=0.05)
    assert kept.measured_tok_s == pytest.approx(real, abs=0.01)
    assert conditions_of(timed_budget(here, HERE)).corrections == {"m": kept.ratio}


def test_a_corrected_forecast_is_not_corrected_twice(tmp_path: Path) -> None:
    """The ratio is that to the plain forecast, however often it runs."""
    here, known_as = paths(tmp_path), fingerprint(HERE)
    plain = speed()
    real = 0.8 * (plain.decode_empty_tok_s.known or 0)
    for _ in range(4):
        ratio = conditions_of(timed_budget(here, HERE)).corrections.get("m", 1.0)
        facts = {
            name: Fact(value * ratio, "corrected")
            for name in ("decode_tok_s", "decode_empty_tok_s")
            if (value := getattr(plain, name).known)
        }
        corrected = msgspec.structs.replace(plain, **facts)
        keep_run(here, known_as, Foreseen("m", corrected, PLAN.context_tokens), stats(real))
    kept = kept_run(here, "m")
    assert kept is not None
    assert kept.runs == 4
    assert kept.ratio == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("found", [stats(10.0, tokens=3), stats(float("inf"))])
def test_a_run_that_says_little_is_left_out(tmp_path: Path, found: Stats) -> None:
    """Three tokens are no measurement."""
    here = paths(tmp_path)
    keep_run(here, "machine", Foreseen("m", speed(), 8192), found)
    assert kept_run(here, "m") is None


def test_one_odd_run_does_not_turn_forecasts_upside_down(tmp_path: Path) -> None:
    """A correction stays within a factor of two."""
    here = paths(tmp_path)
    keep_run(here, "machine", Foreseen("m", speed(), 8192), stats(0.01))
    kept = kept_run(here, "m")
    assert kept is not None
    assert kept.ratio == 0.5


def test_loading_is_forecast_at_the_rate_of_the_disk(tmp_path: Path) -> None:
    """Assumed, and said to be, until it was timed; and only for the machine that it was timed on."""
    here, known = paths(tmp_path), model("m", sized("Q4_0", 2 * 10**9))

    def load_s() -> Fact[float]:
        return fit(known, known.artifacts[0], timed_budget(here, HERE), Workload()).speed.load_s

    assert load_s().known == pytest.approx(2.4)
    assert load_s().provenance is Provenance.ASSUMED
    keep_disk_rate(here, HERE, 5e8)
    assert load_s().known == pytest.approx(4.4)
    assert load_s().provenance is Provenance.MEASURED
    assert "0.5 GB/s, measured" in load_s().source
    keep_disk_rate(here, msgspec.structs.replace(HERE, architecture=Fact("riscv64", "the test")), 1e8)
    assert load_s().provenance is Provenance.ASSUMED
    (here.state / "disk.json").write_bytes(b'{"machine": "x", "bytes_s": 0}')
    assert load_s().provenance is Provenance.ASSUMED


def test_select_says_that_speeds_could_be_measured(tmp_path: Path) -> None:
    """Until they are."""
    context = world(tmp_path)

    def said() -> bool:
        result = select(context, Workload(min_decode_tok_s=0))
        assert result.status == "success"
        return any("landfast calibrate" in message.text for message in result.messages)

    assert said()
    keep_calibration(context.paths, calibration(fingerprint(context.profile())))
    assert not said()


def test_what_others_do_is_read_from_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is negative, and where nothing can be read nothing is assumed."""
    assert pace.busy_cores(0.02) >= 0.0
    monkeypatch.setattr(pace, "_busy_ticks", lambda: None)
    assert pace.busy_cores(0.0) == 0.0
