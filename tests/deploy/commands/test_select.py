"""Selecting: the best model that fits and can be had from here, or reasons why there is none."""

from pathlib import Path

from deploy.commands.install import InstallRequest, install
from deploy.commands.select import SelectData, select
from deploy.errors import ExitCode
from deploy.fit.fit import Workload
from deploy.results import Result
from tests.support.world import GB, FakeSource, artifact, blind_machine, machine, model, sized, world

SMALL = model("small", artifact("Q4_0"), parameters=GB // 10)
LARGE = model("large", sized("Q4_0", 2 * GB), parameters=4 * GB)


def ids(result: Result[SelectData]) -> list[str]:
    """What was ranked, best first."""
    assert result.data is not None
    return [candidate.fit.id for candidate in result.data.ranking.ranked]


def test_the_choice_can_be_had_from_here(tmp_path: Path) -> None:
    """The better model is in no source in reach: the other one is chosen, and it says from where."""
    result = select(world(tmp_path, SMALL, LARGE), Workload())
    assert (result.status, result.changed, result.exit_code) == ("success", False, ExitCode.DONE)
    assert ids(result) == ["small:Q4_0"]
    assert result.data is not None
    assert result.data.ranking.chosen is not None
    assert result.data.ranking.chosen.obtain == "from the test shelf"
    assert result.data.catalogue_dated == "2025-06-01"


def test_a_silent_source_is_told_and_not_counted_on(tmp_path: Path) -> None:
    """What only it has cannot be had, and the reader learns what did not answer."""
    result = select(world(tmp_path, SMALL, sources=(FakeSource(reachable=False),)), Workload())
    assert (result.status, result.exit_code) == ("error", ExitCode.NOTHING_FITS)
    assert result.data is not None
    assert result.data.ranking.chosen is None
    assert "One model fits this machine, but no source in reach has it" in result.errors[0].message
    assert "--from FOLDER" in result.errors[0].hint
    assert [message.level for message in result.messages] == ["warning"]
    assert "connection refused" in result.messages[0].text


def test_another_source_stands_in_for_a_silent_one(tmp_path: Path) -> None:
    """One that answers is enough."""
    sources = (FakeSource(name="away", reachable=False), FakeSource(name="spare shelf"))
    result = select(world(tmp_path, SMALL, sources=sources), Workload())
    assert ids(result) == ["small:Q4_0"]
    assert result.data is not None
    assert [found.reachable for found in result.data.reach] == [False, True]


def test_offline_only_installed_models_are_offered(tmp_path: Path) -> None:
    """Nothing is asked of a network, and what is installed is chosen."""
    install(world(tmp_path, SMALL, LARGE), InstallRequest(model="small"))
    offline = world(tmp_path, SMALL, LARGE, sources=())
    result = select(offline, Workload())
    assert ids(result) == ["small:Q4_0"]
    assert result.data is not None
    assert result.data.reach == ()
    assert result.messages[0].text.startswith("Offline")


def test_nothing_fits_a_machine_without_memory(tmp_path: Path) -> None:
    """The error names what was asked for, and the result says why for each model."""
    full = machine(available_bytes=GB // 100)
    result = select(world(tmp_path, SMALL, LARGE, on=full), Workload(context_tokens=4096))
    assert result.exit_code == ExitCode.NOTHING_FITS
    assert "4,096 tokens of context" in result.errors[0].message
    assert result.data is not None
    assert {candidate.fit.verdict for candidate in result.data.ranking.refused} == {"too-large"}
    assert all(candidate.why for candidate in result.data.ranking.refused)


def test_nothing_is_chosen_for_an_unknown_machine(tmp_path: Path) -> None:
    """Where memory cannot be read, none is promised."""
    assert select(world(tmp_path, SMALL, on=blind_machine()), Workload()).exit_code == ExitCode.NOTHING_FITS


def test_a_shorter_context_than_was_asked_for_is_told(tmp_path: Path) -> None:
    """A choice that cannot hold the document in question must not look like one that can."""
    asked = select(world(tmp_path, SMALL), Workload(context_tokens=32_768))
    assert [message.text for message in asked.messages if message.level == "warning"] == [
        "The model was trained for 8,192 tokens of context, and gets these; 32,768 are asked for."
    ]
    usual = select(world(tmp_path, SMALL), Workload())
    assert [message.level for message in usual.messages] == ["info"]
