"""The vocabulary of machine facts: every value carries where it came from, and Unknown is a value.

Bytes are always bytes, rates are per second, and the unit stands in the field's name.
"""

from enum import StrEnum
from typing import Generic, Literal, TypeVar

import msgspec

T = TypeVar("T")


class Provenance(StrEnum):
    """Where a number comes from, strongest first."""

    MEASURED = "measured"
    """Read or timed on this machine."""
    ENGINE = "engine"
    """Reported by llama.cpp for exactly these parameters."""
    CATALOGUE = "catalogue"
    """Stated by a source that the catalogue names."""
    ESTIMATED = "estimated"
    """Computed by a formula that is named beside the value."""
    ASSUMED = "assumed"
    """A default, for want of anything better."""

    @property
    def mark(self) -> str:
        """The one-character mark shown beside the number: ✓ relied upon, ~ estimated."""
        return "~" if self in (Provenance.ESTIMATED, Provenance.ASSUMED) else "✓"


class Unknown(msgspec.Struct, frozen=True):
    """A reading that could not be had. It is neither zero nor absent: it says why it is not known."""

    reason: str = msgspec.field(name="unknown")


class Fact(msgspec.Struct, Generic[T], frozen=True):
    """A value, or Unknown with its reason, and where it was read."""

    value: T | Unknown
    source: str
    """The file, command, library call or formula that gave the value."""
    provenance: Provenance = Provenance.MEASURED

    @property
    def known(self) -> T | None:
        """The value, or None where it is Unknown. For code that has already said why."""
        return None if isinstance(self.value, Unknown) else self.value


class Cpu(msgspec.Struct, frozen=True, kw_only=True):
    """The processor, as the operating system shows it to this process."""

    model: Fact[str]
    vendor: Fact[str]
    physical_cores: Fact[int]
    logical_cores: Fact[int]
    instruction_sets: Fact[tuple[str, ...]]
    """Only those that change how llama.cpp computes, in /proc/cpuinfo spelling."""


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Host memory. Limits that a container or a user limit sets stand in Limits."""

    total_bytes: Fact[int]
    available_bytes: Fact[int]
    """What can be taken now without swapping, page cache counted as free."""
    swap_total_bytes: Fact[int]


class MemoryLimit(msgspec.Struct, frozen=True, kw_only=True):
    """One limit on memory that is in force for this process."""

    name: str
    limit_bytes: Fact[int]
    available_bytes: Fact[int]
    """Limit less what is used under it, with reclaimable page cache counted back."""


class CpuLimit(msgspec.Struct, frozen=True, kw_only=True):
    """One limit on processor time that is in force for this process."""

    name: str
    cores: Fact[float]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Every limit found in force. An empty tuple means that there is none, not that none was looked for."""

    memory: tuple[MemoryLimit, ...] = ()
    cpu: tuple[CpuLimit, ...] = ()


class Accelerator(msgspec.Struct, frozen=True, kw_only=True):
    """One device that can compute beside the processor."""

    name: str
    vendor: Literal["nvidia", "amd", "intel", "apple", "other"]
    memory_kind: Literal["dedicated", "unified"]
    """Unified memory is the host's own memory: it is counted once."""
    total_bytes: Fact[int]
    free_bytes: Fact[int]
    driver_version: Fact[str]
    compute_capability: Fact[str]


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """The file system that holds the model store."""

    path: str
    total_bytes: Fact[int]
    free_bytes: Fact[int]


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was found out about one machine, each fact with its source."""

    schema_version: Literal[1] = 1
    operating_system: Fact[str]
    architecture: Fact[str]
    """As in `uname -m`."""
    cpu: Cpu
    memory: Memory
    limits: Limits
    accelerators: Fact[tuple[Accelerator, ...]]
    """An empty tuple says that there is none; Unknown says that it could not be told."""
    disk: Disk
    engine_backends: Fact[tuple[str, ...]]
    """ggml backends that the installed engine brings ("cpu", "cuda", "metal" ...)."""
    simulated: bool = False
    """True for a machine that was read from a file: no figure of it was measured here."""


def machine_to_json(machine: Machine) -> bytes:
    """Serialise a machine, indented and with a final newline."""
    return msgspec.json.format(msgspec.json.encode(machine), indent=2) + b"\n"


def machine_from_json(raw: bytes) -> Machine:
    """Read a machine back. Raises msgspec.ValidationError or msgspec.DecodeError on anything else."""
    return msgspec.json.decode(raw, type=Machine)
