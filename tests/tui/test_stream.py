"""The splitter loses nothing, decides the same for every cut, and completes blocks where Markdown does."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.stream import BlockSplitter

LINES = st.sampled_from([
    "",
    " ",
    "text",
    "# heading",
    "- item",
    "  - nested",
    "    continued",
    "1. one",
    "   1) nested",
    "   - [ ] task",
    "+ plus",
    "| a | b |",
    "|---|---|",
    "| `a|b` | \\| |",
    "```python",
    "```",
    "~~~",
    "~~~~ python",
    "  ~~~",
    "````",
    "   ```",
    "    ```",
    "~~~ ```",
    "> quote",
    "***",
    "\ttab",
    "[ref]: x",
    "<div>",
])  # fmt: skip
ENDS = st.sampled_from(["\n", "\r\n"])
DOCUMENTS = st.lists(st.tuples(LINES, ENDS)).map(lambda lines: "".join(line + end for line, end in lines))
TEXTS = DOCUMENTS | st.text() | st.text(alphabet="`~-#1. \n\r\ta|")
CUTS = st.lists(st.integers(0, 400))


def pieces(text: str, cuts: list[int]) -> list[str]:
    """The text, cut at these places."""
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[start:end] for start, end in pairwise(places)]


def split(parts: list[str]) -> tuple[list[str], str]:
    """The completed blocks and the tail after these pieces."""
    splitter = BlockSplitter()
    blocks = [block for part in parts for block in splitter.feed(part)]
    return blocks, splitter.finish()


@given(TEXTS, CUTS)
def test_joined_output_is_the_input_for_every_cut(text: str, cuts: list[int]) -> None:
    """Nothing is lost, doubled or moved, wherever the stream was cut."""
    blocks, tail = split(pieces(text, cuts))
    assert "".join(blocks) + tail == text


@given(TEXTS, CUTS)
def test_the_blocks_do_not_depend_on_the_cuts(text: str, cuts: list[int]) -> None:
    """One token at a time gives the same blocks as all at once."""
    assert split(pieces(text, cuts)) == split([text])


@given(TEXTS, CUTS)
def test_what_is_shown_at_any_moment_is_what_has_come(text: str, cuts: list[int]) -> None:
    """Blocks and tail together are the text so far, so stopping anywhere keeps everything."""
    splitter, blocks, come = BlockSplitter(), "", ""
    for piece in pieces(text, cuts):
        come += piece
        blocks += "".join(splitter.feed(piece))
        assert blocks + splitter.tail == come


REALISTIC = """Before.

1. one

   ~~~python
   x = "```"

   ~~~
   - nested
     - deeper

| a | b |
|---|---|
| 1 | 2 |

````md
```
inner
```
````

~~~
never closed
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_stream_that_stops_at_any_letter_keeps_every_letter(end: str) -> None:
    """In a list, in a table, in a fence inside a fence, in one that never closes, and between CR and LF."""
    text = REALISTIC.replace("\n", end)
    whole, _ = split([text])
    assert [block.split(end)[0] for block in whole] == ["Before.", "1. one", "| a | b |", "````md", ""]
    for at in range(len(text) + 1):
        blocks, tail = split([text[:at]])
        assert "".join(blocks) + tail == text[:at]
        assert blocks == whole[: len(blocks)]


def test_a_paragraph_is_complete_at_the_empty_line() -> None:
    """The empty line belongs to the block that it ends."""
    assert split(["one\ntwo\n\nthree"]) == (["one\ntwo\n\n"], "three")


def test_a_fence_is_complete_when_it_closes_and_not_at_an_empty_line_in_it() -> None:
    """Code with empty lines is one block; text after it is the next."""
    assert split(["```\na\n\nb\n```\nafter"]) == (["```\na\n\nb\n```\n"], "after")


def test_only_the_mark_that_opened_a_fence_closes_it() -> None:
    """Tildes do not close backticks, and a shorter fence does not close a longer one."""
    text = "````\n```\n~~~~\n````\n"
    assert split([text]) == ([text], "")


def test_an_unfinished_fence_stays_in_the_tail() -> None:
    """A stream that stops inside a fence still gives its text at the end."""
    assert split(["intro\n\n```py\nx = 1\n"]) == (["intro\n\n"], "```py\nx = 1\n")


def test_a_loose_list_stays_together_until_something_else_begins() -> None:
    """Items with empty lines between them are one list; the next paragraph ends it."""
    blocks, tail = split(["1. a\n\n2. b\n\n   more\n\nafter\n"])
    assert blocks == ["1. a\n\n2. b\n\n   more\n\n"]
    assert tail == "after\n"


def test_a_fence_inside_a_list_item_does_not_end_the_list() -> None:
    """Indented code between two items belongs to the list."""
    blocks, tail = split(["- a\n\n  ```\n  x\n\n  ```\n- b\n\nend"])
    assert blocks == []
    assert tail.endswith("end")
