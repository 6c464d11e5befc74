"""Machines that are not this one: planned for loudly, recorded without names."""

import getpass
import socket
from pathlib import Path

import pytest

from deploy.commands.machines import as_if_on, list_library, record_this
from deploy.commands.profile import profile
from deploy.commands.select import select
from deploy.errors import NotFound, NotWritable, UsageError
from deploy.fit.fit import Workload
from profiles.simulated import list_machines
from tests.support.cli import Landfast
from tests.support.world import FakeSource, world

SHORT = 6
"""Shorter names, as "root" or "vm", are words of the kernel's too; profiles tests their redaction."""


def test_the_library_is_listed_with_what_a_model_may_take(tmp_path: Path) -> None:
    """Every machine that --machine knows by name is there, with a title and a size."""
    data = list_library(world(tmp_path)).data
    assert data is not None
    assert tuple(entry.name for entry in data.machines) == list_machines()
    assert all(entry.title and "GB" in entry.memory for entry in data.machines)


def test_a_command_sees_the_other_machine(tmp_path: Path) -> None:
    """The profile is that machine's, and it says that it is simulated."""
    data = profile(as_if_on(world(tmp_path), "raspberry-pi-5-8gb")).data
    assert data is not None
    assert data.machine.simulated
    assert data.machine.architecture.known == "aarch64"


def test_sources_count_as_in_reach_on_another_machine(tmp_path: Path) -> None:
    """What is planned for another place does not depend on the network here."""
    here = world(tmp_path, sources=(FakeSource(reachable=False),))
    assert select(here, Workload()).data is not None
    there = select(as_if_on(here, "desktop-rtx-4090-24gb"), Workload()).data
    assert there is not None
    assert [found.reachable for found in there.reach] == [True]
    assert there.ranking.chosen is not None


def test_an_unknown_machine_is_told_with_near_names(tmp_path: Path) -> None:
    """A typing error is cured by the message."""
    with pytest.raises(NotFound) as caught:
        as_if_on(world(tmp_path), "raspberry-pi5-8gb")
    assert "raspberry-pi-5-8gb" in caught.value.hint


def test_a_file_that_is_no_machine_is_refused(tmp_path: Path) -> None:
    """One sentence, and how to make one that is."""
    file = tmp_path / "machine.json"
    file.write_text("{}")
    with pytest.raises(UsageError) as caught:
        as_if_on(world(tmp_path), str(file))
    assert "--record" in caught.value.hint


def test_a_recording_holds_no_names_and_replays(tmp_path: Path) -> None:
    """What doctor writes can be handed on, and gives the same machine again."""
    file = tmp_path / "here.json"
    record_this(world(tmp_path), str(file))
    text = file.read_text()
    for name in (socket.gethostname(), getpass.getuser()):
        assert len(name) < SHORT or name not in text
    data = profile(as_if_on(world(tmp_path), str(file))).data
    assert data is not None
    assert data.machine.cpu.logical_cores.known


def test_a_recording_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    """The folder is not there."""
    with pytest.raises(NotWritable):
        record_this(world(tmp_path), str(tmp_path / "none" / "here.json"))


@pytest.mark.parametrize("words", [("profile",), ("select", "--offline"), ("plan", "qwen3-8b", "--min-speed", "0")])
def test_every_planning_command_marks_a_simulation(tmp_path: Path, words: tuple[str, ...]) -> None:
    """On standard output as well as on standard error, so that no copy of it misleads."""
    done = Landfast(tmp_path)(*words, "--machine", "server-h100-80gb")
    assert "SIMULATED" in done.stdout.splitlines()[0]
    assert "not for this machine" in done.stderr
