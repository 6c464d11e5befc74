"""What a model may take of a machine now: bytes for each pool of memory, and threads, each with its reason.

Every ceiling on host memory (the machine itself, each limit in force) keeps a reserve of its own, and the tightest
one decides. So a lower limit can never raise the budget. Accelerator memory is a pool only where the engine can
use it. A device that works in the host's own memory has a pool as well, since a model can be put there, but its
bytes are the host's: `Budget.total_bytes` counts them once.
"""

from typing import Final, Literal, NamedTuple

import msgspec

from profiles.engine_view import as_engine_sees, counterparts
from profiles.machine import NOT_ASKED, Accelerator, EngineDevice, Fact, Machine, Unknown, Vendor

HOST: Final = "host memory"
MIB: Final = 1 << 20
HOST_RESERVE_PERCENT: Final = 10
HOST_RESERVE_LEAST_BYTES: Final = 128 * MIB
HOST_RESERVE_MOST_BYTES: Final = 2048 * MIB
ACCELERATOR_RESERVE_PERCENT: Final = 5
ACCELERATOR_RESERVE_LEAST_BYTES: Final = 256 * MIB

BACKENDS: Final[dict[Vendor, tuple[str, ...]]] = {
    "nvidia": ("cuda", "vulkan"),
    "amd": ("hip", "vulkan"),
    "intel": ("sycl", "vulkan"),
    "apple": ("metal",),
    "other": ("vulkan",),
}
"""Which ggml backends can use a vendor's devices, the fastest first."""
_BACKEND_NAMES: Final = {"cuda": "CUDA", "hip": "HIP", "sycl": "SYCL", "metal": "Metal", "vulkan": "Vulkan"}


class Subtraction(msgspec.Struct, frozen=True):
    """Bytes that are free but not for the model."""

    bytes: int
    reason: str


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """One memory that weights and caches can be put in. Free less the subtractions is the budget, to the byte."""

    name: str
    kind: Literal["host", "accelerator"]
    device: int | None
    """Which of its vendor's devices, in the order of the machine's list; None for the host."""
    total_bytes: Fact[int]
    """The smallest total in force: the memory, or a limit on it."""
    free_bytes: Fact[int]
    """The smallest of what is available in the memory and under each limit."""
    free_reason: str
    """Which of them it was."""
    subtractions: tuple[Subtraction, ...]
    budget_bytes: int
    """What a model may take now; 0 where it is not known what is free."""
    shared_bytes: int = 0
    """Of the budget, what stands in the host's memory too: taking it takes it from the host's pool."""
    bandwidth_bytes_s: Fact[float] = NOT_ASKED
    """Peak rate of this memory, where a source states it."""
    compute_flops: Fact[float] = NOT_ASKED
    """Peak rate of what computes on it, where a source states it."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What a model may take of one machine. The host's pool comes first."""

    pools: tuple[Pool, ...]
    threads: int
    threads_reason: str
    unused: tuple[str, ...] = ()
    """One sentence for each device that is there and does not count."""

    @property
    def host(self) -> Pool:
        """The pool of the host's own memory."""
        return next(pool for pool in self.pools if pool.kind == "host")

    @property
    def total_bytes(self) -> int:
        """What all pools hold together, shared memory counted once."""
        return sum(pool.budget_bytes - pool.shared_bytes for pool in self.pools)


class _Ceiling(NamedTuple):
    """One bound on host memory."""

    name: str
    total: Fact[int]
    available: Fact[int]

    @property
    def reserve_bytes(self) -> int:
        """What this bound keeps back. Of an unknown total it keeps the most."""
        if self.total.known is None:
            return HOST_RESERVE_MOST_BYTES
        share = self.total.known * HOST_RESERVE_PERCENT // 100
        return max(HOST_RESERVE_LEAST_BYTES, min(share, HOST_RESERVE_MOST_BYTES))


