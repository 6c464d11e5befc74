"""The processor: /proc/cpuinfo and the sysfs topology on Linux, sysctl on macOS, psutil elsewhere."""

import os
import platform
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from profiles.machine import Cpu, Fact
from profiles.probes import apple, topology
from profiles.probes.arm import ARM_CORES, ARM_IMPLEMENTERS
from profiles.probes.reading import fact_or_unknown, line_of, read_if_there, unknown_fact
from profiles.probes.topology import TOPOLOGY, CoreKinds
from profiles.world import World

INSTRUCTION_SETS: Final = (
    *("ssse3", "sse4_2", "avx", "f16c", "fma", "bmi2", "avx2", "avx_vnni"),
    *("avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl", "avx512vbmi", "avx512_vnni", "avx512_bf16"),
    *("amx_tile", "amx_int8", "amx_bf16"),
    *("neon", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "svei8mm", "sme"),
)
"""What llama.cpp has code of its own for, in the kernel's spelling; first x86, then Arm."""

_MACOS_NAMES: Final = {
    "AVX1.0": "avx",
    "AVX2": "avx2",
    "AVX512F": "avx512f",
    "F16C": "f16c",
    "FMA": "fma",
    "SSSE3": "ssse3",
    "SSE4.2": "sse4_2",
    "BMI2": "bmi2",
    "hw.optional.neon": "asimd",
    "hw.optional.AdvSIMD": "asimd",
    "hw.optional.arm.AdvSIMD": "asimd",
    "hw.optional.arm.FEAT_FP16": "asimdhp",
    "hw.optional.arm.FEAT_DotProd": "asimddp",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_BF16": "bf16",
    "hw.optional.arm.FEAT_SME": "sme",
}
"""Apple's names for the same instruction sets."""

_CPUINFO: Final = "/proc/cpuinfo"
_LOADAVG: Final = "/proc/loadavg"
_SYSCTL: Final = "sysctl hw machdep.cpu"


class CpuInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What /proc/cpuinfo says, before gaps are filled from elsewhere."""

    blocks: tuple[dict[str, str], ...]
    """One for each logical processor."""
    common: Mapping[str, str]
    """Lines that belong to no processor: the board on many Arm systems."""


class PsutilCpu(msgspec.Struct, frozen=True):
    """What psutil and the platform say: names and counts, no instruction sets."""

    name: str
    physical_cores: int | None
    logical_cores: int | None


def read(world: World) -> Cpu:
    """Read the processor in the way that this system offers."""
    text = read_if_there(world, "/proc/cpuinfo")
    if text is not None:
        return _read_linux(world, parse_cpuinfo(text))
    if world.platform == "darwin":
        return parse_sysctl(apple.sysctl(world))
    return parse_psutil(world.ask("psutil processor", gather, PsutilCpu))


def _read_linux(world: World, info: CpuInfo) -> Cpu:
    """Join /proc/cpuinfo and what sysfs says of cores and caches."""
    cores = topology.read_siblings(world)
    cpu = describe_linux(info, cores, read_if_there(world, "/proc/device-tree/model"))
    return msgspec.structs.replace(
        with_kinds(cpu, topology.core_kinds(world, cores or _cores_of(info), info.blocks)),
        l2_cache_bytes=topology.cache_bytes(world, 2),
        l3_cache_bytes=topology.cache_bytes(world, 3),
        load_average=_load_average(world),
    )


def with_kinds(cpu: Cpu, kinds: CoreKinds | None) -> Cpu:
    """Add how many cores are fast ones; never more than the processors that are shown here."""
    physical = cpu.physical_cores.known
    if kinds is not None and physical is None:
        physical = kinds.performance + kinds.efficiency
        cpu = msgspec.structs.replace(cpu, physical_cores=Fact(physical, kinds.source))
    if kinds is None or (physical is not None and kinds.performance + kinds.efficiency > physical):
        missing = unknown_fact("nothing tells fast cores from efficient ones", TOPOLOGY)
        return msgspec.structs.replace(cpu, performance_cores=missing, efficiency_cores=missing)
    return msgspec.structs.replace(
        cpu,
        performance_cores=Fact(kinds.performance, kinds.source),
        efficiency_cores=Fact(kinds.efficiency, kinds.source),
    )


def _load_average(world: World) -> Fact[float]:
    """Read how many threads ran or waited over the last minute."""
    first = line_of(world, _LOADAVG).partition(" ")[0]
    known = float(first) if first.replace(".", "", 1).isdecimal() else None
    return fact_or_unknown(known, _LOADAVG, "the kernel does not say")


def _cores_of(info: CpuInfo) -> tuple[frozenset[int], ...]:
    """Group processors by the core numbers that x86 kernels give in /proc/cpuinfo."""
    groups: dict[tuple[str, str], set[int]] = {}
    for block in info.blocks:
        if "core id" in block:
            key = (block.get("physical id", "0"), block["core id"])
            groups.setdefault(key, set()).add(int(block["processor"]))
    return tuple(frozenset(group) for group in groups.values())


def parse_cpuinfo(text: str) -> CpuInfo:
    """Split /proc/cpuinfo into its processors and the lines around them."""
    blocks: list[dict[str, str]] = []
    common: dict[str, str] = {}
    for paragraph in text.split("\n\n"):
        pairs = (line.partition(":") for line in paragraph.splitlines() if ":" in line)
        lines = {name.strip(): value.strip() for name, _, value in pairs}
        if "processor" in lines and lines["processor"].isdecimal():
            blocks.append(lines)
        else:
            common |= lines
    return CpuInfo(blocks=tuple(blocks), common=common)


def describe_linux(info: CpuInfo, cores: Sequence[frozenset[int]], board: str | None) -> Cpu:
    """Join what the kernel says in several places."""
    logical = len(info.blocks) or None
    return Cpu(
        model=_model(info, board),
        vendor=_vendor(info),
        physical_cores=_physical_cores(info, cores),
        logical_cores=fact_or_unknown(logical, _CPUINFO, f"{_CPUINFO} lists no processor"),
        instruction_sets=_instruction_sets(info),
    )


def _model(info: CpuInfo, board: str | None) -> Fact[str]:
    """Name the processor. Arm kernels give numbers instead of a name: look them up and add the board."""
    named = _distinct(info, "model name") or _distinct(info, "cpu")
    cores = _arm_cores(info)
    if named and not cores:
        return Fact(" + ".join(named), _CPUINFO)
    place = info.common.get("Model") or (board or "").strip() or info.common.get("Hardware")
    name = " + ".join(cores or named)
    text = f"{name} ({place})" if name and place else name or place
    return fact_or_unknown(text or None, _CPUINFO, f"{_CPUINFO} does not name the processor")


def _arm_cores(info: CpuInfo) -> tuple[str, ...]:
    """Name each kind of Arm core, as numbers where the name is not known here."""
    codes = dict.fromkeys((b["CPU implementer"], b["CPU part"]) for b in info.blocks if b.keys() >= _ARM_KEYS)
    return tuple(ARM_CORES.get(code, f"implementer {code[0]} part {code[1]}") for code in codes)


_ARM_KEYS: Final = {"CPU implementer", "CPU part"}


def _vendor(info: CpuInfo) -> Fact[str]:
    """Name the maker of the core's design."""
    implementers = [ARM_IMPLEMENTERS.get(code, code) for code in _distinct(info, "CPU implementer")]
    vendors = _distinct(info, "vendor_id") or implementers
    return fact_or_unknown(" + ".join(vendors) or None, _CPUINFO, f"{_CPUINFO} names no vendor")


def _distinct(info: CpuInfo, key: str) -> tuple[str, ...]:
    """List the different values of one line, in order of appearance."""
    return tuple(dict.fromkeys(block[key] for block in info.blocks if block.get(key)))


def _physical_cores(info: CpuInfo, cores: Sequence[frozenset[int]]) -> Fact[int]:
    """Count cores by the topology, else by the core numbers in /proc/cpuinfo; never more than there are processors.

    A container may hide processors in /proc/cpuinfo and show the host's topology, hence the ceiling.
    """
    ceiling = len(info.blocks)
    from_topology = len(cores)
    if from_topology:
        return Fact(min(from_topology, ceiling or from_topology), TOPOLOGY)
    return fact_or_unknown(
        len(_cores_of(info)) or None, _CPUINFO, "neither sysfs nor /proc/cpuinfo tells cores from threads"
    )


