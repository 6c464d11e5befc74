"""Reads this machine: runs the probes side by side and joins what they say.

A probe that fails or hangs costs its own facts and nothing else: they become Unknown with the reason.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Final, Generic, TypeVar

import msgspec

from profiles.machine import Accelerator, Cpu, CpuLimit, Disk, Fact, Limits, Machine, Memory, MemoryLimit, Unknown
from profiles.probes import affinity, cgroup, cpu, disk, engine, memory, nvidia, system, ulimit
from profiles.probes.reading import Roots, unknown_fact
from profiles.probes.system import System

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


def probes_of(roots: Roots) -> Probes:
    """List the probes of a machine whose kernel trees stand at `roots`."""
    return Probes(
        system=system.read,
        cpu=partial(cpu.read, roots),
        memory=partial(memory.read, roots),
        memory_limits={
            "control group": partial(cgroup.memory_limits, roots),
            "ulimit": partial(ulimit.memory_limits, roots),
        },
        cpu_limits={
            "control group": partial(cgroup.cpu_limits, roots),
            "processor affinity": affinity.cpu_limits,
        },
        accelerators={"NVIDIA": partial(nvidia.read, roots)},
        disk=disk.read,
        engine=engine.read,
    )


def profile(store_path: Path, probes: Probes | None = None, time_limit_s: float = TIME_LIMIT_S) -> Machine:
    """Read the machine, and the file system on which the model store is or would be."""
    run = _Run(time_limit_s)
    chosen = probes or probes_of(Roots())
    system_run = run.start("system", chosen.system)
    cpu_run = run.start("processor", chosen.cpu)
    memory_run = run.start("memory", chosen.memory)
    memory_limit_runs = run.start_all(chosen.memory_limits)
    cpu_limit_runs = run.start_all(chosen.cpu_limits)
    accelerator_runs = run.start_all(chosen.accelerators)
    disk_run = run.start("disk", partial(chosen.disk, store_path))
    engine_run = run.start("engine", chosen.engine)
    found = _or_unknown(System, system_run)
    return Machine(
        operating_system=found.operating_system,
        architecture=found.architecture,
        cpu=_or_unknown(Cpu, cpu_run),
        memory=_or_unknown(Memory, memory_run),
        limits=Limits(memory=_memory_limits(memory_limit_runs), cpu=_cpu_limits(cpu_limit_runs)),
        accelerators=merge_accelerators([_fact(reading) for reading in accelerator_runs]),
        disk=_or_unknown(Disk, disk_run, path=str(store_path)),
        engine_backends=_fact(engine_run),
    )


class _Reading(Generic[T]):
    """One probe under way in a thread of its own, which is left behind if it hangs."""

    def __init__(self, name: str, probe: Callable[[], T], deadline_s: float) -> None:
        """Start the probe; `deadline_s` is a time of the monotonic clock."""
        self.name = name
        self._probe = probe
        self._deadline_s = deadline_s
        self._outcome: T | Unknown = Unknown(f"The {name} probe did not answer in time")
        self._thread = Thread(target=self._run, name=f"probe {name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        """Keep the answer, or why there is none."""
        try:
            self._outcome = self._probe()
        except Exception as error:  # noqa: BLE001 - kernels and drivers fail in ways that no list foresees
            self._outcome = Unknown(f"The {self.name} probe failed: {type(error).__name__}: {error}")

    def outcome(self) -> T | Unknown:
        """Wait for the answer until the deadline."""
        self._thread.join(max(0.0, self._deadline_s - time.monotonic()))
        return self._outcome


class _Run:
    """All probes of one profile: they start at once and share one deadline."""

    def __init__(self, time_limit_s: float) -> None:
        """Start the clock."""
        self._deadline_s = time.monotonic() + time_limit_s

    def start(self, name: str, probe: Callable[[], T]) -> _Reading[T]:
        """Start one probe."""
        return _Reading(name, probe, self._deadline_s)

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

    Unknown wins only where nothing was found; otherwise the source tells which vendor could not be read.
    """
    found: list[Accelerator] = []
    reasons: list[str] = []
    sources: list[str] = []
    for answer in answers:
        if isinstance(answer.value, Unknown):
            reasons.append(answer.value.reason)
        else:
            found.extend(answer.value)
        sources.append(answer.source)
    source = ", ".join(sources)
    if reasons and not found:
        return unknown_fact("; ".join(reasons), source)
    return Fact(tuple(found), "; ".join([source, *reasons]))
