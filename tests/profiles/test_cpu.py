"""The processor, from recorded machines."""

import os
import platform
from collections.abc import Callable

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.machine import Unknown
from profiles.probes import apple, cpu, topology
from profiles.recording import SCHEMA, RecordedCommand, Recording, ReplayWorld
from profiles.world import World

Recorded = Callable[[str], dict[str, str]]
Tree = Callable[[dict[str, str]], World]


def test_a_raspberry_pi_is_named_by_core_and_board(recorded: Recorded, tree: Tree) -> None:
    """An Arm kernel names no processor: core and board come from numbers and the last line."""
    facts = cpu.read(tree(recorded("raspberry-pi-4")))
    assert facts.model.value == "Cortex-A72 (Raspberry Pi 4 Model B Rev 1.1)"
    assert facts.vendor.value == "ARM"
    assert facts.logical_cores.value == 4
    assert facts.instruction_sets.value == ("asimd",)


def test_without_any_topology_cores_are_unknown(tree: Tree) -> None:
    """Where nothing tells cores from threads, the number is not guessed."""
    facts = cpu.read(tree({"proc/cpuinfo": "processor: 0\nCPU implementer: 0x41\nCPU part: 0xfff\n"}))
    assert isinstance(facts.physical_cores.value, Unknown)


def test_known_designs_of_arm_have_one_thread_a_core(recorded: Recorded, tree: Tree) -> None:
    """Without sysfs the design alone tells four fast cores of a Raspberry Pi."""
    facts = cpu.read(tree(recorded("raspberry-pi-4")))
    assert (facts.physical_cores.value, facts.performance_cores.value, facts.efficiency_cores.value) == (4, 4, 0)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["0xd87"] * 10 + ["0xd85"] * 10, (10, 10)),
        (["0xd05"] * 4 + ["0xd0b"] * 4, (4, 4)),
        (["0xd46"] * 3 + ["0xd4d"] * 4 + ["0xd4e"], (5, 3)),
        (["0xd42"] * 12, (12, 0)),
    ],
)
def test_arm_designs_are_ranked(parts: list[str], expected: tuple[int, int], tree: Tree) -> None:
    """DGX Spark, RK3588, a phone with a single prime core, Orin: fast and saving cores by design, in any order."""
    blocks = (f"processor: {n}\nCPU implementer: 0x41\nCPU part: {part}" for n, part in enumerate(parts))
    facts = cpu.read(tree({"proc/cpuinfo": "\n\n".join(blocks)}))
    assert (facts.performance_cores.value, facts.efficiency_cores.value) == expected


def test_a_hybrid_processor_counts_both_kinds_of_core(recorded: Recorded, tree: Tree) -> None:
    """Six cores of two threads and eight of one are 14 cores and 20 threads."""
    facts = cpu.read(tree(recorded("intel-hybrid-i7-1370p")))
    assert facts.model.value == "13th Gen Intel(R) Core(TM) i7-1370P"
    assert (facts.physical_cores.value, facts.logical_cores.value) == (14, 20)
    assert {"avx2", "avx_vnni", "fma", "f16c"} <= set(facts.instruction_sets.known or ())
    assert "avx512f" not in (facts.instruction_sets.known or ())


def test_core_numbers_serve_where_sysfs_is_hidden(recorded: Recorded, tree: Tree) -> None:
    """Without sysfs, pairs of package and core number in /proc/cpuinfo give the same count."""
    facts = cpu.read(tree({"proc/cpuinfo": recorded("intel-hybrid-i7-1370p")["proc/cpuinfo"]}))
    assert facts.physical_cores.value == 14
    assert facts.physical_cores.source == "/proc/cpuinfo"


def test_a_kernel_without_thread_lists_still_tells_its_cores(recorded: Recorded, tree: Tree) -> None:
    """Core numbers repeat in every package: only together with the package they count 16 cores."""
    facts = cpu.describe_linux(
        cpu.parse_cpuinfo("\n\n".join(f"processor: {n}" for n in range(16))),
        topology.read_siblings(tree(recorded("opteron-old-kernel"))),
        None,
    )
    assert facts.physical_cores.value == 16


def test_a_container_that_hides_processors_lowers_the_core_count(recorded: Recorded, tree: Tree) -> None:
    """The topology of the host cannot give more cores than this system has processors."""
    files = recorded("intel-hybrid-i7-1370p")
    files["proc/cpuinfo"] = files["proc/cpuinfo"].split("\n\n", 1)[0]
    assert cpu.read(tree(files)).physical_cores.value == 1


def test_graviton_3_has_the_matrix_instructions(recorded: Recorded, tree: Tree) -> None:
    """Arm features appear in the kernel's spelling."""
    facts = cpu.read(tree(recorded("graviton3")))
    assert facts.model.value == "Neoverse-V1"
    assert {"asimddp", "i8mm", "bf16", "sve"} <= set(facts.instruction_sets.known or ())


def test_altra_is_known_by_its_core(recorded: Recorded, tree: Tree) -> None:
    """A server without a board name still gets its core's name."""
    assert cpu.read(tree(recorded("ampere-altra-max"))).model.value == "Neoverse-N1"


