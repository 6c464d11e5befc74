"""What a model may take: rules one by one, and properties over machines of every size."""

from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.budget import Budget, budget
from profiles.machine import (
    Accelerator,
    Cpu,
    CpuLimit,
    Disk,
    EngineDevice,
    Fact,
    Limits,
    Machine,
    Memory,
    MemoryLimit,
    Unknown,
)

GIB = 1 << 30
MIB = 1 << 20

Vendor = Literal["nvidia", "amd", "intel", "apple", "other"]


def number(value: int | None) -> Fact[int]:
    """Give a fact, Unknown for None."""
    return Fact(Unknown("the kernel is silent"), "test") if value is None else Fact(value, "test")


def limit(limit_bytes: int | None, available_bytes: int | None, name: str = "control group") -> MemoryLimit:
    """Give one memory limit."""
    return MemoryLimit(name=name, limit_bytes=number(limit_bytes), available_bytes=number(available_bytes))


def gpu(
    total: int | None = 24 * GIB,
    free: int | None = 23 * GIB,
    *,
    vendor: Vendor = "nvidia",
    unified: bool = False,
    name: str = "NVIDIA L4",
) -> Accelerator:
    """Give one accelerator."""
    return Accelerator(
        name=name,
        vendor=vendor,
        memory_kind="unified" if unified else "dedicated",
        total_bytes=number(total),
        free_bytes=number(free),
        driver_version=Fact("580.1", "test"),
        compute_capability=Fact("8.9", "test"),
    )


def machine(
    total: int | None = 16 * GIB,
    available: int | None = 12 * GIB,
    *limits: MemoryLimit,
    gpus: tuple[Accelerator, ...] | Unknown = (),
    backends: tuple[str, ...] | Unknown = ("cpu",),
) -> Machine:
    """Give a machine of 8 cores and 16 threads."""
    text = Fact("test", "test")
    return Machine(
        operating_system=text,
        architecture=text,
        cpu=Cpu(
            model=text,
            vendor=text,
            physical_cores=number(8),
            logical_cores=number(16),
            instruction_sets=Fact((), "test"),
        ),
        memory=Memory(total_bytes=number(total), available_bytes=number(available), swap_total_bytes=number(0)),
        limits=Limits(memory=limits),
        accelerators=Fact(gpus, "test"),
        disk=Disk(path="/", total_bytes=number(1), free_bytes=number(1)),
        engine_backends=Fact(backends, "test"),
    )


def with_cpu(cores: int | None, logical: int | None, *limits: CpuLimit) -> Machine:
    """Give a machine of which only the processor matters."""
    base = machine()
    cpu = msgspec.structs.replace(base.cpu, physical_cores=number(cores), logical_cores=number(logical))
    return msgspec.structs.replace(base, cpu=cpu, limits=Limits(cpu=limits))


