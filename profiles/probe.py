"""Reads this machine: runs the probes side by side and joins what they say.

A probe that fails or hangs costs its own facts and nothing else: they become Unknown with the reason.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any, Final, Generic, TypeVar

import msgspec

from profiles.machine import (
    NOT_ASKED,
    Accelerator,
    Cpu,
    CpuLimit,
    Disk,
    EngineDevice,
    Environment,
    Fact,
    Limits,
    Machine,
    Memory,
    MemoryLimit,
    Unknown,
)
from profiles.probes import (
    affinity,
    amd,
    apple,
    cgroup,
    cpu,
    disk,
    engine,
    environment,
    intel,
    memory,
    npu,
    nvidia,
    system,
    ulimit,
    vulkan,
    windows,
)
from profiles.probes.reading import unknown_fact
from profiles.probes.system import System
from profiles.world import LiveWorld, NotRecorded, World

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

TIME_LIMIT_S: Final = 5.0
"""For all probes together. A driver that wakes eight devices may take seconds; a healthy machine takes far less."""

Accelerators = Fact[tuple[Accelerator, ...]]


class Probes(msgspec.Struct, frozen=True, kw_only=True):
    """One callable for each source of facts. A test or a simulation puts its own in their place."""

    system: Callable[[], System]
    cpu: Callable[[], Cpu]
    memory: Callable[[], Memory]
    memory_limits: Mapping[str, Callable[[], tuple[MemoryLimit, ...]]]
    cpu_limits: Mapping[str, Callable[[], tuple[CpuLimit, ...]]]
    accelerators: Mapping[str, Callable[[], Accelerators]]
    """By vendor."""
    disk: Callable[[Path], Disk]
    engine: Callable[[], Fact[tuple[str, ...]]]
    engine_devices: Callable[[], Fact[tuple[EngineDevice, ...]]] | None = None
    """Asks the engine itself, in a process of its own. Whoever holds the engine puts it here."""
    npus: Callable[[], Fact[tuple[str, ...]]] | None = None
    environment: Callable[[], Environment] | None = None


class ProbeReport(msgspec.Struct, frozen=True, kw_only=True):
    """How one probe fared."""

    name: str
    duration_s: float
    failure: str = ""
    """Why it gave nothing at all; empty where it answered."""


class Profiled(msgspec.Struct, frozen=True, kw_only=True):
    """A machine, and how each probe that read it fared."""

    machine: Machine
    probes: tuple[ProbeReport, ...]


def probes_of(world: World, engine_devices: engine.DeviceLister | None = None) -> Probes:
    """List the probes of one world: this machine, or a recorded one. `engine_devices` asks the engine itself."""
    return Probes(
        system=partial(system.read, world),
        cpu=partial(cpu.read, world),
        memory=partial(memory.read, world),
        memory_limits={
            "control group": partial(cgroup.memory_limits, world),
            "ulimit": partial(ulimit.memory_limits, world),
        },
        cpu_limits={
            "control group": partial(cgroup.cpu_limits, world),
            "processor affinity": partial(affinity.cpu_limits, world),
        },
        accelerators={
            "NVIDIA": partial(nvidia.read, world),
            "AMD": partial(amd.read, world),
            "Intel": partial(intel.read, world),
            "Apple": partial(apple.read, world),
            "Windows": partial(windows.read, world),
            "Vulkan": partial(vulkan.read, world),
        },
        disk=partial(disk.read, world),
        engine=partial(engine.read, world),
        engine_devices=partial(engine.read_devices, world, engine_devices),
        npus=partial(npu.read, world),
        environment=partial(environment.read, world),
    )


def profile(store_path: Path, probes: Probes | None = None, time_limit_s: float = TIME_LIMIT_S) -> Machine:
    """Read the machine, and the file system on which the model store is or would be."""
    return examine(store_path, probes, time_limit_s).machine


def examine(store_path: Path, probes: Probes | None = None, time_limit_s: float = TIME_LIMIT_S) -> Profiled:
    """Do the same, and tell how each probe fared."""
    run = _Run(time_limit_s)
    chosen = probes or probes_of(LiveWorld())
    system_run = run.start("system", chosen.system)
    cpu_run = run.start("processor", chosen.cpu)
    memory_run = run.start("memory", chosen.memory)
    memory_limit_runs = run.start_all(chosen.memory_limits)
    cpu_limit_runs = run.start_all(chosen.cpu_limits)
    accelerator_runs = run.start_all(chosen.accelerators)
    disk_run = run.start("disk", partial(chosen.disk, store_path))
    engine_run = run.start("engine", chosen.engine)
    device_run = run.start("engine devices", chosen.engine_devices) if chosen.engine_devices else None
    npu_run = run.start("neural processors", chosen.npus) if chosen.npus else None
    environment_run = run.start("environment", chosen.environment) if chosen.environment else None
    found = _or_unknown(System, system_run)
    machine = Machine(
        operating_system=found.operating_system,
        architecture=found.architecture,
        cpu=_or_unknown(Cpu, cpu_run),
        memory=_or_unknown(Memory, memory_run),
        limits=Limits(memory=_memory_limits(memory_limit_runs), cpu=_cpu_limits(cpu_limit_runs)),
        accelerators=merge_accelerators([_fact(reading) for reading in accelerator_runs]),
        disk=_or_unknown(Disk, disk_run, path=str(store_path)),
        engine_backends=_fact(engine_run),
        engine_devices=_fact(device_run) if device_run else NOT_ASKED,
        npus=_fact(npu_run) if npu_run else NOT_ASKED,
        environment=_or_unknown(Environment, environment_run) if environment_run else Environment(),
    )
    return Profiled(machine=machine, probes=run.reports())


class _Reading(Generic[T]):
    """One probe under way in a thread of its own, which is left behind if it hangs."""

    def __init__(self, name: str, probe: Callable[[], T], deadline_s: float) -> None:
        """Start the probe; `deadline_s` is a time of the monotonic clock."""
        self.name = name
        self._probe = probe
        self._deadline_s = deadline_s
        self._started_s = time.monotonic()
        self._ended_s: float | None = None
        self._outcome: T | Unknown = Unknown(f"The {name} probe did not answer in time")
        self._thread = Thread(target=self._run, name=f"probe {name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        """Keep the answer, or why there is none."""
        try:
            self._outcome = self._probe()
        except NotRecorded as error:
            self._outcome = Unknown(str(error))
        except Exception as error:  # noqa: BLE001 - kernels and drivers fail in ways that no list foresees
            self._outcome = Unknown(f"The {self.name} probe failed: {type(error).__name__}: {error}")
        self._ended_s = time.monotonic()

    def outcome(self) -> T | Unknown:
        """Wait for the answer until the deadline."""
        self._thread.join(max(0.0, self._deadline_s - time.monotonic()))
        return self._outcome

    def report(self) -> ProbeReport:
        """Tell how it fared, once its outcome was waited for."""
        outcome = self._outcome
        value = outcome.value if isinstance(outcome, Fact) else outcome
        return ProbeReport(
            name=self.name,
            duration_s=(self._ended_s or time.monotonic()) - self._started_s,
            failure=value.reason if isinstance(value, Unknown) else "",
        )


class _Run:
    """All probes of one profile: they start at once and share one deadline."""

    def __init__(self, time_limit_s: float) -> None:
        """Start the clock."""
        self._deadline_s = time.monotonic() + time_limit_s
        self._readings: list[_Reading[Any]] = []

    def start(self, name: str, probe: Callable[[], T]) -> _Reading[T]:
        """Start one probe."""
        reading = _Reading(name, probe, self._deadline_s)
        self._readings.append(reading)
        return reading

    def reports(self) -> tuple[ProbeReport, ...]:
        """Tell how all of them fared, in the order in which they were started; what nobody asked for is left out."""
        return tuple(reading.report() for reading in self._readings if reading.outcome() != NOT_ASKED)

    def start_all(self, probes: Mapping[str, Callable[[], T]]) -> list[_Reading[T]]:
        """Start several probes of one kind."""
        return [self.start(name, probe) for name, probe in probes.items()]


def _or_unknown(kind: type[S], reading: _Reading[S], **known: str) -> S:
    """Give the answer, or a struct whose facts are all Unknown for the same reason; `known` are its other fields."""
    outcome = reading.outcome()
    if not isinstance(outcome, Unknown):
        return outcome
    missing: Fact[object] = Fact(outcome, reading.name)
    return kind(**{field.name: known.get(field.name, missing) for field in msgspec.structs.fields(kind)})


def _fact(reading: _Reading[Fact[T]]) -> Fact[T]:
    """Give the fact, or Unknown as a fact."""
    outcome = reading.outcome()
    return Fact(outcome, reading.name) if isinstance(outcome, Unknown) else outcome


def _memory_limits(readings: Iterable[_Reading[tuple[MemoryLimit, ...]]]) -> tuple[MemoryLimit, ...]:
    """Join the limits. A probe that failed may have missed one, so it leaves a limit of unknown size."""
    limits: list[MemoryLimit] = []
    for reading in readings:
        outcome = reading.outcome()
        if isinstance(outcome, Unknown):
            missing: Fact[int] = Fact(outcome, reading.name)
            limits.append(MemoryLimit(name=reading.name, limit_bytes=missing, available_bytes=missing))
        else:
            limits.extend(outcome)
    return tuple(limits)


def _cpu_limits(readings: Iterable[_Reading[tuple[CpuLimit, ...]]]) -> tuple[CpuLimit, ...]:
    """Join the limits, likewise."""
    limits: list[CpuLimit] = []
    for reading in readings:
        outcome = reading.outcome()
        if isinstance(outcome, Unknown):
            limits.append(CpuLimit(name=reading.name, cores=Fact(outcome, reading.name)))
        else:
            limits.extend(outcome)
    return tuple(limits)


def merge_accelerators(answers: Iterable[Accelerators]) -> Accelerators:
    """Join the vendors' answers.

    The first who knows of a device counts; who comes later adds only devices of makers that nobody found. Unknown
    wins only where nothing was found; otherwise the source tells which vendor could not be read.
    """
    found: list[Accelerator] = []
    reasons: list[str] = []
    sources: list[str] = []
    for answer in answers:
        if isinstance(answer.value, Unknown):
            reasons.append(answer.value.reason)
        else:
            makers = {device.vendor for device in found}
            found.extend(device for device in answer.value if device.vendor == "other" or device.vendor not in makers)
        sources.append(answer.source)
    source = ", ".join(dict.fromkeys(sources))
    if reasons and not found:
        return unknown_fact("; ".join(dict.fromkeys(reasons)), source)
    return Fact(tuple(found), "; ".join(dict.fromkeys([source, *reasons])))
