"""The whole profile: of this machine, of recorded ones, and with probes that fail."""

import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest

from profiles.budget import budget
from profiles.machine import (
    Accelerator,
    Cpu,
    Disk,
    Fact,
    Machine,
    Memory,
    MemoryLimit,
    Unknown,
    machine_from_json,
)
from profiles.probe import Probes, merge_accelerators, probes_of, profile
from profiles.probes.system import System
from profiles.world import LiveWorld, World

Recorded = Callable[[str], dict[str, str]]
Tree = Callable[[dict[str, str]], World]

LSCPU, FREE = shutil.which("lscpu"), shutil.which("free")


@pytest.fixture
def hung() -> Iterator[Callable[..., NoReturn]]:
    """Give a probe that hangs until the test is over."""
    released = threading.Event()

    def hang(*_: object) -> NoReturn:
        released.wait()
        raise OSError("released")

    yield hang
    released.set()


def broken(*_: object) -> NoReturn:
    """Stand in for a probe of which something unforeseen comes out."""
    raise OSError("the disk is on fire")


def all_probes(probe: Callable[..., NoReturn]) -> Probes:
    """Give probes that all do the same."""
    return Probes(
        system=probe,
        cpu=probe,
        memory=probe,
        memory_limits={"control group": probe},
        cpu_limits={"processor affinity": probe},
        accelerators={"NVIDIA": probe},
        disk=probe,
        engine=probe,
        engine_devices=probe,
        npus=probe,
        environment=probe,
    )


def facts_of(machine: Machine) -> list[Fact[object]]:
    """List every fact of a machine, limits included."""
    found: list[Fact[object]] = []
    open_ends: list[object] = [machine]
    while open_ends:
        value = open_ends.pop()
        if isinstance(value, Fact):
            found.append(value)
        elif isinstance(value, msgspec.Struct):
            open_ends += [getattr(value, field.name) for field in msgspec.structs.fields(value)]
        elif isinstance(value, tuple):
            open_ends += value
    return found


@pytest.mark.skipif(LSCPU is None, reason="needs lscpu")
def test_the_processor_agrees_with_lscpu(tmp_path: Path) -> None:
    """Name, cores and threads are those of the system's own tool."""
    done = subprocess.run(
        [str(LSCPU), "-J"], check=True, capture_output=True, text=True, env={"LC_ALL": "C"}, timeout=30
    )
    listed = {row["field"].rstrip(":"): row["data"] for row in json.loads(done.stdout)["lscpu"]}
    cpu = profile(tmp_path).cpu
    assert cpu.logical_cores.value == int(listed["CPU(s)"])
    assert cpu.physical_cores.value == int(listed["Core(s) per socket"]) * int(listed["Socket(s)"])
    assert cpu.vendor.value == listed["Vendor ID"]
    assert set(cpu.instruction_sets.known or ()) <= set(listed["Flags"].split())


@pytest.mark.skipif(FREE is None, reason="needs free")
def test_memory_agrees_with_free(tmp_path: Path) -> None:
    """Totals are equal; what is available moves between two looks, by far less than an eighth of the memory."""
    memory = profile(tmp_path).memory
    done = subprocess.run(
        [str(FREE), "-b"], check=True, capture_output=True, text=True, env={"LC_ALL": "C"}, timeout=30
    )
    lines = {line.split()[0]: [int(word) for word in line.split()[1:]] for line in done.stdout.splitlines()[1:]}
    assert memory.total_bytes.value == lines["Mem:"][0]
    assert memory.swap_total_bytes.value == lines["Swap:"][0]
    assert memory.available_bytes.known == pytest.approx(lines["Mem:"][5], abs=lines["Mem:"][0] / 8)


def test_system_and_disk_agree_with_the_standard_library(tmp_path: Path) -> None:
    """Architecture and the size of the store's file system are what Python sees."""
    machine = profile(tmp_path / "store")
    assert machine.architecture.value == platform.machine()
    assert machine.disk.total_bytes.value == shutil.disk_usage(tmp_path).total
    assert machine.cpu.logical_cores.value == os.cpu_count()
    assert machine.simulated is False


def test_a_machine_survives_json(tmp_path: Path) -> None:
    """What is written is read back as the same machine, and as JSON it is plain."""
    machine = profile(tmp_path)
    assert machine_from_json(msgspec.json.encode(machine)) == machine


def test_failing_probes_leave_reasons_only(tmp_path: Path) -> None:
    """Where every probe fails there is a machine of Unknowns that say why, and it survives JSON."""
    machine = profile(tmp_path, all_probes(broken))
    facts = facts_of(machine)
    assert all(isinstance(fact.value, Unknown) and "the disk is on fire" in fact.value.reason for fact in facts)
    assert len(facts) == 36
    assert machine.disk.path == str(tmp_path)
    assert machine_from_json(msgspec.json.encode(machine)) == machine


def test_hanging_probes_are_left_behind(tmp_path: Path, hung: Callable[..., NoReturn]) -> None:
    """All of them hanging takes one time limit, not one for each."""
    start = time.perf_counter()
    machine = profile(tmp_path, all_probes(hung), time_limit_s=0.2)
    assert time.perf_counter() - start < 0.2 * 36 / 2
    facts = facts_of(machine)
    assert all(isinstance(fact.value, Unknown) and "in time" in fact.value.reason for fact in facts)