def _instruction_sets(info: CpuInfo) -> Fact[tuple[str, ...]]:
    """Give the sets that every core has: a thread may run on any of them."""
    blocks = (*info.blocks, info.common)  # kernels of 32-bit Arm may state the flags once for all
    lines = [set((block.get("flags") or block["Features"]).split()) for block in blocks if _has_flags(block)]
    if not lines:
        return unknown_fact(f"{_CPUINFO} lists no flags for this architecture", _CPUINFO)
    shared = set.intersection(*lines)
    return Fact(tuple(name for name in INSTRUCTION_SETS if name in shared), _CPUINFO)


def _has_flags(block: Mapping[str, str]) -> bool:
    """Tell whether a processor lists its flags, under the x86 or the Arm name."""
    return bool(block.get("flags") or block.get("Features"))


def parse_sysctl(values: Mapping[str, str]) -> Cpu:
    """Take the facts from the values of macOS's sysctl."""
    model = values.get("machdep.cpu.brand_string")
    vendor = values.get("machdep.cpu.vendor") or ("Apple" if model and model.startswith("Apple") else None)
    fast, slow = (_sysctl_count(values, f"hw.perflevel{level}.physicalcpu") for level in (0, 1))
    physical = _sysctl_count(values, "hw.physicalcpu")
    if physical.known is None and fast.known is not None and slow.known is not None:
        physical = Fact(fast.known + slow.known, "sysctl hw.perflevel0.physicalcpu + hw.perflevel1.physicalcpu")
    one_kind = slow.known is None and physical.known is not None
    return Cpu(
        model=fact_or_unknown(model, _SYSCTL, "sysctl does not name the processor"),
        vendor=fact_or_unknown(vendor, _SYSCTL, "sysctl names no vendor"),
        physical_cores=physical,
        logical_cores=_sysctl_count(values, "hw.logicalcpu", "hw.ncpu"),
        instruction_sets=_sysctl_sets(values),
        performance_cores=physical if one_kind else fast,
        efficiency_cores=Fact(0, _SYSCTL) if one_kind else slow,
    )


def _sysctl_count(values: Mapping[str, str], *names: str) -> Fact[int]:
    """Give the first of these lines that holds a number."""
    name = next((name for name in names if values.get(name, "").isdecimal()), None)
    return Fact(int(values[name]), f"sysctl {name}") if name else unknown_fact(f"sysctl has no {names[0]}", _SYSCTL)


def _sysctl_sets(values: Mapping[str, str]) -> Fact[tuple[str, ...]]:
    """Translate Apple's two ways of saying it: lists of names on Intel, one line for each on Apple silicon."""
    listed = f"{values.get('machdep.cpu.features', '')} {values.get('machdep.cpu.leaf7_features', '')}".split()
    switched = [name for name, value in values.items() if name.startswith("hw.optional") and value == "1"]
    found = {_MACOS_NAMES[name] for name in (*listed, *switched) if name in _MACOS_NAMES}
    if not found:
        return unknown_fact("sysctl lists no instruction sets", _SYSCTL)
    return Fact(tuple(name for name in INSTRUCTION_SETS if name in found), _SYSCTL)


def gather() -> PsutilCpu:
    """Ask psutil and the platform."""
    import psutil

    return PsutilCpu(platform.processor(), psutil.cpu_count(logical=False), os.cpu_count())


def parse_psutil(found: PsutilCpu) -> Cpu:
    """Take psutil's figures over."""
    return Cpu(
        model=fact_or_unknown(found.name or None, "platform.processor", "the platform does not name it"),
        vendor=unknown_fact("no way to read it is known for this system", "platform"),
        physical_cores=fact_or_unknown(found.physical_cores, "psutil.cpu_count", "psutil cannot tell"),
        logical_cores=fact_or_unknown(found.logical_cores, "os.cpu_count", "the platform cannot tell"),
        instruction_sets=unknown_fact("no way to read them is known for this system", "platform"),
    )
