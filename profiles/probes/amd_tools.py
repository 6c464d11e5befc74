"""AMD's command-line tools, where the kernel's files are out of reach: rocm-smi and its successor amd-smi, as JSON."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from profiles.machine import Accelerator, Fact
from profiles.probes.amd_ids import Told, describe, model_of
from profiles.probes.reading import fact_or_unknown, output_of, unknown_fact
from profiles.world import CommandFailed, CommandHung, CommandMissing, NotRecorded, World

ROCM_SMI: Final = (
    "rocm-smi",
    "--showid",
    "--showproductname",
    "--showmeminfo",
    "vram",
    "gtt",
    "--showdriverversion",
    "--json",
)
AMD_SMI: Final = ("amd-smi", "static", "--asic", "--vram", "--driver", "--bus", "--json")
MIB: Final = 1 << 20


def read(world: World) -> Fact[tuple[Accelerator, ...]]:
    """Ask both tools. Where neither is installed there is nothing to be learned, which is no failure."""
    unrecorded: NotRecorded | None = None
    failure: Fact[tuple[Accelerator, ...]] | None = None
    for arguments, parse in ((ROCM_SMI, parse_rocm_smi), (AMD_SMI, parse_amd_smi)):
        try:
            return parse(output_of(world, arguments))
        except NotRecorded as error:
            unrecorded = error
        except CommandMissing:
            continue
        except (CommandFailed, ValueError) as error:
            failure = unknown_fact(f"AMD's tool does not answer: {error}", arguments[0])
            if isinstance(error, CommandHung):
                break
    if failure is not None:
        return failure
    if unrecorded is not None:
        raise unrecorded
    return Fact((), ROCM_SMI[0])


def parse_rocm_smi(text: str) -> Fact[tuple[Accelerator, ...]]:
    """Read rocm-smi's JSON. All values are texts, and the names of the lines differ from version to version."""
    cards = _json(text)
    if not isinstance(cards, dict):
        raise ValueError("rocm-smi's answer cannot be understood")  # noqa: TRY004 - garbage, not a wrong type
    system = cards.get("system")
    driver = system.get("Driver version") if isinstance(system, dict) else None
    found = [
        _rocm_card(card, driver)
        for name, card in sorted(cards.items())
        if name.startswith("card") and isinstance(card, dict)
    ]
    return Fact(tuple(found), ROCM_SMI[0])


def _json(text: str) -> Any:
    """Parse JSON that warnings may stand before. Raises ValueError on anything else."""
    start = re.search(r"[{\[]", text)
    if start is None:
        raise ValueError(f"its answer cannot be understood: {text.strip()[:120] or 'it is empty'}")
    value, _ = json.JSONDecoder().raw_decode(text[start.start() :])
    return value


def _rocm_card(card: Mapping[str, Any], driver: str | None) -> Accelerator:
    """Describe one card."""
    number = next(
        (str(card[key]) for key in ("Device ID", "GPU ID", "Card model", "Card Model") if _is_number(card.get(key))), ""
    )
    model = model_of(int(number, 16) if number else None)
    own, borrowed = _bytes(card, "VRAM"), _bytes(card, "GTT")
    name = next(
        (str(card[key]) for key in ("Card series", "Card Series", "Device Name") if _is_name(card.get(key))), model.name
    )
    version = fact_or_unknown(driver, ROCM_SMI[0], "rocm-smi does not report it")
    missing = unknown_fact("rocm-smi does not report it", ROCM_SMI[0])
    return describe(
        name=name, model=model, own=own, borrowed=borrowed, told=Told(driver=version, runtime=missing, bus=missing)
    )


def _is_number(value: object) -> bool:
    """Tell a device number from a name: both stand under the same key in different versions."""
    return bool(re.fullmatch(r"0x[0-9a-fA-F]{4}", str(value)))


def _is_name(value: object) -> bool:
    """Tell a name from "N/A" and from a number."""
    return isinstance(value, str) and value not in ("", "N/A") and not value.startswith("0x")


def _bytes(card: Mapping[str, Any], kind: str) -> tuple[Fact[int], Fact[int]]:
    """Read total and free of one kind of memory."""
    total, used = (str(card.get(f"{kind} Total {word}Memory (B)", "")) for word in ("", "Used "))
    known = int(total) if total.isdecimal() else None
    free = None if known is None or not used.isdecimal() else max(0, known - int(used))
    reason = f"rocm-smi does not report the {kind} memory"
    return fact_or_unknown(known, ROCM_SMI[0], reason), fact_or_unknown(free, ROCM_SMI[0], reason)


def parse_amd_smi(text: str) -> Fact[tuple[Accelerator, ...]]:
    """Read `amd-smi static`'s JSON: sizes, not what is in use."""
    answer = _json(text)
    cards = answer.get("gpu_data", []) if isinstance(answer, dict) else answer
    if not isinstance(cards, list):
        raise ValueError("amd-smi's answer cannot be understood")  # noqa: TRY004 - garbage, not a wrong type
    return Fact(tuple(_amd_smi_card(card) for card in cards if isinstance(card, dict)), AMD_SMI[0])


def _amd_smi_card(card: Mapping[str, Any]) -> Accelerator:
    """Describe one card."""
    asic, vram = _part(card, "asic"), _part(card, "vram")
    number = str(asic.get("device_id", ""))
    model = model_of(int(number, 16) if _is_number(number) else None)
    name = asic.get("market_name")
    size = _part(vram, "size").get("value")
    silent = unknown_fact("amd-smi's static report does not report it", AMD_SMI[0])
    total = fact_or_unknown(size * MIB if isinstance(size, int) else None, AMD_SMI[0], "amd-smi does not report it")
    return describe(
        name=str(name) if _is_name(name) else model.name,
        model=model,
        own=(total, silent),
        borrowed=(Fact(0, AMD_SMI[0]), silent),
        told=Told(
            driver=fact_or_unknown(_part(card, "driver").get("version"), AMD_SMI[0], "amd-smi does not report it"),
            runtime=silent,
            bus=fact_or_unknown(_part(card, "bus").get("bdf"), AMD_SMI[0], "amd-smi does not report it"),
        ),
    )


def _part(card: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Give one part of the report; "N/A" stands for a part that is missing."""
    part = card.get(name)
    return part if isinstance(part, dict) else {}
