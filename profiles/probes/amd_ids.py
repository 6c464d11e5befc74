"""AMD's devices: which numbers are GPUs within a processor, what they are called, and how their memories add up."""

from typing import Final

import msgspec

from profiles.machine import Accelerator, Fact
from profiles.probes.reading import unknown_fact


class AmdModel(msgspec.Struct, frozen=True):
    """What one device number stands for."""

    name: str
    architecture: str
    """AMD's name for the instruction set, which decides what ROCm supports."""
    in_processor: bool = False


MODELS: Final = {
    0x15D8: AmdModel("Radeon Vega (Picasso)", "gfx902", in_processor=True),
    0x15DD: AmdModel("Radeon Vega (Raven)", "gfx902", in_processor=True),
    0x1636: AmdModel("Radeon Graphics (Renoir)", "gfx90c", in_processor=True),
    0x1638: AmdModel("Radeon Graphics (Cezanne)", "gfx90c", in_processor=True),
    0x164C: AmdModel("Radeon Graphics (Lucienne)", "gfx90c", in_processor=True),
    0x15E7: AmdModel("Radeon Graphics (Barcelo)", "gfx90c", in_processor=True),
    0x163F: AmdModel("Steam Deck GPU (Van Gogh)", "gfx1033", in_processor=True),
    0x1435: AmdModel("Steam Deck GPU (Sephiroth)", "gfx1033", in_processor=True),
    0x164D: AmdModel("Radeon Graphics (Rembrandt)", "gfx1035", in_processor=True),
    0x1681: AmdModel("Radeon 680M (Rembrandt)", "gfx1035", in_processor=True),
    0x164E: AmdModel("Radeon Graphics (Raphael)", "gfx1036", in_processor=True),
    0x13C0: AmdModel("Radeon Graphics (Granite Ridge)", "gfx1036", in_processor=True),
    0x1506: AmdModel("Radeon 610M (Mendocino)", "gfx1037", in_processor=True),
    0x15BF: AmdModel("Radeon 780M (Phoenix)", "gfx1103", in_processor=True),
    0x15C8: AmdModel("Radeon 740M (Phoenix 2)", "gfx1103", in_processor=True),
    0x1900: AmdModel("Radeon 780M (Hawk Point)", "gfx1103", in_processor=True),
    0x1901: AmdModel("Radeon 740M (Hawk Point 2)", "gfx1103", in_processor=True),
    0x150E: AmdModel("Radeon 890M (Strix Point)", "gfx1150", in_processor=True),
    0x1586: AmdModel("Radeon 8060S (Strix Halo)", "gfx1151", in_processor=True),
    0x1114: AmdModel("Radeon 860M (Krackan Point)", "gfx1152", in_processor=True),
    0x74A0: AmdModel("Instinct MI300A", "gfx942", in_processor=True),
    0x66A1: AmdModel("Instinct MI50", "gfx906"),
    0x66AF: AmdModel("Radeon VII", "gfx906"),
    0x67DF: AmdModel("Radeon RX 470 to 580", "gfx803"),
    0x699F: AmdModel("Radeon RX 550", "gfx803"),
    0x687F: AmdModel("Radeon RX Vega", "gfx900"),
    0x738C: AmdModel("Instinct MI100", "gfx908"),
    0x740F: AmdModel("Instinct MI210", "gfx90a"),
    0x740C: AmdModel("Instinct MI250X", "gfx90a"),
    0x74A1: AmdModel("Instinct MI300X", "gfx942"),
    0x74A5: AmdModel("Instinct MI325X", "gfx942"),
    0x75A0: AmdModel("Instinct MI350X", "gfx950"),
    0x731F: AmdModel("Radeon RX 5700", "gfx1010"),
    0x73BF: AmdModel("Radeon RX 6800 to 6900 XT", "gfx1030"),
    0x73DF: AmdModel("Radeon RX 6700 XT", "gfx1031"),
    0x73FF: AmdModel("Radeon RX 6600 XT", "gfx1032"),
    0x744C: AmdModel("Radeon RX 7900", "gfx1100"),
    0x7448: AmdModel("Radeon PRO W7900", "gfx1100"),
    0x747E: AmdModel("Radeon RX 7800 XT", "gfx1101"),
    0x7480: AmdModel("Radeon RX 7600", "gfx1102"),
    0x7550: AmdModel("Radeon RX 9070", "gfx1201"),
    0x7551: AmdModel("Radeon AI PRO R9700", "gfx1201"),
    0x7590: AmdModel("Radeon RX 9060 XT", "gfx1200"),
}


def model_of(device: int | None) -> AmdModel:
    """Look a number up. An unknown one is taken for a card of its own, as new cards are more common."""
    unknown = "Radeon GPU" if device is None else f"Radeon GPU 0x{device:04x}"
    return MODELS.get(device or 0, AmdModel(unknown, ""))


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a source tells of a device beside its memory."""

    driver: Fact[str]
    runtime: Fact[str]
    bus: Fact[str]


def describe(
    *,
    name: str,
    model: AmdModel,
    own: tuple[Fact[int], Fact[int]],
    borrowed: tuple[Fact[int], Fact[int]],
    told: Told,
) -> Accelerator:
    """Describe a device by its two kinds of memory, each as total and free."""
    unified = model.in_processor
    missing = unknown_fact("nothing reports this device's architecture", "device number")
    return Accelerator(
        name=name if name.startswith("AMD") else f"AMD {name}",
        vendor="amd",
        memory_kind="unified" if unified else "dedicated",
        total_bytes=_sum(own[0], borrowed[0]) if unified else own[0],
        free_bytes=_sum(own[1], borrowed[1]) if unified else own[1],
        driver_version=told.driver,
        compute_capability=Fact(model.architecture, "device number") if model.architecture else missing,
        own_bytes=own[0],
        own_free_bytes=own[1],
        runtime_version=told.runtime,
        bus=told.bus,
    )


def _sum(own: Fact[int], borrowed: Fact[int]) -> Fact[int]:
    """Add the two kinds. The firmware's part alone would be too little to judge the device by."""
    if own.known is None:
        return own
    if borrowed.known is None:
        return borrowed
    return Fact(own.known + borrowed.known, f"{own.source} + {borrowed.source}")
