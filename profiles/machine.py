"""The vocabulary of machine facts: every value carries where it came from, and Unknown is a value.

Bytes are always bytes, rates are per second, and the unit stands in the field's name.
"""

from enum import StrEnum
from typing import Any, Final, Generic, Literal, TypeVar

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


NOT_ASKED: Final[Fact[Any]] = Fact(Unknown("it was not asked for"), "nothing")
"""Stands for a fact that no probe looked for, as in a machine file that says little."""

Vendor = Literal["nvidia", "amd", "intel", "apple", "other"]


class Cpu(msgspec.Struct, frozen=True, kw_only=True):
    """The processor, as the operating system shows it to this process."""

    model: Fact[str]
    vendor: Fact[str]
    physical_cores: Fact[int]
    logical_cores: Fact[int]
    instruction_sets: Fact[tuple[str, ...]]
    """Only those that change how llama.cpp computes, in /proc/cpuinfo spelling."""
    performance_cores: Fact[int] = NOT_ASKED
    """Physical cores of the fast kind: all of them where there is one kind only."""
    efficiency_cores: Fact[int] = NOT_ASKED
    l2_cache_bytes: Fact[int] = NOT_ASKED
    """All caches of this level together."""
    l3_cache_bytes: Fact[int] = NOT_ASKED
    load_average: Fact[float] = NOT_ASKED
    """Threads that ran or waited, on average over the last minute."""
    compute_flops: Fact[float] = NOT_ASKED
    """The peak rate in single precision, as far as a source states it."""


class NumaNode(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the host's memory and the processors next to it."""

    number: int
    processors: int
    """Logical processors; 0 for memory of a device or of a slower kind."""
    total_bytes: int
    is_device_memory: bool = False
    """True for a GPU's own memory that the kernel shows as the host's."""


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Host memory. Limits that a container or a user limit sets stand in Limits."""

    total_bytes: Fact[int]
    available_bytes: Fact[int]
    """What can be taken now without swapping, page cache counted as free."""
    swap_total_bytes: Fact[int]
    huge_pages_bytes: Fact[int] = NOT_ASKED
    """Set aside for programs that ask for huge pages; nothing else can use it."""
    numa_nodes: Fact[tuple[NumaNode, ...]] = NOT_ASKED
    pressure_percent: Fact[float] = NOT_ASKED
    """Share of the last ten seconds in which some task waited for memory."""
    bandwidth_bytes_s: Fact[float] = NOT_ASKED


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
    vendor: Vendor
    memory_kind: Literal["dedicated", "unified"]
    """Unified memory is the host's own memory: it is counted once."""
    total_bytes: Fact[int]
    """All that the device can take: its own memory and, of unified memory, the share that it may use."""
    free_bytes: Fact[int]
    driver_version: Fact[str]
    compute_capability: Fact[str]
    """CUDA's number, or the name of AMD's architecture ("gfx1151")."""
    own_bytes: Fact[int] = NOT_ASKED
    """Of a unified device: what the firmware cut off for it, which the host's total leaves out."""
    own_free_bytes: Fact[int] = NOT_ASKED
    runtime_version: Fact[str] = NOT_ASKED
    """The newest CUDA, ROCm or Metal that the driver offers."""
    bus: Fact[str] = NOT_ASKED
    """Where it is attached: domain:bus:device.function."""
    memory_bandwidth_bytes_s: Fact[float] = NOT_ASKED
    compute_flops: Fact[float] = NOT_ASKED
    """The peak rate in half precision without sparsity, as its maker states it."""

    @property
    def used_bytes(self) -> int | None:
        """What others use of it, where total and free are known."""
        total, free = self.total_bytes.known, self.free_bytes.known
        return None if total is None or free is None else max(0, total - free)


class EngineDevice(msgspec.Struct, frozen=True, kw_only=True):
    """One device as the installed engine itself lists it."""

    name: str
    """The engine's own name: "CUDA0", "Vulkan1", "Metal"."""
    description: str
    kind: Literal["cpu", "gpu", "igpu", "accel"]
    total_bytes: int
    free_bytes: int


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine runs in and on. An empty text says that there is no such thing."""

    container: Fact[str] = NOT_ASKED
    """As "docker", "podman", "lxc", "kubernetes" ..., or empty."""
    virtual_machine: Fact[str] = NOT_ASKED
    """The hypervisor's name, or empty on bare metal."""
    wsl: Fact[bool] = NOT_ASKED
    power: Fact[str] = NOT_ASKED
    """The word "mains" or "battery"; "mains" where there is no battery."""
    virtualisation: Fact[bool] = NOT_ASKED
    """Whether the processor offers to run virtual machines."""


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """The file system that holds the model store."""

    path: str
    total_bytes: Fact[int]
    free_bytes: Fact[int]
    kind: Fact[str] = NOT_ASKED
    """As "solid-state" or "rotating"."""
    read_bytes_s: Fact[float] = NOT_ASKED
    """Past the page cache; timed on request only."""


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
    engine_devices: Fact[tuple[EngineDevice, ...]] = NOT_ASKED
    """What the engine itself lists. Where it is known, it outranks what vendors' tools say."""
    npus: Fact[tuple[str, ...]] = NOT_ASKED
    """Neural processors, by name only: llama.cpp does not use them."""
    environment: Environment = Environment()
    simulated: bool = False
    """True for a machine that was read from a file: no figure of it was measured here."""
    origin: str = ""
    """Of a simulated machine: where its facts come from."""


def machine_from_json(raw: bytes) -> Machine:
    """Read a machine back. Raises msgspec.ValidationError or msgspec.DecodeError on anything else."""
    return msgspec.json.decode(raw, type=Machine)
