"""Amounts as people write and read them: sizes of files and memory, and contexts."""

import re
from typing import Final

LEAST_CONTEXT_TOKENS: Final = 256
_NUMBER: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([A-Z]*)")
_DECIMAL: Final = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZES: Final = _DECIMAL | {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_TOKENS: Final = {"": 1, "K": 2**10, "M": 2**20}


def read_size(text: str) -> int:
    """A size with its unit: 4GB, 100 MB or 1.5GiB. Raises ValueError."""
    size_bytes = _read(text, _SIZES)
    if not size_bytes:
        raise ValueError(f"{text!r} is not a size, such as 20MB")
    return size_bytes


def read_tokens(text: int | str) -> int:
    """A number of tokens: 32768, "32,768" or "32k"; a k is 1,024, as in the names of models. Raises ValueError."""
    count = _read(str(text).replace(",", ""), _TOKENS)
    if count is None or count < LEAST_CONTEXT_TOKENS:
        raise ValueError(f"{text!r} is not a context of {LEAST_CONTEXT_TOKENS} tokens or more, such as 8192 or 32k")
    return count


def gigabytes(count: int) -> str:
    """Bytes as people read them: in decimal units, as disks are sold, and with two or three figures."""
    if count >= 10**10:
        return f"{count / 1e9:.0f} GB"
    if count >= 10**9:
        return f"{count / 1e9:.1f} GB"
    return f"{max(1, round(count / 1e6)) if count else 0} MB"


def amount(count: int) -> str:
    """The same for what may be small: less than a megabyte in kilobytes."""
    return gigabytes(count) if count >= 10**6 else f"{max(1, round(count / 1e3)) if count else 0} kB"


def _read(text: str, units: dict[str, int]) -> int | None:
    found = _NUMBER.fullmatch(text.strip().upper())
    return int(float(found[1]) * units[found[2]]) if found and found[2] in units else None
