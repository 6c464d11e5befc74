"""How fast tokens come, from the times at which they came."""

from collections import deque
from typing import Final

WINDOW_S: Final = 2.0


class Rate:
    """Tokens a second over the last two seconds. Each piece of text that the engine sends is one token as a rule."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._times: deque[float] = deque()
        self.count = 0

    def tick(self, at_s: float) -> None:
        """One token came."""
        self.count += 1
        self._times.append(at_s)

    def tok_s(self, now_s: float) -> float | None:
        """The rate now; None while fewer than two tokens lie in the window."""
        while self._times and now_s - self._times[0] > WINDOW_S:
            self._times.popleft()
        if len(self._times) < 2:  # noqa: PLR2004 - one point has no rate
            return None
        elapsed_s = max(now_s, self._times[-1]) - self._times[0]
        return (len(self._times) - 1) / elapsed_s if elapsed_s > 0 else None
