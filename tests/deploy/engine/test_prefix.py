"""What of the memory a new prompt can use."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.engine.prefix import common_length, spelled_alike

PIECES: Final = {0: b"", 1: b"a", 2: b"b", 3: b"ab", 4: b"ba", 5: b"abc", 6: b"c", 7: b""}
"""0 and 7 are control tokens."""
TOKENS: Final = st.lists(st.sampled_from(list(PIECES)), max_size=8)


def spell(tokens: list[int]) -> list[bytes]:
    """Text between control tokens, and which these are."""
    parts = [b""]
    for token in tokens:
        if PIECES[token]:
            parts[-1] += PIECES[token]
        else:
            parts += [str(token).encode(), b""]
    return parts


@pytest.mark.parametrize(
    ("memory", "prompt", "read"),
    [
        ([1, 2, 6], [1, 2, 6, 4], [1, 2, 6, 4]),
        ([1, 2, 6], [3, 6, 4], [1, 2, 6, 4]),
        ([3], [1, 2, 6], [3, 6]),
        ([1, 2], [5, 4], [5, 4]),
        ([1, 2, 0], [3, 0, 4], [1, 2, 0, 4]),
        ([1, 2, 0], [3, 7, 4], [1, 2, 7, 4]),
        ([1, 6], [1, 2], [1, 2]),
        ([], [1], [1]),
    ],
    ids=["same", "other tokens", "longer ones", "ends inside", "control", "other control", "other text", "empty"],
)
def test_memory_keeps_its_own_tokens(memory: list[int], prompt: list[int], read: list[int]) -> None:
    """As far as both spell the same, and not a letter further."""
    assert spelled_alike(memory, prompt, PIECES.__getitem__) == read


@given(TOKENS, TOKENS)
def test_the_prompt_never_says_anything_else(memory: list[int], prompt: list[int]) -> None:
    """Whatever is in memory, the text that is read is the prompt's, and its control tokens are its own."""
    assert spell(spelled_alike(memory, prompt, PIECES.__getitem__)) == spell(prompt)


@given(TOKENS, TOKENS)
def test_nothing_in_common_is_lost(memory: list[int], prompt: list[int]) -> None:
    """Tokens that were the same anyway are used as before."""
    alike = spelled_alike(memory, prompt, PIECES.__getitem__)
    assert common_length(memory, alike) >= common_length(memory, prompt)
