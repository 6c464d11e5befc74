"""Intel's device numbers: which are cards of their own."""

from typing import Final

_CARDS: Final = {
    0x5690: "Arc A770M",
    0x5691: "Arc A730M",
    0x5692: "Arc A550M",
    0x5693: "Arc A370M",
    0x5694: "Arc A350M",
    0x56A0: "Arc A770",
    0x56A1: "Arc A750",
    0x56A2: "Arc A580",
    0x56A5: "Arc A380",
    0x56A6: "Arc A310",
    0x56B0: "Arc Pro A30M",
    0x56B1: "Arc Pro A40 or A50",
    0x56B3: "Arc Pro A60",
    0x56C0: "Data Center GPU Flex 170",
    0x56C1: "Data Center GPU Flex 140",
    0x0BD5: "Data Center GPU Max 1550",
    0x0BDA: "Data Center GPU Max 1100",
    0x4905: "Iris Xe MAX",
    0xE20B: "Arc B580",
    0xE20C: "Arc B570",
    0xE211: "Arc Pro B60",
    0xE212: "Arc Pro B50",
    0xE223: "Arc Pro B70",
}
_PROCESSOR_SLOT: Final = "00:02.0"
"""Intel's processors have had their GPU at this place of the bus for twenty years."""


NPUS: Final = {
    0x7D1D: "Intel NPU (Meteor Lake)",
    0xAD1D: "Intel NPU (Arrow Lake)",
    0x643E: "Intel NPU (Lunar Lake)",
    0xB03E: "Intel NPU (Panther Lake)",
}
"""They stand on the bus as compute devices, like cards without a screen."""


def is_npu(device: int) -> bool:
    """Tell a neural processor."""
    return device in NPUS


def name_of(device: int) -> str:
    """Name a device."""
    return f"Intel {_CARDS.get(device, f'Graphics 0x{device:04x}')}"


def in_processor(device: int, slot: str) -> bool:
    """Tell a GPU within the processor from a card, by its number or else by its place."""
    return device not in _CARDS and slot.endswith(_PROCESSOR_SLOT)
