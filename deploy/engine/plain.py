"""Text of the engine process without what steers a terminal: the process has read a foreign file, and says anything."""

from typing import Final

STEERING: Final = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - {ord("\t"), ord("\n"), ord("\r")})
"""The control characters, of both sets; with them a title is set, a clipboard filled, and what was said overwritten."""


def plain(text: str) -> str:
    """The text without control characters, but for tabs and the ends of lines."""
    return text.translate(STEERING)
