"""Devices as the engine lists them, set against what vendors' tools say: the engine is who has to use them."""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from profiles.machine import Accelerator, EngineDevice, Fact, Provenance, Vendor

_PLAIN: Final = {"nvidia", "amd", "intel", "apple", "gpu", "graphics", "ati"}
_MAKERS: Final[dict[str, Vendor]] = {
    "nvidia": "nvidia",
    "geforce": "nvidia",
    "amd": "amd",
    "radeon": "amd",
    "intel": "intel",
    "apple": "apple",
}


def counterparts(devices: Sequence[Accelerator], listed: Sequence[EngineDevice]) -> tuple[EngineDevice | None, ...]:
    """Find each device in the engine's list, which may hold a card twice. Processors in the list are none.

    Equal cards are paired in order. Where names differ, the only device of its maker and kind is the one.
    """
    left = [own for own in listed if own.kind in ("gpu", "igpu")]
    found: list[EngineDevice | None] = []
    for device in devices:
        of_maker = [own for own in left if _maker(own.description) in (device.vendor, None)]
        own = next((own for own in of_maker if _same_name(device.name, own.description)), None)
        if own is None and sum(d.vendor == device.vendor for d in devices) == 1:
            own = next(iter(of_maker), None)
        if own is not None:
            left.remove(own)
        found.append(own)
    return tuple(found)


def as_engine_sees(device: Accelerator, own: EngineDevice | None) -> Accelerator:
    """Put the engine's own figures in the place of the vendor's, where they can be true.

    Some versions say that more is free than there is; such a figure is passed over.
    """
    if own is None or not own.total_bytes or own.free_bytes > own.total_bytes:
        return device
    known = device.total_bytes.known
    if known is not None and device.memory_kind == "dedicated" and own.free_bytes > known:
        return device
    source = f"the engine's device {own.name}"
    free = device.free_bytes.known
    least = own.free_bytes if free is None else min(free, own.free_bytes)
    return msgspec.structs.replace(
        device,
        total_bytes=Fact(own.total_bytes, source, Provenance.ENGINE),
        free_bytes=Fact(least, source, Provenance.ENGINE),
    )


def _maker(description: str) -> Vendor | None:
    """Tell the maker by the words of a description."""
    return next((maker for word, maker in _MAKERS.items() if word in description.lower()), None)


def _same_name(first: str, second: str) -> bool:
    """Tell whether two names can stand for one device: all words of one are words of the other."""
    one, other = _words(first), _words(second)
    return one <= other or other <= one


def _words(name: str) -> set[str]:
    """Take a name apart, without makers, trade marks and what stands in brackets."""
    plain = re.sub(r"\([^)]*\)", " ", name)
    return {word.lower() for word in plain.split()} - _PLAIN
