"""Recording a machine and playing it back: the same parsers, the same answers, nothing that names anybody."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.machine import machine_from_json
from profiles.probe import probes_of, profile
from profiles.probes import nvidia_smi
from profiles.recording import (
    SCHEMA,
    RecordedCommand,
    Recording,
    RecordingWorld,
    ReplayWorld,
    record,
    recording_from_json,
    recording_to_json,
    replay,
)
from profiles.redaction import REMOVED, own_secrets, redact, redact_value
from profiles.world import CommandFailed, CommandMissing, LiveWorld, NotRecorded


@pytest.fixture(scope="module")
def here() -> Recording:
    """This very machine, recorded once."""
    return record(LiveWorld(), title="here")


def test_a_recorded_machine_is_the_machine(here: Recording, tmp_path: Path) -> None:
    """What is played back has the name, cores, limits and devices of the recorded one, and says so."""
    machine, again = profile(tmp_path), replay(here)
    assert again.cpu.model == machine.cpu.model
    assert again.cpu.physical_cores == machine.cpu.physical_cores
    assert again.memory.total_bytes == machine.memory.total_bytes
    assert [limit.limit_bytes for limit in again.limits.memory] == [m.limit_bytes for m in machine.limits.memory]
    assert again.accelerators.value == machine.accelerators.value
    assert again.operating_system == machine.operating_system
    assert again.engine_backends.value == machine.engine_backends.value
    assert (again.simulated, again.origin) == (True, "here")
    assert machine_from_json(msgspec.json.encode(again)) == again


def test_a_recording_is_one_file_that_can_be_read_back(here: Recording) -> None:
    """It carries its schema, so that another version can refuse it."""
    raw = recording_to_json(here)
    assert recording_from_json(raw) == here
    assert b'"schema": "landfast.recording/1"' in raw
    with pytest.raises(msgspec.ValidationError):
        recording_from_json(raw.replace(b"landfast.recording/1", b"landfast.recording/9"))


def test_a_recording_names_neither_host_nor_user(here: Recording) -> None:
    """The words that name a host and a user stand nowhere in it: here this one's, there given ones."""
    text = recording_to_json(here).decode()
    assert redact(text, own_secrets()) == text
    world = ReplayWorld(
        Recording(schema=SCHEMA, files={"/proc/device-tree/model": "desk", "/proc/cpuinfo": "Model: ada\n"})
    )
    assert record(world, secrets=["ada"]).files["/proc/cpuinfo"] == f"Model: {REMOVED}\n"


def test_every_kind_of_answer_comes_back(tmp_path: Path) -> None:
    """Text, folder, output, missing tool, tool that fails, library: all as they were."""
    (tmp_path / "file").write_text("text")
    world = RecordingWorld(LiveWorld(tmp_path, time_limit_s=0.2))
    world.read("/file")
    world.entries("/")
    world.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    with pytest.raises(CommandMissing):
        world.run(["landfast-no-such-tool"])
    with pytest.raises(CommandFailed):
        world.run(["sleep", "9"])
    world.ask("numbers", lambda: (1, 2), tuple[int, int])
    with pytest.raises(ZeroDivisionError):
        world.ask("broken", lambda: 1 // 0, int)
    kept = Recording(
        schema=SCHEMA,
        files=world.files,
        folders=world.folders,
        commands=world.commands,
        libraries=world.libraries,
        failed_libraries=world.failed_libraries,
    )
    again = ReplayWorld(recording_from_json(recording_to_json(kept)))
    assert (again.read("/file"), again.entries("/")) == ("text", ("file",))
    done = again.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.stdout, done.stderr, done.status) == ("out\n", "err\n", 3)
    with pytest.raises(CommandMissing, match="not installed"):
        again.run(["landfast-no-such-tool"])
    with pytest.raises(CommandFailed, match=r"within 0\.2 s"):
        again.run(["sleep", "9"])
    assert again.ask("numbers", lambda: (0, 0), tuple[int, int]) == (1, 2)
    with pytest.raises(OSError, match="ZeroDivisionError"):
        again.ask("broken", lambda: 1, int)


def test_what_was_not_recorded_is_told_from_what_is_not_there() -> None:
    """A file that a recording lacks is absent; of a command or library nothing can be said."""
    world = ReplayWorld(Recording(schema=SCHEMA, unreadable={"/proc/cpuinfo": "Permission denied"}))
    with pytest.raises(FileNotFoundError):
        world.read("/proc/meminfo")
    with pytest.raises(OSError, match="Permission denied"):
        world.read("/proc/cpuinfo")
    with pytest.raises(NotRecorded):
        world.run(["nvidia-smi"])
    with pytest.raises(NotRecorded):
        world.ask("NVML", lambda: 1, int)


