"""Names for the numbers by which an Arm core tells its maker and its design (the register MIDR_EL1)."""

from typing import Final

ARM_IMPLEMENTERS: Final = {
    "0x41": "ARM",
    "0x42": "Broadcom",
    "0x43": "Cavium",
    "0x46": "Fujitsu",
    "0x48": "HiSilicon",
    "0x4e": "NVIDIA",
    "0x51": "Qualcomm",
    "0x61": "Apple",
    "0x70": "Phytium",
    "0xc0": "Ampere",
}

ARM_CORES: Final = {
    ("0x41", "0xd03"): "Cortex-A53",
    ("0x41", "0xd04"): "Cortex-A35",
    ("0x41", "0xd05"): "Cortex-A55",
    ("0x41", "0xd07"): "Cortex-A57",
    ("0x41", "0xd08"): "Cortex-A72",
    ("0x41", "0xd09"): "Cortex-A73",
    ("0x41", "0xd0a"): "Cortex-A75",
    ("0x41", "0xd0b"): "Cortex-A76",
    ("0x41", "0xd0c"): "Neoverse-N1",
    ("0x41", "0xd0d"): "Cortex-A77",
    ("0x41", "0xd40"): "Neoverse-V1",
    ("0x41", "0xd41"): "Cortex-A78",
    ("0x41", "0xd42"): "Cortex-A78AE",
    ("0x41", "0xd44"): "Cortex-X1",
    ("0x41", "0xd46"): "Cortex-A510",
    ("0x41", "0xd47"): "Cortex-A710",
    ("0x41", "0xd48"): "Cortex-X2",
    ("0x41", "0xd49"): "Neoverse-N2",
    ("0x41", "0xd4d"): "Cortex-A715",
    ("0x41", "0xd4e"): "Cortex-X3",
    ("0x41", "0xd4f"): "Neoverse-V2",
    ("0x41", "0xd80"): "Cortex-A520",
    ("0x41", "0xd81"): "Cortex-A720",
    ("0x41", "0xd82"): "Cortex-X4",
    ("0x41", "0xd83"): "Neoverse-V3AE",
    ("0x41", "0xd84"): "Neoverse-V3",
    ("0x41", "0xd85"): "Cortex-X925",
    ("0x41", "0xd87"): "Cortex-A725",
    ("0x41", "0xd8e"): "Neoverse-N3",
    ("0x51", "0x001"): "Oryon",
    ("0x61", "0x022"): "Apple M1 efficiency core",
    ("0x61", "0x023"): "Apple M1 performance core",
    ("0x61", "0x024"): "Apple M1 Pro efficiency core",
    ("0x61", "0x025"): "Apple M1 Pro performance core",
    ("0xc0", "0xac3"): "Ampere-1",
    ("0xc0", "0xac4"): "Ampere-1a",
}
"""(implementer, part) to the core's name."""

EFFICIENCY_RANK: Final = 0
_MIDDLE_RANK: Final = 1
_PRIME_RANK: Final = 2
_SAVING: Final = ("A35", "A53", "A55", "A510", "A520", "efficiency")
_PRIME: Final = ("Cortex-X", "performance")


def core_rank(name: str) -> int:
    """Rank a design among those that are built together: saving, middle, prime."""
    if name.endswith(_SAVING) or "efficiency" in name:
        return EFFICIENCY_RANK
    return _PRIME_RANK if any(word in name for word in _PRIME) else _MIDDLE_RANK
