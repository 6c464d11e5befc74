"""Recorded machines, each with the outcome that was read off its raw outputs by eye."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from profiles.budget import Budget, budget
from profiles.machine import Machine, Unknown, machine_from_json
from profiles.recording import recording_from_json, replay
from profiles.redaction import redact

MACHINES = Path(__file__).parent / "machines"
EXPECTED: dict[str, dict[str, Any]] = json.loads((MACHINES / "expected.json").read_text())
SLUGS = sorted(EXPECTED)
GIB = 1 << 30

CLASSES = (
    *("laptop-igpu+dgpu", "two-unequal-gpus", "strix-halo", "dgx-spark", "jetson", "intel-arc", "apple"),
    *("raspberry-pi", "wsl2", "lxc", "docker", "kubernetes", "windows", "numa", "8-gpu-server", "mig"),
    *("intel-hybrid", "cpu-arm-server", "amd-apu", "gpu-busy", "failure-mode", "vm", "unified-memory"),
)
"""What has to be among them."""


@cache
def played(slug: str) -> tuple[Machine, Budget]:
    """Play a machine back and budget it, once."""
    machine = replay(recording_from_json((MACHINES / f"{slug}.json").read_bytes()))
    return machine, budget(machine)


def test_every_recording_has_an_outcome_and_a_source() -> None:
    """No machine goes unchecked, none is without its origin, and there are at least sixty."""
    recordings = {path.stem for path in MACHINES.glob("*.json")} - {"expected"}
    assert recordings == set(EXPECTED)
    assert len(recordings) >= 60
    assert all(recording_from_json((MACHINES / f"{slug}.json").read_bytes()).source for slug in recordings)


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_of_machine_is_there(name: str) -> None:
    """Each class that tools get wrong has at least one machine."""
    assert any(name in expected["classes"] for expected in EXPECTED.values())


@pytest.mark.parametrize("slug", SLUGS)
def test_a_machine_is_read_right(slug: str) -> None:
    """Memory, cores, and each device with its maker, kind and size, or Unknown where the source cannot tell."""
    machine, _ = played(slug)
    expected = EXPECTED[slug]
    cpu = machine.cpu
    assert machine.memory.total_bytes.known == expected["memory_bytes"]
    assert [cpu.physical_cores.known, cpu.performance_cores.known, cpu.efficiency_cores.known] == expected["cores"]
    found = machine.accelerators.value
    if isinstance(found, Unknown):
        assert expected["accelerators"] == "unknown"
    else:
        listed = [[d.name, d.vendor, d.memory_kind, d.total_bytes.known] for d in found]
        assert listed == expected["accelerators"]
    assert list(machine.npus.known or ()) == expected.get("npus", [])
    assert (machine.environment.container.known or "") == expected.get("container", "")
    assert bool(machine.environment.wsl.known) == expected.get("wsl", False)


@pytest.mark.parametrize("slug", SLUGS)
def test_a_machine_is_budgeted_right(slug: str) -> None:
    """The right pools in order, each budget within half a per cent, and the threads."""
    _, found = played(slug)
    expected = EXPECTED[slug]
    assert [[pool.kind, pool.name] for pool in found.pools] == [[kind, name] for kind, name, _, _ in expected["pools"]]
    for pool, (_, _, least, most) in zip(found.pools, expected["pools"], strict=True):
        assert least <= pool.budget_bytes <= most
    assert found.threads == expected["threads"]


@pytest.mark.parametrize("slug", SLUGS)
def test_no_machine_is_promised_more_than_it_has(slug: str) -> None:
    """No pool exceeds what is free, shared memory stays within the host's budget, and nothing is counted twice."""
    machine, found = played(slug)
    for pool in found.pools:
        assert pool.budget_bytes <= (pool.free_bytes.known or 0)
        assert pool.shared_bytes <= found.host.budget_bytes
    dedicated = [d for d in machine.accelerators.known or () if d.memory_kind == "dedicated"]
    own = sum(d.own_bytes.known or 0 for d in machine.accelerators.known or () if d.memory_kind == "unified")
    cards = sum(max(d.total_bytes.known or 0, 64 * GIB if d.total_bytes.known is None else 0) for d in dedicated)
    assert found.total_bytes <= (machine.memory.total_bytes.known or 0) + own + cards


@pytest.mark.parametrize("slug", [slug for slug in SLUGS if "ram_gib" in EXPECTED[slug].get("stated", {})])
def test_memory_agrees_with_what_its_owner_says(slug: str) -> None:
    """What the host sees and what the firmware cut off make up the memory that is in the machine, less the kernel's."""
    machine, _ = played(slug)
    total = machine.memory.total_bytes.known or 0
    own = sum(d.own_bytes.known or 0 for d in machine.accelerators.known or () if d.memory_kind == "unified")
    limits = [limit.limit_bytes.known for limit in machine.limits.memory if limit.limit_bytes.known]
    assert (min([total, *limits]) + own) / GIB == pytest.approx(EXPECTED[slug]["stated"]["ram_gib"], rel=0.05)


@pytest.mark.parametrize("slug", [slug for slug in SLUGS if "vram_gib" in EXPECTED[slug].get("stated", {})])
def test_card_memory_agrees_with_what_its_owner_says(slug: str) -> None:
    """The cards' own memory is what they were sold with, less what error correction and the driver take."""
    machine, _ = played(slug)
    cards = [d.total_bytes.known or 0 for d in machine.accelerators.known or () if d.memory_kind == "dedicated"]
    own = [d.own_bytes.known or 0 for d in machine.accelerators.known or ()]
    assert sum(cards or own) / GIB == pytest.approx(EXPECTED[slug]["stated"]["vram_gib"], rel=0.07)


@pytest.mark.parametrize("slug", SLUGS)
def test_no_recording_names_anybody(slug: str) -> None:
    """What is published here holds no serial number, no identity and no address."""
    text = (MACHINES / f"{slug}.json").read_text()
    recording = recording_from_json(text.encode())
    for part in (*recording.files.values(), *(done.stdout for done in recording.commands.values())):
        assert redact(part) == part


def test_a_played_machine_survives_json() -> None:
    """Simulated machines travel as files like any other."""
    machine, _ = played("strix-halo-vram96-gtt105-dmesg")
    assert machine.simulated
    assert machine_from_json(msgspec.json.encode(machine)) == machine


def test_no_software_renderer_is_a_device() -> None:
    """llvmpipe, Microsoft's basic driver and the like compute on the processor."""
    names = [d.name for slug in SLUGS for d in played(slug)[0].accelerators.known or ()]
    assert not [name for name in names if any(word in name for word in ("llvmpipe", "Microsoft", "FPGA", "BLAS"))]


def test_a_driver_that_cannot_be_read_differs_from_no_gpu() -> None:
    """A mismatch of versions is Unknown, cards without a driver are cards of unknown size, an empty bus is none."""
    mismatch = played("nvidia-failure-messages")[0].accelerators.value
    assert isinstance(mismatch, Unknown)
    assert "version mismatch" in mismatch.reason
    cards = played("nvidia-driver-not-loaded")[0].accelerators.known or ()
    assert [card.total_bytes.known for card in cards] == [None, None]
    assert played("canonical-ampere-one-siryn")[0].accelerators.known == ()