def budget(machine: Machine) -> Budget:
    """Work out what a model may take of this machine now."""
    threads, reason = choose_threads(machine)
    host = host_pool(machine)
    pools, unused = _accelerator_pools(machine, host)
    return Budget(pools=(host, *pools), threads=threads, threads_reason=reason, unused=unused)


def host_pool(machine: Machine) -> Pool:
    """Budget the host's memory under all its limits."""
    ceilings = [_Ceiling(HOST, machine.memory.total_bytes, machine.memory.available_bytes)]
    ceilings += [_Ceiling(limit.name, limit.limit_bytes, limit.available_bytes) for limit in machine.limits.memory]
    tightest = min(ceilings, key=lambda c: -1 if c.available.known is None else c.available.known)
    totals = [c.total for c in ceilings if c.total.known is not None]
    total = min(totals, key=lambda fact: fact.known or 0, default=machine.memory.total_bytes)
    left = [max(0, c.available.known - c.reserve_bytes) for c in ceilings if c.available.known is not None]
    reserve_reason = "Kept for the system and other programs: 10 % of the memory in force, 0.13 to 2.1 GB."
    pool = _pool(None, total, tightest, min(left, default=0), reserve_reason)
    return msgspec.structs.replace(
        pool, bandwidth_bytes_s=machine.memory.bandwidth_bytes_s, compute_flops=machine.cpu.compute_flops
    )


def _pool(device: int | None, total: Fact[int], free: _Ceiling, left: int, reserve_reason: str) -> Pool:
    """Make a pool whose parts add up; nothing is given away where it is not known what is free."""
    free_bytes = free.available.value
    if isinstance(free_bytes, Unknown):
        doubt = f"Nothing is counted on, because what the {free.name} leaves is unknown: {free_bytes.reason}."
        subtractions = (Subtraction(0, doubt),)
        left = 0
    else:
        subtractions = (Subtraction(free_bytes - left, reserve_reason),)
    return Pool(
        name=HOST if device is None else free.name,
        kind="host" if device is None else "accelerator",
        device=device,
        total_bytes=total,
        free_bytes=free.available,
        free_reason=f"Set by the {free.name} ({free.available.source}).",
        subtractions=subtractions,
        budget_bytes=left,
    )


def _accelerator_pools(machine: Machine, host: Pool) -> tuple[tuple[Pool, ...], tuple[str, ...]]:
    """Sort the devices into pools and sentences about those that do not count."""
    devices = machine.accelerators.value
    if isinstance(devices, Unknown):
        return (), (f"No accelerator is used: which there are is unknown ({devices.reason}).",)
    own = counterparts(devices, machine.engine_devices.known or ())
    views = [_View(device, as_engine_sees(device, seen), seen) for device, seen in zip(devices, own, strict=True)]
    has_card = any(view.is_readable_card and _obstacle(view, machine) is None for view in views)
    numbers: dict[str, int] = {}
    pools: list[Pool] = []
    unused: list[str] = []
    for view in views:
        index = numbers[view.listed.vendor] = numbers.get(view.listed.vendor, -1) + 1
        obstacle = _obstacle(view, machine) or _obstacle_of_shared(view.device, has_card=has_card)
        if obstacle:
            unused.append(f"{view.listed.name} is not used: {obstacle}.")
        elif view.listed.memory_kind == "dedicated":
            pools.append(_accelerator_pool(view.device, index))
        else:
            pools.append(_shared_pool(view.device, index, host))
    return tuple(pools), tuple(unused)


class _View(NamedTuple):
    """One device: as vendors' tools say, as the engine says, and the engine's own entry for it."""

    listed: Accelerator
    device: Accelerator
    seen: EngineDevice | None

    @property
    def is_readable_card(self) -> bool:
        """Tell a device with memory of its own of which it is known what is free."""
        return self.device.memory_kind == "dedicated" and self.device.free_bytes.known is not None