def test_a_replay_asks_nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither files nor commands nor libraries of this machine may leak into a recorded one."""

    def refuse(*_: object) -> None:
        raise AssertionError("this machine was asked")

    for name in ("read", "entries", "run", "ask"):
        monkeypatch.setattr(LiveWorld, name, refuse)
    recording = Recording(schema=SCHEMA, files={"/proc/meminfo": "MemTotal: 1024 kB\n"})
    machine = profile(Path("models"), probes_of(ReplayWorld(recording)))
    assert machine.memory.total_bytes.value == 1 << 20
    assert machine.disk.free_bytes.known is None
    assert machine.limits.memory == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GPU-8f6c1d20-1a2b-3c4d-5e6f-0123456789ab", "GPU-00000000-0000-0000-0000-000000000000"),
        ("Serial\t\t: 10000000abcdef01", f"Serial\t\t: {REMOVED}"),
        ("      Serial Number (system): C02XK1FYJGH5", f"      Serial Number (system): {REMOVED}"),
        ("      Hardware UUID: 4C4C", f"      Hardware UUID: {REMOVED}"),
        ("        <serial>1320621012345</serial>", f"        <serial>{REMOVED}</serial>"),
        ("<uuid>GPU-1</uuid>", f"<uuid>{REMOVED}</uuid>"),
        ('"_spdisplays_display-serial-number" : "ab12"', f'"_spdisplays_display-serial-number" : "{REMOVED}"'),
        ('"Unique ID": "0x18e5f2d4a1b3c6e7",', f'"Unique ID": "{REMOVED}",'),
        ("HWaddr 02:42:ac:11:00:02", f"HWaddr {REMOVED}"),
        ("nfs 10.0.12.7:/models", f"nfs {REMOVED}:/models"),
        ("12:memory:/docker/" + "ab" * 32, "12:memory:/docker/" + "0" * 64),
        ("/home/ada/models on ada-desktop", f"{REMOVED}/models on {REMOVED}"),
    ],
)
def test_identities_are_taken_out(text: str, expected: str) -> None:
    """Serial numbers, identities of devices and containers, addresses, and this user's and host's names."""
    assert redact(text, ["ada", "ada-desktop", "/home/ada"]) == expected


@pytest.mark.parametrize(
    "text",
    [
        "MemTotal:       127600748 kB",
        "0000:c5:00.0",
        "Driver Version: 580.173.02",
        "SMC Version (system): 2.29f24",
        "Linux version 6.8.12-1021-tegra",
        "mem_info_vram_total 103079215104",
        "pci 10de:2330",
        "DriverVersion : 32.0.31021.5001",
    ],
)
def test_readings_stay_as_they_are(text: str) -> None:
    """Versions, bus numbers and sizes look like identities and are none."""
    assert redact(text, ["root", "a"]) == text


def test_a_redacted_report_is_still_xml() -> None:
    """What stands in the place of a serial number must not break the report around it."""
    report = "<nvidia_smi_log><gpu id='0'><serial>123</serial><uuid>GPU-1</uuid></gpu></nvidia_smi_log>"
    assert len(nvidia_smi.parse_report(redact(report)).devices) == 1


def test_nested_values_are_gone_through() -> None:
    """Library answers are lists and mappings of texts."""
    value = {"folder": "/home/ada/lib", "names": ["ada", 1, None]}
    assert redact_value(value, ["ada"]) == {"folder": f"/home/{REMOVED}/lib", "names": [REMOVED, 1, None]}


@given(st.text(max_size=200))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    """What was taken out is gone, and its place is no identity."""
    once = redact(text, ["ada"])
    assert redact(once, ["ada"]) == once


def test_mounts_are_kept_only_where_a_probe_needs_them() -> None:
    """Lists of mounts name servers and people's folders."""
    mounts = "30 1 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n31 1 0:2 / /home/ada/nas rw - nfs nas.example:/ada rw\n"
    world = ReplayWorld(Recording(schema=SCHEMA, files={"/proc/self/mountinfo": mounts, "/proc/self/cgroup": "0::/\n"}))
    kept = record(world, secrets=())
    assert kept.files["/proc/self/mountinfo"] == mounts.splitlines(keepends=True)[0]


def test_a_recording_of_a_replay_is_the_same_machine() -> None:
    """Recorded, played back and recorded again, a machine does not change."""
    first = Recording(
        schema=SCHEMA,
        platform="darwin",
        commands={"sysctl hw machdep.cpu": RecordedCommand(stdout="hw.memsize: 68719476736\nhw.physicalcpu: 12\n")},
    )
    again = record(ReplayWorld(first), secrets=())
    assert msgspec.structs.replace(replay(again), origin="") == msgspec.structs.replace(replay(first), origin="")
