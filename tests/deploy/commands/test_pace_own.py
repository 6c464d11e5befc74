"""What is known of this machine's speed: its own work is no load of others, and what is damaged is not believed."""

import os
from pathlib import Path

import pytest

from deploy.commands import pace
from deploy.fit.speed import Conditions
from deploy.paths import resolve
from tests.support.world import machine


def test_our_own_work_is_not_taken_for_that_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The UI paints while the look is taken; a model that is then loaded must get its core all the same."""
    ticks = iter((1000, 1000 + 3 * os.sysconf("SC_CLK_TCK")))
    seconds = iter((5.0, 6.0))
    monkeypatch.setattr(pace, "_busy_ticks", lambda: next(ticks))
    monkeypatch.setattr("deploy.commands.pace.time.sleep", lambda _: None)
    monkeypatch.setattr("deploy.commands.pace.time.process_time", lambda: next(seconds))
    assert pace.busy_cores(2.0) == pytest.approx(1.0)


@pytest.mark.parametrize("raw", [b"", b"{", b'{"machine": "\xff"}'])
def test_figures_that_a_disk_has_damaged_are_forgotten(tmp_path: Path, raw: bytes) -> None:
    """They stop no command: what they said is measured again."""
    paths = resolve({"LANDFAST_HOME": str(tmp_path)})
    paths.state.mkdir()
    for name in ("calibration.json", "disk.json", "pace.json"):
        (paths.state / name).write_bytes(raw)
    here = machine()
    assert pace.conditions(paths, here, now=False) == Conditions(machine=pace.fingerprint(here))
