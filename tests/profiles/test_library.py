"""The library of machines to plan for, and the files that stand for a machine."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from profiles.budget import budget
from profiles.machine import Fact, Machine, Provenance, Unknown
from profiles.recording import SCHEMA, Recording, recording_to_json
from profiles.simulated import UnknownMachine, UnreadableMachine, list_machines, load_machine

GIB = 1 << 30
NAMES = list_machines()


def facts_of(value: object) -> Iterator[Fact[object]]:
    """List the facts of a machine."""
    if isinstance(value, Fact):
        yield value
        value = value.value
    if isinstance(value, msgspec.Struct):
        for field in msgspec.structs.fields(value):
            yield from facts_of(getattr(value, field.name))
    elif isinstance(value, tuple):
        for part in value:
            yield from facts_of(part)


def test_the_library_goes_from_a_raspberry_pi_to_eight_gpus() -> None:
    """At least twenty machines, the smallest and the largest among them, in order."""
    assert len(NAMES) >= 20
    assert list(NAMES) == sorted(NAMES)
    assert {"raspberry-pi-5-8gb", "strix-halo-128gb", "dgx-spark-128gb", "server-8x-h100-80gb"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_machine_of_the_library_can_be_planned_for(name: str) -> None:
    """It is marked as simulated, says where each fact comes from, and leaves room for a model in every pool."""
    machine = load_machine(name)
    assert machine.simulated
    assert machine.origin
    assert all(fact.source for fact in facts_of(machine))
    found = budget(machine)
    assert found.unused == ()
    assert all(pool.budget_bytes > 3 * GIB for pool in found.pools)
    assert len(found.pools) == 1 + len(machine.accelerators.known or ())


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_the_library_was_measured_here(name: str) -> None:
    """Its figures are stated, estimated or assumed, and marked so."""
    known = [fact for fact in facts_of(load_machine(name)) if not isinstance(fact.value, Unknown)]
    assert all(fact.provenance is not Provenance.MEASURED for fact in known)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("cloud")])
def test_bandwidth_is_stated_and_plausible(name: str) -> None:
    """Host memory reaches 15 GB/s to 1 TB/s, cards 250 GB/s to 6 TB/s; the source shows how the figure comes about."""
    machine = load_machine(name)
    assert 15e9 < (machine.memory.bandwidth_bytes_s.known or 0) < 1e12
    for device in machine.accelerators.known or ():
        bandwidth = device.memory_bandwidth_bytes_s.known or 0
        assert (250e9 if device.memory_kind == "dedicated" else 60e9) < bandwidth < 6e12
        if device.memory_kind == "unified":
            assert bandwidth == machine.memory.bandwidth_bytes_s.known


def test_the_budget_of_the_largest_machine() -> None:
    """Eight cards of 80 GB are eight pools of their own, 602 GiB together beside the host's."""
    found = budget(load_machine("server-8x-h100-80gb"))
    assert [pool.device for pool in found.pools] == [None, *range(8)]
    assert sum(pool.budget_bytes for pool in found.pools[1:]) / GIB == pytest.approx(602, abs=2)


def test_a_recording_a_machine_and_a_printed_profile_are_all_machines(tmp_path: Path) -> None:
    """Each of the three kinds of file is read, and marked as simulated."""
    recording = Recording(schema=SCHEMA, title="box", files={"/proc/meminfo": "MemTotal: 2048 kB\n"})
    (tmp_path / "recording.json").write_bytes(recording_to_json(recording))
    plain = msgspec.structs.replace(load_machine("raspberry-pi-5-8gb"), simulated=False, origin="")
    (tmp_path / "machine.json").write_bytes(msgspec.json.encode(plain))
    printed = {"schema": "landfast.profile/1", "data": {"machine": msgspec.to_builtins(plain), "budget": {}}}
    (tmp_path / "printed.json").write_text(json.dumps(printed))
    assert load_machine(str(tmp_path / "recording.json")).memory.total_bytes.value == 2048 * 1024
    for name in ("machine.json", "printed.json"):
        machine: Machine = load_machine(str(tmp_path / name))
        assert machine.simulated
        assert machine.origin == str(tmp_path / name)
        assert machine.cpu == plain.cpu


def test_an_unknown_name_is_told_from_a_broken_file(tmp_path: Path) -> None:
    """A typing error and a damaged file want different cures."""
    with pytest.raises(UnknownMachine, match="neither a file nor a name"):
        load_machine("raspberry-pi-6")
    for content in ("", "[1]", "{}", '{"schema": "landfast.recording/1", "files": 3}', "\x00"):
        (tmp_path / "broken.json").write_text(content)
        with pytest.raises(UnreadableMachine, match="not a machine that this version understands"):
            load_machine(str(tmp_path / "broken.json"))
    with pytest.raises(UnknownMachine):
        load_machine(str(tmp_path))