@pytest.mark.parametrize(
    ("total", "available", "reserve"),
    [
        (16 * GIB, 12 * GIB, 16 * GIB // 10),
        (64 * GIB, 60 * GIB, 2 * GIB),
        (512 * MIB, 400 * MIB, 128 * MIB),
        (512 * MIB, 100 * MIB, 100 * MIB),
        (None, 12 * GIB, 2 * GIB),
    ],
)
def test_the_hosts_reserve(total: int | None, available: int, reserve: int) -> None:
    """Ten per cent, at most 2 GiB and at least 128 MiB, never more than there is; of an unknown total the most."""
    host = budget(machine(total, available)).host
    assert [part.bytes for part in host.subtractions] == [reserve]
    assert host.budget_bytes == available - reserve


def test_the_tightest_limit_decides_and_is_named() -> None:
    """A container of 4 GiB on a host of 64 keeps a reserve that suits the container."""
    host = budget(machine(64 * GIB, 60 * GIB, limit(4 * GIB, 3 * GIB), limit(8 * GIB, 8 * GIB, "ulimit"))).host
    assert host.total_bytes.value == 4 * GIB
    assert host.free_bytes.value == 3 * GIB
    assert "control group" in host.free_reason
    assert host.budget_bytes == 3 * GIB - 4 * GIB // 10


def test_the_host_decides_under_a_loose_limit() -> None:
    """A limit above what is available changes nothing."""
    host = budget(machine(16 * GIB, 4 * GIB, limit(15 * GIB, 14 * GIB))).host
    assert host.free_bytes.value == 4 * GIB
    assert "host memory" in host.free_reason
    assert host.budget_bytes == 4 * GIB - 16 * GIB // 10


@pytest.mark.parametrize(
    "unknown",
    [machine(16 * GIB, None), machine(16 * GIB, 12 * GIB, limit(None, None)), machine(None, None, limit(GIB, GIB))],
)
def test_unknown_memory_is_not_given_away(unknown: Machine) -> None:
    """Where it is not known what is free, the budget is 0 and the subtraction says why."""
    host = budget(unknown).host
    assert host.budget_bytes == 0
    assert isinstance(host.free_bytes.value, Unknown)
    assert "the kernel is silent" in host.subtractions[0].reason


@pytest.mark.parametrize(
    ("vendor", "backend", "missing"),
    [
        ("nvidia", "cuda", "CUDA"),
        ("nvidia", "vulkan", "CUDA"),
        ("amd", "hip", "HIP"),
        ("amd", "vulkan", "HIP"),
        ("intel", "sycl", "SYCL"),
        ("intel", "vulkan", "SYCL"),
        ("apple", "metal", "Metal"),
        ("other", "vulkan", "Vulkan"),
    ],
)
def test_a_device_counts_with_a_backend_that_can_use_it(vendor: Vendor, backend: str, missing: str) -> None:
    """With the backend the device is a pool, without it a sentence."""
    used = budget(machine(gpus=(gpu(vendor=vendor),), backends=("cpu", backend)))
    assert [pool.kind for pool in used.pools] == ["host", "accelerator"]
    assert used.unused == ()
    left_out = budget(machine(gpus=(gpu(vendor=vendor),), backends=("cpu", "blas")))
    assert left_out.pools == (left_out.host,)
    assert left_out.unused == (f"NVIDIA L4 is not used: this engine build has no {missing} backend.",)


def test_the_accelerators_reserve() -> None:
    """Five per cent, at least 256 MiB."""
    found = budget(machine(gpus=(gpu(24 * GIB, 23 * GIB), gpu(2 * GIB, GIB)), backends=("cpu", "cuda")))
    large, small = found.pools[1:]
    assert large.budget_bytes == 23 * GIB - 24 * GIB * 5 // 100
    assert small.budget_bytes == GIB - 256 * MIB
    assert (large.name, large.device, small.device) == ("NVIDIA L4", 0, 1)


def test_devices_are_numbered_within_their_vendor() -> None:
    """Another vendor's device before it does not shift a device's number."""
    devices = (gpu(vendor="amd", name="iGPU"), gpu(), gpu())
    pools = budget(machine(gpus=devices, backends=("cpu", "cuda"))).pools
    assert [pool.device for pool in pools] == [None, 0, 1]


def test_unified_memory_is_counted_once() -> None:
    """A device that works in the host's memory can take its budget, and adds nothing to it."""
    found = budget(machine(gpus=(gpu(16 * GIB, 12 * GIB, unified=True),), backends=("cpu", "cuda")))
    assert found.pools[1].budget_bytes == found.pools[1].shared_bytes == found.host.budget_bytes
    assert found.total_bytes == found.host.budget_bytes


def test_a_unified_device_takes_no_more_than_its_share() -> None:
    """Metal's working set lies below the memory; what is not free is not given."""
    (_, shared) = budget(machine(gpus=(gpu(8 * GIB, 8 * GIB, unified=True),), backends=("cpu", "cuda"))).pools
    assert shared.budget_bytes == shared.shared_bytes == 8 * GIB
    found = budget(machine(16 * GIB, 4 * GIB, gpus=(gpu(12 * GIB, 12 * GIB, unified=True),), backends=("cuda",)))
    assert found.pools[1].budget_bytes == found.host.budget_bytes


def test_what_the_firmware_cut_off_is_memory_of_its_own() -> None:
    """A processor's GPU with 96 GiB cut off, and 15 GiB of the host's: the first counts in full, less a reserve."""
    device = msgspec.structs.replace(
        gpu(111 * GIB, 110 * GIB, vendor="amd", unified=True),
        own_bytes=number(96 * GIB),
        own_free_bytes=number(95 * GIB),
    )
    found = budget(machine(31 * GIB, 28 * GIB, gpus=(device,), backends=("vulkan",)))
    pool = found.pools[1]
    assert pool.shared_bytes == 15 * GIB
    assert pool.budget_bytes == 95 * GIB - 256 * MIB + 15 * GIB
    assert found.total_bytes == found.host.budget_bytes + 95 * GIB - 256 * MIB


def test_a_processors_gpu_is_left_out_beside_a_card() -> None:
    """The engine does the same; a card that the engine cannot use does not count as one."""
    devices = (gpu(8 * GIB, 8 * GIB, vendor="amd", unified=True, name="AMD 680M"), gpu())
    found = budget(machine(gpus=devices, backends=("cuda", "vulkan")))
    assert [pool.name for pool in found.pools] == ["host memory", "NVIDIA L4"]
    assert "part of the processor" in found.unused[0]
    alone = budget(machine(gpus=(devices[0], gpu(vendor="intel", name="A770")), backends=("hip",)))
    assert [pool.name for pool in alone.pools] == ["host memory", "AMD 680M"]


def test_a_unified_device_of_unknown_share_is_a_sentence() -> None:
    """Where nothing says how much of the host's memory a device may take, it takes nothing."""
    found = budget(machine(gpus=(gpu(None, None, unified=True),), backends=("cuda",)))
    assert found.pools == (found.host,)
    assert "the kernel is silent" in found.unused[0]


def seen(
    name: str, total: int, free: int, description: str, kind: Literal["cpu", "gpu", "igpu"] = "gpu"
) -> EngineDevice:
    """Give one device of the engine's own list."""
    return EngineDevice(name=name, description=description, kind=kind, total_bytes=total, free_bytes=free)


def with_engine(devices: tuple[EngineDevice, ...], *gpus: Accelerator) -> Budget:
    """Budget a machine whose engine lists these devices."""
    base = machine(gpus=gpus, backends=("cuda", "vulkan"))
    return budget(msgspec.structs.replace(base, engine_devices=Fact(devices, "test")))


def test_the_engines_own_figures_outrank_the_vendors() -> None:
    """The smaller free counts, and a device that the engine does not find is not used."""
    found = with_engine((seen("CUDA0", 22 * GIB, 20 * GIB, "NVIDIA L4"),), gpu(), gpu(name="NVIDIA P400"))
    assert [pool.free_bytes.known for pool in found.pools[1:]] == [20 * GIB]
    assert found.unused == ("NVIDIA P400 is not used: the engine itself does not find it.",)


@pytest.mark.parametrize(("total", "free"), [(24 * GIB, 54 * GIB), (64 * GIB, 60 * GIB)])
def test_an_engine_that_sees_too_much_is_not_believed(total: int, free: int) -> None:
    """Versions have said that a card had more free than it has: then the vendor's figure stays."""
    found = with_engine((seen("Vulkan0", total, free, "NVIDIA L4"),), gpu())
    assert found.pools[1].free_bytes.known == 23 * GIB


def test_the_engine_fills_in_what_the_vendor_does_not_say() -> None:
    """Intel's driver does not tell what is free; the engine does."""
    card = gpu(None, None, vendor="intel", name="Intel Arc B580")
    found = with_engine((seen("Vulkan0", 12 * GIB, 11 * GIB, "Intel(R) Arc(TM) B580 Graphics (BMG G21)"),), card)
    assert found.pools[1].budget_bytes == 11 * GIB - 12 * GIB * 5 // 100


def test_threads_stay_on_the_fast_cores() -> None:
    """Six fast and eight saving cores make six threads; without saving cores nothing changes."""
    base = with_cpu(14, 20)
    hybrid = msgspec.structs.replace(base.cpu, performance_cores=number(6), efficiency_cores=number(8))
    assert budget(msgspec.structs.replace(base, cpu=hybrid)).threads == 6
    uniform = msgspec.structs.replace(base.cpu, performance_cores=number(14), efficiency_cores=number(0))
    assert budget(msgspec.structs.replace(base, cpu=uniform)).threads == 14


def test_a_device_of_unknown_memory_offers_nothing() -> None:
    """A card whose driver gives no figure is a pool of 0 with the reason."""
    pool = budget(machine(gpus=(gpu(None, None),), backends=("cpu", "cuda"))).pools[1]
    assert pool.budget_bytes == 0
    assert "the kernel is silent" in pool.subtractions[0].reason


def test_an_unknown_engine_uses_no_device() -> None:
    """Without knowing the engine's backends no device can be counted on."""
    found = budget(machine(gpus=(gpu(),), backends=Unknown("the engine is not installed")))
    assert found.unused == ("NVIDIA L4 is not used: what the engine can use is unknown (the engine is not installed).",)


def test_unknown_devices_are_spoken_of() -> None:
    """That devices could not be read is said, not passed over."""
    found = budget(machine(gpus=Unknown("the driver hangs"), backends=("cpu", "cuda")))
    assert "the driver hangs" in found.unused[0]


@pytest.mark.parametrize(
    ("cores", "logical", "limits", "threads", "word"),
    [
        (8, 16, (), 8, "physical cores"),
        (8, 16, (4.0,), 4, "control group"),
        (8, 16, (2.9,), 2, "control group"),
        (8, 16, (0.42,), 1, "control group"),
        (None, 16, (), 16, "logical cores"),
        (None, None, (3.0,), 3, "control group"),
        (None, None, (), 1, "unknown"),
    ],
)
def test_threads(cores: int | None, logical: int | None, limits: tuple[float, ...], threads: int, word: str) -> None:
    """One thread for each core in reach, a quota rounded down but at least one, with what decided."""
    quotas = (CpuLimit(name="control group", cores=Fact(value, "test")) for value in limits)
    found = budget(with_cpu(cores, logical, *quotas))
    assert found.threads == threads
    assert word in found.threads_reason


def test_an_unknown_quota_does_not_stop_the_count() -> None:
    """Threads beyond an unread quota are slow, not dangerous: the cores decide."""
    assert budget(with_cpu(8, 16, CpuLimit(name="affinity", cores=Fact(Unknown("silent"), "test")))).threads == 8


sizes = st.integers(0, 1 << 42)
maybe = st.one_of(st.none(), sizes)
limits_strategy = st.lists(st.builds(limit, maybe, maybe), max_size=4)


@given(maybe, maybe, limits_strategy)
def test_a_budget_stays_below_everything_that_is_available(
    total: int | None, available: int | None, limits: list[MemoryLimit]
) -> None:
    """Never negative, never above the least that is available, and its parts add up to the byte."""
    host = budget(machine(total, available, *limits)).host
    bounds = [available, *(item.available_bytes.known for item in limits)]
    assert host.budget_bytes >= 0
    assert all(host.budget_bytes <= (bound or 0) for bound in bounds)
    taken = sum(part.bytes for part in host.subtractions)
    assert (host.free_bytes.known or 0) - taken == host.budget_bytes
    assert all(part.reason for part in host.subtractions)


@given(st.tuples(sizes, sizes), sizes, sizes, sizes, limits_strategy)
def test_a_lower_limit_never_raises_the_budget(
    memory: tuple[int, int], size: int, cut: int, used: int, others: list[MemoryLimit]
) -> None:
    """The same use under a smaller limit leaves the model as much or less; so does a limit where there was none."""
    smaller = max(0, size - cut)

    def host_under(*limits: MemoryLimit) -> int:
        return budget(machine(*memory, *limits, *others)).host.budget_bytes

    loose = host_under(limit(size, max(0, size - used)))
    tight = host_under(limit(smaller, max(0, smaller - used)))
    assert tight <= loose <= host_under()


@given(sizes, sizes)
def test_an_accelerators_budget_stays_below_what_is_free(total: int, free: int) -> None:
    """A device is held to the same: never negative, never above what is free, parts that add up."""
    pool = budget(machine(gpus=(gpu(total, free),), backends=("cpu", "cuda"))).pools[1]
    assert 0 <= pool.budget_bytes <= free
    assert free - sum(part.bytes for part in pool.subtractions) == pool.budget_bytes


def test_a_budget_is_plain_data() -> None:
    """A budget goes through JSON unchanged, for results and for the terminal interface."""
    found = budget(machine(gpus=(gpu(),), backends=("cpu", "cuda")))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Budget) == found
