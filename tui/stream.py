"""Cuts streaming Markdown into blocks that are complete and a tail that is still open.

Rendering an open list or table anew for every token costs seconds; a complete block is rendered once. The cut
only decides when a piece is shown as Markdown: the pieces, one after the other, are always the input.
"""

import re
from typing import Final, NamedTuple

FENCE: Final = re.compile(r"( *)(`{3,}|~{3,})(.*)")
LIST_ITEM: Final = re.compile(r" {0,3}(?:[-*+]|\d{1,9}[.)])(?:\s|$)")
INDENTED_CODE: Final = 4
"""Columns from which a line at the top level is code, and no longer opens a fence."""


class _Fence(NamedTuple):
    """The opening line of a code block: only the same mark, at least as often, closes it."""

    mark: str
    length: int


class BlockSplitter:
    """Takes text in pieces of any size and gives back blocks as they are completed.

    It decides by whole lines, so where the pieces were cut makes no difference.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._block: list[str] = []
        self._partial = ""
        self._fence: _Fence | None = None
        self._in_list = False
        self._ended_list = False

    @property
    def tail(self) -> str:
        """What has come and belongs to no complete block yet."""
        return "".join(self._block) + self._partial

    def feed(self, text: str) -> list[str]:
        """Take more text; give the blocks that it completes."""
        *lines, self._partial = (self._partial + text).split("\n")
        completed = (block for line in lines for block in self._take(f"{line}\n"))
        return list(completed)

    def finish(self) -> str:
        """Give the tail, however unfinished it is, and begin anew."""
        tail = self.tail
        self.__init__()  # type: ignore[misc]
        return tail

    def _take(self, line: str) -> list[str]:
        """Add one whole line; give zero, one or two blocks that it completes."""
        if self._fence is not None:
            return self._inside_fence(line)
        if not line.strip():
            return self._blank(line)
        before = self._cut() if self._ended_list and not self._continues_list(line) else []
        self._ended_list = False
        if not self._block:
            self._in_list = bool(LIST_ITEM.match(line))
        self._fence = self._opening(line)
        self._block.append(line)
        return before

    def _inside_fence(self, line: str) -> list[str]:
        self._block.append(line)
        if self._closes(line):
            self._fence = None
            if not self._in_list:
                return self._cut()
        return []

    def _blank(self, line: str) -> list[str]:
        """An empty line ends a block, but a list only if the next line is no part of it."""
        self._block.append(line)
        if self._in_list:
            self._ended_list = True
            return []
        return self._cut()

    def _continues_list(self, line: str) -> bool:
        return line[0] in " \t" or bool(LIST_ITEM.match(line))

    def _opening(self, line: str) -> _Fence | None:
        found = FENCE.match(line)
        if found is None or (len(found[1]) >= INDENTED_CODE and not self._in_list):
            return None
        if found[2][0] == "`" and "`" in found[3]:
            return None
        return _Fence(found[2][0], len(found[2]))

    def _closes(self, line: str) -> bool:
        found = FENCE.match(line)
        if found is None or self._fence is None or found[3].strip():
            return False
        return found[2][0] == self._fence.mark and len(found[2]) >= self._fence.length

    def _cut(self) -> list[str]:
        block, self._block = "".join(self._block), []
        self._in_list = self._ended_list = False
        return [block] if block else []
