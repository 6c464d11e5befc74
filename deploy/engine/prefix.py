"""What a new prompt has in common with the tokens in memory."""

from collections.abc import Callable, Sequence


def common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens both begin with."""
    for count, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return count
    return min(len(first), len(second))


def spelled_alike(memory: Sequence[int], prompt: Sequence[int], letters: Callable[[int], bytes]) -> list[int]:
    """The prompt, with memory's own tokens for as long as both spell the same text.

    A model may write a word in other tokens than the tokenizer would. Read back as part of the conversation it is the
    same text, and need not be computed again. `letters` gives a token's bytes, and nothing for a control token: those
    must be the same tokens, whatever they look like.
    """
    start = i = j = common_length(memory, prompt)
    same = (start, start)
    spelled, wanted = b"", b""
    while True:
        behind = len(spelled) <= len(wanted)
        if (i == len(memory)) if behind else (j == len(prompt)):
            break
        if not spelled and not wanted and j < len(prompt) and memory[i] == prompt[j]:
            same = (i, j) = (i + 1, j + 1)
            continue
        piece = letters(memory[i] if behind else prompt[j])
        if behind:
            spelled, i = spelled + piece, i + 1
        else:
            wanted, j = wanted + piece, j + 1
        if not piece or not (spelled.startswith(wanted) or wanted.startswith(spelled)):
            break
        if spelled == wanted:
            spelled, wanted, same = b"", b"", (i, j)
    return [*memory[: same[0]], *prompt[same[1] :]]