def test_one_hanging_probe_costs_only_its_own_facts(tmp_path: Path, hung: Callable[..., NoReturn]) -> None:
    """A driver that hangs leaves processor, memory and disk as they are."""
    probes = msgspec.structs.replace(probes_of(LiveWorld()), accelerators={"NVIDIA": hung})
    machine = profile(tmp_path, probes, time_limit_s=2.0)
    assert isinstance(machine.accelerators.value, Unknown)
    assert machine.memory.total_bytes.known
    assert machine.disk.free_bytes.known is not None


def test_a_failed_limit_probe_counts_as_a_limit_of_unknown_size(tmp_path: Path) -> None:
    """A limit that was missed could be any, so nothing is promised."""
    machine = profile(
        tmp_path, msgspec.structs.replace(probes_of(LiveWorld()), memory_limits={"control group": broken})
    )
    (limit,) = machine.limits.memory
    assert isinstance(limit.limit_bytes.value, Unknown)
    host = budget(machine).host
    assert host.budget_bytes == 0
    assert "the disk is on fire" in host.subtractions[0].reason


def test_a_recorded_machine_is_profiled_through_its_trees(tmp_path: Path, recorded: Recorded, tree: Tree) -> None:
    """The same probes read a recorded laptop: 14 cores, 31 GiB, no limit at a level that is not there."""
    machine = profile(tmp_path, probes_of(tree(recorded("intel-hybrid-i7-1370p"))))
    assert machine.cpu.physical_cores.value == 14
    assert machine.memory.total_bytes.value == 32489496 * 1024
    assert machine.limits.memory == ()


def test_a_tree_that_cannot_be_read_gives_reasons(tmp_path: Path) -> None:
    """Folders in the place of files are failures of their probes, not of the profile."""
    for name in ("cpuinfo", "meminfo", "self/cgroup"):
        (tmp_path / "proc" / name).mkdir(parents=True)
    machine = profile(tmp_path, probes_of(LiveWorld(tmp_path)))
    assert isinstance(machine.cpu.model.value, Unknown)
    assert isinstance(machine.memory.total_bytes.value, Unknown)
    assert isinstance(machine.limits.memory[0].limit_bytes.value, Unknown)


def accelerator(name: str) -> Accelerator:
    """Give a device of which only the name matters."""
    missing: Fact[int] = Fact(Unknown("not asked"), "test")
    text: Fact[str] = Fact(Unknown("not asked"), "test")
    return Accelerator(
        name=name,
        vendor="other",
        memory_kind="dedicated",
        total_bytes=missing,
        free_bytes=missing,
        driver_version=text,
        compute_capability=text,
    )


def test_vendors_are_joined_and_the_unread_one_is_named() -> None:
    """What was found stays, and the source tells which vendor could not be read."""
    first, second = accelerator("first"), accelerator("second")
    joined = merge_accelerators([Fact((first,), "A"), Fact(Unknown("B is asleep"), "B"), Fact((second,), "C")])
    assert joined.value == (first, second)
    assert "B is asleep" in joined.source


def test_nothing_found_is_unknown_only_where_a_vendor_was_not_read() -> None:
    """No device of any vendor is an empty list; with one vendor unread it cannot be told."""
    assert merge_accelerators([Fact((), "A"), Fact((), "B")]).value == ()
    assert isinstance(merge_accelerators([Fact((), "A"), Fact(Unknown("asleep"), "B")]).value, Unknown)


def test_probes_may_be_replaced_one_by_one(tmp_path: Path) -> None:
    """Every source of facts has a seam."""
    limit = MemoryLimit(name="test", limit_bytes=Fact(1, "test"), available_bytes=Fact(1, "test"))
    text, number = Fact("x", "test"), Fact(1, "test")
    probes = Probes(
        system=lambda: System(operating_system=text, architecture=text),
        cpu=lambda: Cpu(
            model=text, vendor=text, physical_cores=number, logical_cores=number, instruction_sets=Fact((), "test")
        ),
        memory=lambda: Memory(total_bytes=number, available_bytes=number, swap_total_bytes=number),
        memory_limits={"test": lambda: (limit,)},
        cpu_limits={},
        accelerators={"test": lambda: Fact((accelerator("only"),), "test")},
        disk=lambda path: Disk(path=str(path), total_bytes=number, free_bytes=number),
        engine=lambda: Fact(("cpu",), "test"),
    )
    machine = profile(tmp_path, probes)
    assert machine.limits.memory == (limit,)
    assert [device.name for device in machine.accelerators.known or ()] == ["only"]
    assert machine_from_json(msgspec.json.encode(machine)) == machine


def test_a_hung_probe_does_not_keep_the_program_alive() -> None:
    """A process whose probe hangs for good still ends on its own."""
    program = (
        "import time, msgspec; from pathlib import Path\n"
        "from profiles.probe import probes_of, profile; from profiles.world import LiveWorld\n"
        "probes = msgspec.structs.replace(probes_of(LiveWorld()), engine=lambda: time.sleep(600))\n"
        "profile(Path.cwd(), probes, time_limit_s=0.2)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)
