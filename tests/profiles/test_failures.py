"""Tools that are missing, hang, print garbage or fail: the profile still comes, with Unknown and its reason."""

import stat
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from profiles.machine import Accelerator, Fact, Machine, Unknown, machine_from_json
from profiles.probe import probes_of, profile
from profiles.probes import amd_tools, apple, intel, nvidia_smi, windows
from profiles.probes.amd_tools import parse_amd_smi, parse_rocm_smi
from profiles.recording import SCHEMA, RecordedCommand, Recording, ReplayWorld
from profiles.world import CommandFailed, LiveWorld, Platform

STORE = Path("models")
GARBAGE = (
    "",
    "\x00\xff",
    "Segmentation fault",
    "{",
    "{}",
    "[]",
    "null",
    '{"card0": 3}',
    "<xml/>",
    "a,b\n1",
    "7" * 5000,
)
TOOLS: dict[str, tuple[Platform, tuple[tuple[str, ...], ...]]] = {
    "nvidia-smi": ("linux", (nvidia_smi.REPORT, nvidia_smi.QUERY)),
    "AMD's tools": ("linux", (amd_tools.ROCM_SMI, amd_tools.AMD_SMI)),
    "Intel's tools": ("linux", (intel.XPU_SMI, intel.CLINFO)),
    "vulkaninfo": ("linux", (("vulkaninfo", "--summary"),)),
    "system_profiler": ("darwin", (apple.DISPLAYS,)),
    "sysctl": ("darwin", (apple.SYSCTL, apple.WIRED_LIMIT)),
    "Windows": ("windows", (windows.CIM, windows.REGISTRY, windows.DXDIAG)),
}
ALL = [arguments for _, tools in TOOLS.values() for arguments in tools] + [("lspci", "-vmmnD")]


def with_answers(platform: Platform, answers: dict[tuple[str, ...], RecordedCommand]) -> Machine:
    """Profile a machine that has memory and a processor; tools that are not named here are not installed."""
    import shlex

    commands = {tool: RecordedCommand(failure=f"{tool[0]} is not installed", missing=True) for tool in ALL} | answers
    recording = Recording(
        schema=SCHEMA,
        platform=platform,
        files={"/proc/meminfo": "MemTotal: 1048576 kB\nMemAvailable: 524288 kB\n", "/proc/cpuinfo": "processor: 0\n"},
        commands={shlex.join(tool): done for tool, done in commands.items()},
        failed_libraries={"NVML": "NVML Shared Library Not Found"},
    )
    return profile(STORE, probes_of(ReplayWorld(recording)))


def survives(machine: Machine) -> None:
    """See that the machine is whole: what can be read was read, and it can be written down."""
    assert machine.memory.total_bytes.value == 1 << 30
    assert machine_from_json(msgspec.json.encode(machine)) == machine


@pytest.mark.parametrize("platform", ["linux", "windows", "darwin"])
def test_without_any_tool_there_is_a_machine(platform: Platform) -> None:
    """Tools that are not installed are the usual case on a machine without a GPU: that is no doubt."""
    machine = with_answers(platform, {})
    survives(machine)
    if platform == "linux":
        assert machine.accelerators.value == ()


@pytest.mark.parametrize("text", GARBAGE)
@pytest.mark.parametrize("tool", TOOLS)
def test_garbage_is_survived(tool: str, text: str) -> None:
    """Whatever a tool prints, no device is made of it, nothing is raised and nothing is zero."""
    platform, commands = TOOLS[tool]
    machine = with_answers(platform, dict.fromkeys(commands, RecordedCommand(stdout=text)))
    survives(machine)
    for device in machine.accelerators.known or ():
        assert device.total_bytes.value != 0


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_that_fails_is_unknown_with_its_words(tool: str) -> None:
    """A driver that is there and fails is not "no GPU": the reason holds what the tool said."""
    platform, commands = TOOLS[tool]
    failed = RecordedCommand(stdout="Driver/library version mismatch", status=18)
    machine = with_answers(platform, dict.fromkeys(commands, failed))
    survives(machine)
    if tool != "sysctl":
        assert isinstance(machine.accelerators.value, Unknown)
        assert "version mismatch" in machine.accelerators.value.reason


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_that_hung_is_unknown_with_the_reason(tool: str) -> None:
    """A recording keeps that a tool did not answer, and playing it back says so."""
    platform, commands = TOOLS[tool]
    hung = RecordedCommand(failure=f"{commands[0][0]} did not answer within 4 s")
    machine = with_answers(platform, dict.fromkeys(commands, hung))
    survives(machine)
    if tool != "sysctl":
        assert isinstance(machine.accelerators.value, Unknown)
        assert "did not answer" in machine.accelerators.value.reason


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put programs of all vendors' names before the real ones; each does what it is told in Python."""

    def install(program: str) -> None:
        for arguments in ALL:
            path = tmp_path / arguments[0]
            path.write_text(f"#!{sys.executable}\n{program}\n")
            path.chmod(stat.S_IRWXU)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return install


@pytest.mark.skipif(sys.platform != "linux", reason="asks the tools of Linux")
@pytest.mark.parametrize(
    ("program", "word"),
    [
        ("import time; time.sleep(30)", "did not answer within 0.5 s"),
        ("print('garbage')", "cannot be understood"),
        ("raise SystemExit('out of order')", "out of order"),
    ],
)
def test_real_tools_that_misbehave_cost_only_their_own_facts(
    program: str, word: str, tools: Callable[[str], None]
) -> None:
    """Every vendor's tool hangs for 30 seconds, prints garbage or fails: memory and processor are read all the same."""
    tools(program)
    machine = profile(STORE, probes_of(LiveWorld(time_limit_s=0.5)))
    assert machine.memory.total_bytes.known
    assert machine.cpu.logical_cores.known
    told = machine.accelerators
    text = told.value.reason if isinstance(told.value, Unknown) else told.source
    assert word in text


def devices(fact: Fact[tuple[Accelerator, ...]]) -> tuple[Accelerator, ...]:
    """Give the devices that were read."""
    assert not isinstance(fact.value, Unknown)
    return fact.value


def test_rocm_smi_of_several_versions() -> None:
    """Warnings before the JSON, numbers as texts, names under other keys, "N/A" for what is missing."""
    text = (
        "WARNING: low-power\n"
        '{"card0": {"Card Series": "N/A", "Device ID": "0x744c", "VRAM Total Memory (B)": "25753026560"}}'
    )
    (card,) = devices(parse_rocm_smi(text))
    assert (card.name, card.total_bytes.value) == ("AMD Radeon RX 7900", 25753026560)
    assert isinstance(card.free_bytes.value, Unknown)


def test_amd_smi_in_its_two_envelopes() -> None:
    """Older versions print a list, newer ones an object that holds it."""
    card = (
        '{"asic": {"market_name": "AMD Instinct MI300X", "device_id": "0x74a1"}, "vram": {"size": {"value": 196592}}}'
    )
    for text in (f"[{card}]", f'{{"gpu_data": [{card}]}}'):
        (found,) = devices(parse_amd_smi(text))
        assert (found.name, found.total_bytes.value) == ("AMD Instinct MI300X", 196592 << 20)


def test_a_command_fails_with_its_name() -> None:
    """Reasons name the tool, so that the reader knows what to look at."""
    with pytest.raises(CommandFailed, match="nvidia-smi"):
        ReplayWorld(
            Recording(schema=SCHEMA, commands={"nvidia-smi": RecordedCommand(failure="nvidia-smi is not installed")})
        ).run(["nvidia-smi"])