def test_a_generic_arm_name_gives_way_to_core_and_board(recorded: Recorded, tree: Tree) -> None:
    """Jetson kernels write a model name that says nothing; the device tree holds the board, ended by a zero byte."""
    files = recorded("jetson-agx-orin") | {"proc/device-tree/model": "Jetson AGX Orin\0"}
    assert cpu.read(tree(files)).model.value == "Cortex-A78AE (Jetson AGX Orin)"


def test_two_kinds_of_arm_core_are_both_named(recorded: Recorded, tree: Tree) -> None:
    """Efficiency cores come first in the list and must not stand for the whole."""
    model = cpu.read(tree(recorded("apple-m1-pro-asahi"))).model.known or ""
    assert model == "Apple M1 Pro efficiency core + Apple M1 Pro performance core"


def test_an_unlisted_arm_core_keeps_its_numbers() -> None:
    """A core that is newer than the table is shown as the kernel shows it."""
    info = cpu.parse_cpuinfo("processor : 0\nCPU implementer : 0x41\nCPU part : 0xfff\n")
    assert cpu.describe_linux(info, (), None).model.value == "implementer 0x41 part 0xfff"


def test_an_architecture_without_flags_has_unknown_instruction_sets(recorded: Recorded, tree: Tree) -> None:
    """POWER lists no flags: that is not the same as having none."""
    facts = cpu.read(tree(recorded("power9")))
    assert facts.model.value == "POWER9, altivec supported"
    assert isinstance(facts.instruction_sets.value, Unknown)


def test_only_instruction_sets_of_all_cores_count() -> None:
    """A thread may run on the weaker core, so what that one lacks is left out."""
    info = cpu.parse_cpuinfo("processor: 0\nflags: avx avx2\n\nprocessor: 1\nflags: avx\n")
    assert cpu.describe_linux(info, (), None).instruction_sets.value == ("avx",)


def test_apple_silicon_through_sysctl(recorded: Recorded) -> None:
    """There is no /proc on macOS; its counters and names come from sysctl."""
    facts = cpu.parse_sysctl(apple.parse_lines(recorded("apple-m3-ultra")["sysctl"]))
    assert facts.model.value == "Apple M3 Ultra"
    assert facts.vendor.value == "Apple"
    assert (facts.physical_cores.value, facts.logical_cores.value) == (28, 28)
    assert isinstance(facts.instruction_sets.value, Unknown)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("hw.optional.arm.FEAT_DotProd: 1", ("asimddp",)),
        ("hw.optional.arm.FEAT_I8MM: 1\nhw.optional.arm.FEAT_BF16: 0", ("i8mm",)),
        ("machdep.cpu.features: FPU SSSE3 FMA AVX1.0 F16C\nmachdep.cpu.leaf7_features: AVX2", None),
    ],
)
def test_apples_names_are_translated(line: str, expected: tuple[str, ...] | None) -> None:
    """Both of Apple's ways to list instruction sets come out in the kernel's spelling."""
    assert cpu.parse_sysctl(apple.parse_lines(line)).instruction_sets.value == (
        expected or ("ssse3", "avx", "f16c", "fma", "avx2")
    )


@given(st.text(max_size=300))
def test_no_text_breaks_the_parsers(text: str) -> None:
    """Garbage gives Unknown facts, never an exception or a zero."""
    for facts in (cpu.describe_linux(cpu.parse_cpuinfo(text), (), None), cpu.parse_sysctl(apple.parse_lines(text))):
        assert facts.logical_cores.value != 0
        assert facts.physical_cores.value != 0


def test_an_empty_cpuinfo_gives_unknown_everywhere(tree: Tree) -> None:
    """An empty file is a reading that failed, and every fact says so."""
    facts = cpu.read(tree({"proc/cpuinfo": ""}))
    values = (facts.model, facts.vendor, facts.physical_cores, facts.logical_cores, facts.instruction_sets)
    assert all(isinstance(fact.value, Unknown) and fact.value.reason for fact in values)


def test_a_mac_is_read_through_sysctl(recorded: Recorded) -> None:
    """Without /proc on Darwin the command's output is what gets parsed: 20 fast cores and 8 saving ones."""
    command = RecordedCommand(stdout=recorded("apple-m3-ultra")["sysctl"])
    mac = Recording(schema=SCHEMA, platform="darwin", commands={"sysctl hw machdep.cpu": command})
    facts = cpu.read(ReplayWorld(mac))
    assert facts.model.value == "Apple M3 Ultra"
    assert (facts.performance_cores.value, facts.efficiency_cores.value) == (20, 8)


def test_other_systems_are_read_through_psutil(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /proc elsewhere the counts are still there, and instruction sets are unknown, not empty."""
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    facts = cpu.read(tree({}))
    assert facts.physical_cores.value == psutil.cpu_count(logical=False)
    assert facts.logical_cores.value == os.cpu_count()
    assert isinstance(facts.instruction_sets.value, Unknown)