def _obstacle(view: _View, machine: Machine) -> str | None:
    """Say why the engine cannot use a device, or None where it can."""
    backends = machine.engine_backends.value
    if isinstance(backends, Unknown):
        return f"what the engine can use is unknown ({backends.reason})"
    usable = BACKENDS[view.listed.vendor]
    if not set(usable) & set(backends):
        return f"this engine build has no {_BACKEND_NAMES[usable[0]]} backend"
    if machine.engine_devices.known is not None and view.seen is None:
        return "the engine itself does not find it"
    return None


def _obstacle_of_shared(device: Accelerator, *, has_card: bool) -> str | None:
    """Say why a device within the processor is left out. The engine leaves it out beside a card, too."""
    if device.memory_kind == "dedicated":
        return None
    if has_card:
        return "it is part of the processor, and there is a GPU with memory of its own"
    free = device.free_bytes.value
    if isinstance(free, Unknown):
        return f"what it may take of the host's memory is unknown ({free.reason})"
    return None


def _accelerator_pool(device: Accelerator, index: int) -> Pool:
    """Budget one device's own memory."""
    share = (device.total_bytes.known or 0) * ACCELERATOR_RESERVE_PERCENT // 100
    reserve = max(share, ACCELERATOR_RESERVE_LEAST_BYTES)
    left = max(0, (device.free_bytes.known or 0) - reserve)
    ceiling = _Ceiling(device.name, device.total_bytes, device.free_bytes)
    reason = "Kept for the driver and other programs: 5 % of the device's memory, at least 0.27 GB."
    return _with_rates(_pool(index, device.total_bytes, ceiling, left, reason), device)


def _shared_pool(device: Accelerator, index: int, host: Pool) -> Pool:
    """Budget a device that works in the host's memory: what was cut off for it, and a share of the host's budget."""
    free = device.free_bytes.known or 0
    own_free = min(free, device.own_free_bytes.known or 0)
    own = max(0, own_free - ACCELERATOR_RESERVE_LEAST_BYTES)
    shared = max(0, min(free - own_free, host.budget_bytes))
    ceiling = _Ceiling(device.name, device.total_bytes, device.free_bytes)
    reason = "Kept for the screen and the driver, and what the host's own budget does not give."
    pool = _pool(index, device.total_bytes, ceiling, own + shared, reason)
    return _with_rates(msgspec.structs.replace(pool, shared_bytes=shared), device)


def _with_rates(pool: Pool, device: Accelerator) -> Pool:
    """Add what a source states of the device's speed."""
    return msgspec.structs.replace(
        pool, bandwidth_bytes_s=device.memory_bandwidth_bytes_s, compute_flops=device.compute_flops
    )


def choose_threads(machine: Machine) -> tuple[int, str]:
    """Give one thread for each physical core that this process may use, and say what set the number."""
    cpu = machine.cpu
    bounds = [
        (int(fact.known), name)
        for fact, name in ((cpu.physical_cores, "physical cores"), (cpu.logical_cores, "logical cores"))
        if fact.known
    ][:1]
    if cpu.performance_cores.known and cpu.efficiency_cores.known:
        # The threads of one step wait for each other, so that a slow core slows all of them down.
        bounds.append((cpu.performance_cores.known, "performance cores"))
    bounds += [(max(1, int(limit.cores.known)), limit.name) for limit in machine.limits.cpu if limit.cores.known]
    if not bounds:
        return 1, "One thread: how many processors there are is unknown."
    count, name = min(bounds, key=lambda bound: bound[0])
    return count, f"{_counted(count)}, set by the {name} ({_listed(bounds)})."


def _counted(threads: int) -> str:
    """Write a number of threads."""
    return "1 thread" if threads == 1 else f"{threads} threads"


def _listed(bounds: list[tuple[int, str]]) -> str:
    """List all bounds that were looked at."""
    return ", ".join(f"{name}: {count}" for count, name in bounds)
