"""What NO_COLOR asks for: no code of a colour at all. The toolkit's own answer to it are shades of grey."""

import os
from functools import lru_cache

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

VARIABLE = "NO_COLOR"


class NoColour(LineFilter):
    """Takes the colours out of what is painted; bold, faint, underlined and reversed text stays."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 - the toolkit's signature
        """The same letters in the terminal's own two colours."""
        return [Segment(text, style and _uncoloured(style), control) for text, style, control in segments]


NO_COLOUR = NoColour()
"""One for all, because what is painted is remembered by it."""


def forget_empty_wish() -> None:
    """An empty variable asks for nothing, and the toolkit would take it for a wish."""
    if not os.environ.get(VARIABLE):
        os.environ.pop(VARIABLE, None)


@lru_cache(1024)
def _uncoloured(style: Style) -> Style:
    return style.without_color
