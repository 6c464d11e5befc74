"""GPUs on Windows other than NVIDIA's: names by CIM, sizes by the registry, else by dxdiag.

CIM's AdapterRAM is a number of 32 bits: it says 4 GB for every larger card, so that it is not used at all from there
on. A driver writes the true size of a card's memory into the registry.
"""

import json
import re
from typing import Any, Final

import msgspec

from profiles.machine import Accelerator, Fact, Vendor
from profiles.probes import pci
from profiles.probes.amd_ids import MODELS
from profiles.probes.intel_ids import in_processor
from profiles.probes.reading import output_of, unknown_fact
from profiles.world import CommandFailed, NotRecorded, World

CIM: Final = (
    "powershell",
    "-NoProfile",
    "-Command",
    "Get-CimInstance Win32_VideoController | Select-Object Name,AdapterRAM,DriverVersion,PNPDeviceID | ConvertTo-Json",
)
REGISTRY: Final = (
    *("reg", "query", r"HKLM\SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"),
    *("/s", "/t", "REG_QWORD,REG_SZ"),
)
DXDIAG: Final = ("cmd", "/c", r"dxdiag /whql:off /t %TEMP%\landfast-dxdiag.txt && type %TEMP%\landfast-dxdiag.txt")
MIB: Final = 1 << 20
_WRAPPED_BYTES: Final = 0xFFF0_0000
"""What AdapterRAM says, or nearly so, where the truth does not fit."""
_VENDORS: Final[dict[int, Vendor]] = {pci.NVIDIA: "nvidia", pci.AMD: "amd", pci.INTEL: "intel", 0x5143: "other"}
_SOFTWARE: Final = ("Microsoft Basic", "Remote Display", "Hyper-V", "Parsec", "Virtual Display", "IddCx", "DisplayLink")
_NUMBERS: Final = re.compile(r"VEN_([0-9A-Fa-f]{4})&DEV_([0-9A-Fa-f]{4})")
_PROCESSOR_NAMES: Final = re.compile(r"Radeon\(TM\)( Graphics| \d{3}M)|UHD|Iris|HD Graphics|Arc\(TM\) Graphics|Adreno")


class Adapter(msgspec.Struct, frozen=True, kw_only=True):
    """One display adapter as Windows lists it."""

    name: str
    vendor: int = 0
    device: int = 0
    driver: str | None = None
    dedicated_bytes: int | None = None
    shared_bytes: int | None = None
    integrated: bool | None = None
    """None where Windows does not say."""


def read(world: World) -> Fact[tuple[Accelerator, ...]]:
    """Read all adapters. NVIDIA's stand here too, for the case that their driver's own library did not answer."""
    if world.platform != "windows":
        return Fact((), "platform")
    adapters, failure = _listed(world)
    sizes = _registry_sizes(world)
    if not adapters or any(_size(adapter, sizes) is None for adapter in adapters):
        detailed = _dxdiag(world)
        adapters = _joined(adapters, detailed)
    if not adapters and failure:
        return unknown_fact(failure, CIM[0])
    return Fact(tuple(_accelerator(adapter, sizes) for adapter in adapters), "Win32_VideoController")


def _listed(world: World) -> tuple[tuple[Adapter, ...], str]:
    """Ask CIM; with the reason where it gives nothing."""
    try:
        return parse_cim(output_of(world, CIM)), ""
    except (CommandFailed, NotRecorded, ValueError) as error:
        return (), f"Windows does not list its display adapters: {error}"


def _registry_sizes(world: World) -> dict[str, int]:
    """Ask the registry; nothing where it does not answer."""
    try:
        return parse_registry(output_of(world, REGISTRY))
    except (CommandFailed, NotRecorded):
        return {}


def _dxdiag(world: World) -> tuple[Adapter, ...]:
    """Ask dxdiag, which takes seconds; nothing where it does not answer."""
    try:
        return parse_dxdiag(output_of(world, DXDIAG))
    except (CommandFailed, NotRecorded):
        return ()


def parse_cim(text: str) -> tuple[Adapter, ...]:
    """Read CIM's JSON: one object, or a list of them. Raises ValueError on anything else."""
    answer = json.loads(text)
    listed: list[Any] = answer if isinstance(answer, list) else [answer]
    return tuple(_cim_adapter(e) for e in listed if isinstance(e, dict) and not _is_software(str(e.get("Name", ""))))


def _cim_adapter(entry: dict[str, Any]) -> Adapter:
    """Read one adapter. A size at the field's end is no size."""
    numbers = _NUMBERS.search(str(entry.get("PNPDeviceID", "")))
    size = entry.get("AdapterRAM")
    return Adapter(
        name=str(entry.get("Name")),
        vendor=int(numbers[1], 16) if numbers else _vendor_by_name(str(entry.get("Name"))),
        device=int(numbers[2], 16) if numbers else 0,
        driver=entry.get("DriverVersion"),
        dedicated_bytes=size if isinstance(size, int) and 0 < size < _WRAPPED_BYTES else None,
    )


