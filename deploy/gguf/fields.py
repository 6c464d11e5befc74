"""Typed access to a header's settings; every refusal names the file, the setting and what is wrong with it."""

from collections.abc import Sequence

from deploy.errors import InvalidModel
from deploy.gguf.cursor import AGAIN, shown
from deploy.gguf.reader import ArraySummary, Header, Value


class Fields:
    """The settings of one file."""

    def __init__(self, header: Header, name: str) -> None:
        """Look at a header; `name` is what error sentences call the file."""
        self._metadata = header.metadata
        self._name = name

    def refused(self, reason: str, hint: str = AGAIN) -> InvalidModel:
        """Make the error for settings that no model can have."""
        return InvalidModel(f"{self._name} is not a model that the engine may load: {reason}.", hint=hint)

    def text(self, key: str) -> str | None:
        """Give a text, or None where it is not set."""
        value = self._metadata.get(key)
        if isinstance(value, ArraySummary) and value.element_type == "byte":
            raise self.refused(f"{key} is {value.length:,} bytes long")
        if value is not None and not isinstance(value, str):
            raise self.refused(f"{key} is not a text")
        return value

    def texts(self, prefix: str) -> dict[str, str]:
        """Give every text whose key starts so."""
        keys = [key for key, value in self._metadata.items() if key.startswith(prefix) and not _is_list(value)]
        return {key: text for key in keys if (text := self.text(key)) is not None}

    def whole(self, key: str, lowest: int, highest: int) -> int | None:
        """Give a whole number within bounds, or None where it is not set."""
        value = self._metadata.get(key)
        return None if value is None else self._bounded(key, value, lowest, highest)

    def required(self, key: str, lowest: int, highest: int) -> int:
        """Give a whole number within bounds that the engine cannot do without."""
        value = self.whole(key, lowest, highest)
        if value is None:
            raise self.refused(f"{key} is missing")
        return value

    def per_block(self, key: str, blocks: int, highest: int) -> tuple[int, ...] | None:
        """Give one number for each block, from a list or from one number for all; None where it is not set."""
        value = self._metadata.get(key)
        if value is None:
            return None
        if not isinstance(value, ArraySummary):
            return (self._bounded(key, value, 0, highest),) * blocks
        if value.values is None or value.length != blocks:
            raise self.refused(f"{key} has {value.length:,} entries for {blocks} blocks")
        return tuple(self._bounded(key, number, 0, highest) for number in value.values)

    def length(self, key: str, types: Sequence[str]) -> int | None:
        """Give the length of a list whose elements are of one of these types; None where it is not set."""
        value = self._metadata.get(key)
        if value is None:
            return None
        if not isinstance(value, ArraySummary) or value.element_type not in types:
            raise self.refused(f"{key} is not a list of {' or '.join(types)}")
        return value.length

    def _bounded(self, key: str, value: Value, lowest: int, highest: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.refused(f"{key} is not a whole number")
        if not lowest <= value <= highest:
            raise self.refused(f"{shown(key)} is {value:,} instead of {lowest:,} to {highest:,}")
        return value


def _is_list(value: Value) -> bool:
    return isinstance(value, ArraySummary) and value.element_type != "byte"
