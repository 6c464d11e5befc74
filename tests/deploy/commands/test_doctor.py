"""Doctor, profile and version: what is told of a healthy and of a sick machine."""

import dataclasses
import platform
from pathlib import Path

import pytest

from deploy import __version__
from deploy.commands.doctor import Check, DoctorData, doctor
from deploy.commands.install import InstallRequest, install
from deploy.commands.profile import profile
from deploy.commands.version import version_of_all
from deploy.engine.fake import FakeEngine
from deploy.engine.protocol import Ready
from deploy.errors import EngineFailed, ExitCode
from deploy.results import Result
from profiles.probe import ProbeReport
from tests.support.cli import Landfast
from tests.support.world import GB, FakeSource, blind_machine, machine, world


class SickEngine(FakeEngine):
    """An engine that does not start."""

    def describe(self) -> Ready:
        """Fail as a broken installation does."""
        raise EngineFailed("The engine process ended by signal SIGILL while it started.")


def checks(result: Result[DoctorData]) -> dict[str, Check]:
    """The checks by name."""
    assert result.data is not None
    return {check.name: check for check in result.data.checks}


def test_a_healthy_machine_has_nothing_to_fix(tmp_path: Path) -> None:
    """Everything was tried, and nothing was made or changed by trying."""
    result = doctor(world(tmp_path))
    assert (result.status, result.exit_code, result.errors) == ("success", ExitCode.DONE, ())
    found = checks(result)
    assert {check.outcome for check in found.values()} == {"ok"}
    assert found["engine"].detail == "fake engine"
    assert list(found) == ["machine", "engine", "store", "disk", "models", "test shelf"]
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_is_away_is_no_fault(tmp_path: Path) -> None:
    """Many machines are offline on purpose."""
    result = doctor(world(tmp_path, sources=(FakeSource(reachable=False),)))
    assert result.status == "success"
    assert checks(result)["test shelf"].outcome == "warning"


def test_an_engine_that_does_not_start_is_a_failure_with_advice(tmp_path: Path) -> None:
    """Without it nothing works."""
    result = doctor(world(tmp_path, engine=SickEngine()))
    assert (result.status, result.exit_code) == ("error", ExitCode.INTERNAL)
    assert checks(result)["engine"].outcome == "failed"
    assert "SIGILL" in result.errors[0].message
    assert "llama-cpp-python" in result.errors[0].hint


def test_a_machine_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    """No memory can be promised there, and why is told."""
    result = doctor(world(tmp_path, on=blind_machine()))
    found = checks(result)
    assert found["machine"].outcome == "failed"
    assert "the test hides it" in found["machine"].advice
    assert found["disk"].outcome == "warning"


def test_a_full_disk_is_a_warning(tmp_path: Path) -> None:
    """What is installed still runs."""
    result = doctor(world(tmp_path, on=machine(disk_free_bytes=GB)))
    assert result.status == "success"
    assert checks(result)["disk"].outcome == "warning"


def test_a_damaged_record_is_a_warning(tmp_path: Path) -> None:
    """With its cure."""
    here = world(tmp_path)
    install(here, InstallRequest(model="tiny"))
    (here.paths.store / "models" / "tiny@Q4_0.json").write_bytes(b"{")
    found = checks(doctor(here))["models"]
    assert found.outcome == "warning"
    assert found.advice


def test_a_store_where_a_file_stands_is_a_failure(tmp_path: Path) -> None:
    """A folder can be made neither in it nor under it."""
    (tmp_path / "data").write_text("in the way")
    assert checks(doctor(world(tmp_path)))["store"].outcome == "failed"


def test_the_page_does_not_name_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made to be pasted into bug reports."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert checks(doctor(world(tmp_path)))["store"].detail == "~/data/store"


def test_the_profile_holds_facts_and_budget(tmp_path: Path) -> None:
    """What cannot be read is no error."""
    data = profile(world(tmp_path)).data
    assert data is not None
    assert 0 < data.budget.host.budget_bytes < 16 * GB
    blind = profile(world(tmp_path, on=blind_machine()))
    assert (blind.status, blind.exit_code) == ("success", ExitCode.DONE)


def test_versions_are_those_that_run(tmp_path: Path) -> None:
    """Landfast, engine, catalogue and Python."""
    data = version_of_all(world(tmp_path)).data
    assert data is not None
    assert (data.landfast, data.python) == (__version__, platform.python_version())
    assert data.engine == "llama-cpp-python 0.3.36"
    assert (data.catalogue_dated, data.catalogue_models) == ("2025-06-01", 1)


def test_every_probe_is_told_with_its_outcome_and_time(tmp_path: Path) -> None:
    """A page that is pasted into a report says what could not be read, and why."""
    reports = (
        ProbeReport(name="cpu", duration_s=0.002),
        ProbeReport(name="nvidia", duration_s=4.0, failure="no answer"),
    )
    here = dataclasses.replace(world(tmp_path), probes=lambda: reports)
    data = doctor(here).data
    assert data is not None
    assert data.probes == reports


def test_the_real_probes_are_told(tmp_path: Path) -> None:
    """On this machine, as a process: names and times of what ran."""
    envelope = Landfast(tmp_path).json("doctor", "--offline", schema="doctor")
    assert {"processor", "memory"} <= {probe["name"] for probe in envelope["data"]["probes"]}