def _is_software(name: str) -> bool:
    """Tell renderers on the processor and screens over the network."""
    return any(word in name for word in _SOFTWARE)


def _vendor_by_name(name: str) -> int:
    """Tell the maker by the name, where no number is given."""
    words = {"NVIDIA": pci.NVIDIA, "AMD": pci.AMD, "Radeon": pci.AMD, "Intel": pci.INTEL}
    return next((number for word, number in words.items() if word in name), 0)


def parse_registry(text: str) -> dict[str, int]:
    """Read sizes by adapter name out of the registry's keys of display drivers."""
    sizes: dict[str, int] = {}
    for key in re.split(r"\n(?=HKEY)", text):
        name = re.search(r"DriverDesc\s+REG_SZ\s+(.+?)\s*$", key, re.MULTILINE)
        size = re.search(r"HardwareInformation\.qwMemorySize\s+REG_QWORD\s+(0x[0-9a-fA-F]+)", key)
        if name and size:
            sizes[name[1]] = int(size[1], 16)
    return sizes


def parse_dxdiag(text: str) -> tuple[Adapter, ...]:
    """Read dxdiag's paragraphs. "Display Memory" is the sum of dedicated and shared, and no size of anything."""
    found = [_dxdiag_adapter(part) for part in re.split(r"(?m)^\s*Card name: ", text)[1:]]
    return tuple(adapter for adapter in found if not _is_software(adapter.name))


def _dxdiag_adapter(part: str) -> Adapter:
    """Read one paragraph, which begins with the name."""
    lines = dict(re.findall(r"^\s*([\w ]+?): (.*?)\s*$", part, re.MULTILINE))
    name = part.partition("\n")[0].strip()
    numbers = _NUMBERS.search(lines.get("Device Key", ""))
    hybrid = lines.get("Hybrid Graphics GPU")
    return Adapter(
        name=name,
        vendor=int(numbers[1], 16) if numbers else _vendor_by_name(name),
        device=int(numbers[2], 16) if numbers else 0,
        driver=lines.get("Driver Version"),
        dedicated_bytes=_mib(lines.get("Dedicated Memory")),
        shared_bytes=_mib(lines.get("Shared Memory")),
        integrated=None if hybrid is None else hybrid == "Integrated",
    )


def _mib(text: str | None) -> int | None:
    """Read "8020 MB", which are MiB."""
    found = re.fullmatch(r"(\d+) MB", text or "")
    return int(found[1]) * MIB if found else None


def _joined(adapters: tuple[Adapter, ...], detailed: tuple[Adapter, ...]) -> tuple[Adapter, ...]:
    """Put dxdiag's answer in the place of CIM's for the same adapter."""
    by_name = {adapter.name: adapter for adapter in detailed}
    return tuple(by_name.get(adapter.name, adapter) for adapter in adapters) or detailed


def _size(adapter: Adapter, sizes: dict[str, int]) -> int | None:
    """Give the adapter's own memory: the registry outranks CIM."""
    return sizes.get(adapter.name, adapter.dedicated_bytes)


def _is_integrated(adapter: Adapter) -> bool:
    """Tell a GPU within the processor, by what Windows says, by its number or by its name."""
    if adapter.integrated is not None:
        return adapter.integrated
    if adapter.vendor == pci.AMD and adapter.device in MODELS:
        return MODELS[adapter.device].in_processor
    if adapter.vendor == pci.INTEL and adapter.device:
        return in_processor(adapter.device, "00:02.0")
    return bool(_PROCESSOR_NAMES.search(adapter.name))


def _accelerator(adapter: Adapter, sizes: dict[str, int]) -> Accelerator:
    """Describe one adapter. Windows tells no free memory outside of a program that draws."""
    unified = _is_integrated(adapter)
    own = _own(adapter, sizes, unified=unified)
    silent = unknown_fact("Windows does not report what is free", "Win32_VideoController")
    shared = adapter.shared_bytes
    total = own if not unified else _fact(None, "Windows does not report its share of the host's memory")
    if unified and own.known is not None and shared is not None:
        total = Fact(own.known + shared, own.source)
    return Accelerator(
        name=adapter.name,
        vendor=_VENDORS.get(adapter.vendor, "other"),
        memory_kind="unified" if unified else "dedicated",
        total_bytes=total,
        free_bytes=silent,
        driver_version=_fact(adapter.driver, "Windows does not report it"),
        compute_capability=unknown_fact("Windows does not report it", "Win32_VideoController"),
        own_bytes=own,
        own_free_bytes=silent,
    )


def _own(adapter: Adapter, sizes: dict[str, int], *, unified: bool) -> Fact[int]:
    """Give an adapter's own memory. What Intel's processors call theirs is the host's all the same."""
    if unified and adapter.vendor == pci.INTEL:
        return Fact(0, "the GPU has no memory of its own")
    return _fact(_size(adapter, sizes), "Windows reports no size above 4 GB for this adapter")


def _fact(value: Any, reason: str) -> Fact[Any]:
    """Give what Windows said."""
    return unknown_fact(reason, "Win32_VideoController") if value is None else Fact(value, "Windows")
