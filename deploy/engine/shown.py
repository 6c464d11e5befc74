"""A prompt's tokens where some of them, the numbers below zero, stand for pieces of images."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploy.engine.vision import SeenPrompt


def count_images(tokens: Sequence[int]) -> int:
    """How many of them stand for images."""
    return sum(token < 0 for token in tokens)


def text_length(tokens: Sequence[int]) -> int:
    """How many of the first ones are text."""
    return next((place for place, token in enumerate(tokens) if token < 0), len(tokens))


@contextmanager
def looking(seen: "SeenPrompt | None", to_read: Sequence[int]) -> Iterator[None]:
    """Have the images decoded that are still to be read, and give them back. Raises Refusal where one is damaged."""
    if seen is None:
        yield
        return
    try:
        if count_images(to_read):
            seen.decode()
        yield
    finally:
        seen.close()
