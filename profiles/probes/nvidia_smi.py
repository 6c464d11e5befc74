"""nvidia-smi, where NVML does not load: its XML report, else its table of fields. Both become NVML's own answers."""

import csv
import re
from typing import Final
from xml.etree import ElementTree as ET

from profiles.probes.nvml import Answers, NvmlDevice, NvmlFailure, NvmlMemory, NvmlReadings, NvmlSlice
from profiles.probes.reading import output_of
from profiles.world import CommandFailed, CommandHung, CommandMissing, NotRecorded, World

REPORT: Final = ("nvidia-smi", "-q", "-x")
FIELDS: Final = ("index", "name", "pci.bus_id", "driver_version", "memory.total", "memory.free", "compute_cap")
QUERY: Final = ("nvidia-smi", f"--query-gpu={','.join(FIELDS)}", "--format=csv")
MIB: Final = 1 << 20
_UNKNOWN_FAILURE: Final = 999
_LIBRARY_NOT_FOUND: Final = 12
_NOT_SUPPORTED: Final = 3
_AMOUNT: Final = re.compile(r"(\d+) MiB")


def read(world: World) -> Answers | None:
    """Ask the command in both ways; None where nothing is known of it."""
    failure: NvmlFailure | None = None
    for arguments, parse in ((REPORT, parse_report), (QUERY, parse_query)):
        try:
            return parse(output_of(world, arguments))
        except NotRecorded:
            continue
        except CommandMissing as error:
            return NvmlFailure(_LIBRARY_NOT_FOUND, str(error))
        except (CommandFailed, ValueError) as error:
            failure = NvmlFailure(_UNKNOWN_FAILURE, str(error))
            if isinstance(error, CommandHung):
                break
    return failure


def parse_report(text: str) -> NvmlReadings:
    """Read the XML. Raises ValueError on anything that is no such report."""
    try:
        root = ET.fromstring(text)  # noqa: S314 - likewise; expat fetches nothing and bounds entities
    except ET.ParseError as error:
        raise ValueError(f"nvidia-smi's report cannot be understood: {_first_line(text)}") from error
    if root.tag != "nvidia_smi_log":
        raise ValueError("nvidia-smi's report cannot be understood")
    return NvmlReadings(
        driver_version=_text(root, "driver_version"),
        devices=tuple(_device(gpu) for gpu in root.iter("gpu")),
        cuda_version=_cuda(root.findtext("cuda_version")),
    )


def _device(gpu: ET.Element) -> NvmlDevice:
    """Read one device of the report."""
    name = _text(gpu, "product_name")
    parts = tuple(_slice(name, part) for part in gpu.iterfind("mig_devices/mig_device"))
    return NvmlDevice(
        name=name,
        memory=_memory(gpu.find("fb_memory_usage")),
        compute_capability=NvmlFailure(_NOT_SUPPORTED, "nvidia-smi's report does not say"),
        bus=gpu.get("id") or _text(gpu, "pci/pci_bus_id"),
        is_cut=gpu.findtext("mig_mode/current_mig") == "Enabled",
        slices=parts,
    )


def _slice(name: str | NvmlFailure, part: ET.Element) -> NvmlSlice:
    """Read one slice; the report does not name its profile, so its number tells it."""
    whole = name if isinstance(name, str) else "NVIDIA device"
    return NvmlSlice(name=f"{whole} MIG {part.findtext('index')}", memory=_memory(part.find("fb_memory_usage")))


def _memory(usage: ET.Element | None) -> NvmlMemory | NvmlFailure:
    """Read total and free; old reports give only what is used."""
    if usage is None:
        return NvmlFailure(_UNKNOWN_FAILURE, "nvidia-smi's report does not say how large the memory is")
    total, free, used = (_amount(usage.findtext(name)) for name in ("total", "free", "used"))
    if total is None:
        return NvmlFailure(_NOT_SUPPORTED, f"nvidia-smi writes {usage.findtext('total')!r}")
    if free is None:
        free = None if used is None else total - used
    return (
        NvmlFailure(_UNKNOWN_FAILURE, "nvidia-smi's report does not say what is free")
        if free is None
        else NvmlMemory(total, free)
    )


def _amount(text: str | None) -> int | None:
    """Read "24576 MiB"."""
    found = _AMOUNT.fullmatch((text or "").strip())
    return int(found[1]) * MIB if found else None


def _text(parent: ET.Element, path: str) -> str | NvmlFailure:
    """Read an element's text."""
    text = (parent.findtext(path) or "").strip()
    return text if text and text != "N/A" else NvmlFailure(_NOT_SUPPORTED, f"nvidia-smi's report has no {path}")


def _cuda(text: str | None) -> int | NvmlFailure:
    """Read "12.4", which NVML writes 12040. Without CUDA's library it is "Not Found"."""
    found = re.fullmatch(r"(\d+)\.(\d+)", (text or "").strip())
    return int(found[1]) * 1000 + int(found[2]) * 10 if found else NvmlFailure(_NOT_SUPPORTED, f"CUDA: {text}")


def parse_query(text: str) -> NvmlReadings:
    """Read the table of fields by its head. Raises ValueError on anything that is no such table."""
    rows = list(csv.reader(text.splitlines(), skipinitialspace=True))
    if not rows or not any(cell.startswith(("name", "memory.total")) for cell in rows[0]):
        raise ValueError(f"nvidia-smi's table cannot be understood: {_first_line(text)}")
    head = [cell.partition(" ")[0] for cell in rows[0]]
    lines = [dict(zip(head, row, strict=False)) for row in rows[1:] if row]
    version = next((line["driver_version"] for line in lines if _says(line.get("driver_version"))), None)
    return NvmlReadings(
        driver_version=version or NvmlFailure(_NOT_SUPPORTED, "nvidia-smi does not report it"),
        devices=tuple(_row(line) for line in lines),
    )


def _row(line: dict[str, str]) -> NvmlDevice:
    """Read one device of the table."""
    total, free = _amount(line.get("memory.total")), _amount(line.get("memory.free"))
    refused = NvmlFailure(_NOT_SUPPORTED, f"nvidia-smi writes {line.get('memory.total', 'nothing')}")
    capability = re.fullmatch(r"(\d+)\.(\d+)", line.get("compute_cap", ""))
    silent = NvmlFailure(_NOT_SUPPORTED, "nvidia-smi does not report it")
    return NvmlDevice(
        name=line["name"] if _says(line.get("name")) else silent,
        memory=refused if total is None or free is None else NvmlMemory(total, free),
        compute_capability=(int(capability[1]), int(capability[2])) if capability else silent,
        bus=line["pci.bus_id"] if _says(line.get("pci.bus_id")) else silent,
    )


def _says(cell: str | None) -> bool:
    """Tell an answer from "[N/A]", "[Not Supported]" and other words in brackets."""
    return bool(cell) and not str(cell).startswith("[")


def _first_line(text: str) -> str:
    """Quote how an answer begins."""
    return next((line.strip()[:120] for line in text.splitlines() if line.strip()), "it is empty")
