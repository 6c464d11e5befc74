"""How fast tokens come, from the times at which they came."""

from collections import deque
from typing import Final

WINDOW_S: Final = 2.0


class Rate:
    """Tokens a second over the last two seconds, by the pieces of text that the engine sends."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._pieces: deque[tuple[float, int]] = deque()
        self.count = 0

    def tick(self, at_s: float, tokens: int = 1) -> None:
        """So many tokens came."""
        self.count += tokens
        self._pieces.append((at_s, tokens))

    def tok_s(self, now_s: float) -> float | None:
        """The rate now; None while fewer than two pieces lie in the window."""
        while self._pieces and now_s - self._pieces[0][0] > WINDOW_S:
            self._pieces.popleft()
        if len(self._pieces) < 2:  # noqa: PLR2004 - one point has no rate
            return None
        (first_s, before), (last_s, _) = self._pieces[0], self._pieces[-1]
        elapsed_s = max(now_s, last_s) - first_s
        return (sum(tokens for _, tokens in self._pieces) - before) / elapsed_s if elapsed_s > 0 else None
