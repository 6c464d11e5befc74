"""What this program does itself is no load of others."""

import os

import pytest

from deploy.commands import pace


def test_our_own_work_is_not_taken_for_that_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The UI paints while the look is taken; a model that is then loaded must get its core all the same."""
    ticks = iter((1000, 1000 + 3 * os.sysconf("SC_CLK_TCK")))
    seconds = iter((5.0, 6.0))
    monkeypatch.setattr(pace, "_busy_ticks", lambda: next(ticks))
    monkeypatch.setattr("deploy.commands.pace.time.sleep", lambda _: None)
    monkeypatch.setattr("deploy.commands.pace.time.process_time", lambda: next(seconds))
    assert pace.busy_cores(2.0) == pytest.approx(1.0)
