"""Guesses the next tokens from the text so far, and decides by measurement whether checking them pays.

A step over several tokens costs less than as many steps, since the weights are read once. Where an answer repeats
its input (a quotation, code that is changed a little, a table), what followed the last few tokens before is likely to
follow again. The model draws every token itself; a guess only lets it draw several in one step.
"""

import platform
import re
import statistics
from array import array
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import Final

from deploy.engine.protocol import Speculation

LONGEST_TAIL: Final = 3
SHORTEST_TAIL: Final = 2
"""Tokens at the end of the text that are looked for earlier in it."""
COSTS: Final = {1: 1.4, 3: 2.0, 7: 3.3}
"""What a step with so many guesses is taken to cost, in steps of one token. On two cores 1.4 to 2.0, 2.0 to 2.9 and 3.3
to 4.5 were measured (Q4_0, Q4_1; 0.1B to 8B). The low ends did best on recorded answers: copies are noticed late."""
TILED_COSTS: Final = {1: 1.7, 3: 2.6, 7: 4.2, 15: 4.8}
"""The same where the engine multiplies 8 to 16 tokens as one tile: two cores, shape of 1.7B in Q4_K_M."""
TILED_TYPES: Final = re.compile(r"Q[2-6]_K|IQ[1-3]_|IQ4_XS")
"""Names of the file types whose weights have such tiles, on processors with AVX (ggml-cpu/tiled/tiled.cpp)."""
TILED_WIDTH: Final = 256
"""Rows of those types are made of blocks of so many weights; a model of another width has other types in its place."""
MOST_GUESSES: Final = max(TILED_COSTS)
WORTH_IT: Final = 1.3
"""Expected speed, in tokens for the time of one plain step, from which on guesses are checked.

Well above 1: the chance is known roughly, and what steps cost differs between machines and models.
"""
FIRST_CHANCE: Final = 0.5
CHANCE_WEIGHT: Final = 1 / 6
TOO_DEAR: Final = 1.8
"""Times the assumed cost, from which on even a text that only copies gains nothing worth the trouble."""
LOOKED_AT: Final = 16
"""Steps of each kind that the cost is taken from, and half of them before it counts."""
NO_REPETITION: Final = "nothing in the text repeated"
EXACT: Final = "at temperature 0 every token is computed by itself"
"""Computed several at once they are rounded a little differently: the engine's products of matrices take other ways for
one row and for several (on a processor those of the K and V caches without flash attention, of repacked weights from
four rows on, of a cache that is split from 512 cells on with flash attention). Where tokens are drawn by chance this is
lost in it; the likeliest token of a close call could be another."""


def costs_of(file_type: str, width: int, *, experts: bool, repacked: bool, machine: str = "") -> Mapping[int, float]:
    """What steps of a model cost, by how many guesses they check. Each token of a mixture reads other experts."""
    has_tiles = TILED_TYPES.search(file_type) and width % TILED_WIDTH == 0 and not experts and not repacked
    return TILED_COSTS if has_tiles and (machine or platform.machine()) in {"x86_64", "AMD64"} else COSTS


class Lookup:
    """Finds where the end of a text stood before."""

    def __init__(self, tokens: Sequence[int] = ()) -> None:
        """Begin with a text."""
        self._tokens = array("i", tokens)
        self._bytes = bytearray(self._tokens.tobytes())

    def add(self, token: int) -> None:
        """Lengthen the text."""
        self._tokens.append(token)
        self._bytes += self._tokens[-1:].tobytes()

    def guess(self, most: int) -> list[int]:
        """What followed the longest tail at its last earlier place, over and over where the text ends before.

        Empty where the tail is new.
        """
        for length in range(LONGEST_TAIL, SHORTEST_TAIL - 1, -1):
            at = self._earlier(length)
            if at >= 0:
                return list(islice(cycle(self._tokens[at + length : at + length + most]), most))
        return []

    def _earlier(self, length: int) -> int:
        """Where the last `length` tokens stood before; -1 where they did not."""
        width = self._tokens.itemsize
        if len(self._tokens) <= length:
            return -1
        tail, end = self._bytes[-length * width :], len(self._bytes) - width
        while (at := self._bytes.rfind(tail, 0, end)) >= 0:
            if at % width == 0:
                return at // width
            end = at + length * width - 1
        return -1


class Pace:
    """How many guesses pay: what steps cost on this machine, and how often guesses come true in this answer.

    The choice hangs on the answer's tokens alone, so that the same request is computed in the same way every time. The
    clock has a veto where steps cost so much more than assumed that nothing would be gained.
    """

    def __init__(self, costs: Mapping[int, float] = COSTS) -> None:
        """Know nothing of this machine yet but what steps are assumed to cost."""
        self._costs = costs
        self.chance = FIRST_CHANCE
        """That a guess comes true when the one before it did."""
        self._plain_s: deque[float] = deque(maxlen=LOOKED_AT)
        self._excess: deque[float] = deque(maxlen=LOOKED_AT)
        self._veto = ""

    def take(self, seconds: float, guesses: int) -> None:
        """Learn what a step took."""
        if guesses == 0:
            self._plain_s.append(seconds)
        elif len(self._plain_s) >= LOOKED_AT // 2:
            self._excess.append(seconds / statistics.median(self._plain_s) / self._costs[guesses])
        if not self._veto and len(self._excess) >= LOOKED_AT // 2:
            excess = statistics.median(self._excess)
            self._veto = f"steps that check guesses take {excess:.1f} times as long as assumed" * (excess > TOO_DEAR)

    def saw(self, *, right: bool) -> None:
        """Learn whether a guess came true."""
        self.chance += (right - self.chance) * CHANCE_WEIGHT

    def size(self, most: int) -> int:
        """How many guesses to check now; 0 where plain steps are faster."""
        best = max((size for size in self._costs if size <= most), key=self._speed, default=0)
        return best if best and not self._veto and self._speed(best) >= WORTH_IT else 0

    def why_not(self) -> str:
        """Why guesses are left off; empty where they pay."""
        if self._veto or self.size(MOST_GUESSES):
            return self._veto
        return f"too few guesses come true ({self.chance:.0%})"

    def _speed(self, size: int) -> float:
        """Expected tokens for the time of a plain step: one that is drawn, and the guesses before the first wrong."""
        return sum(self.chance**right for right in range(size + 1)) / self._costs[size]


class Guesser:
    """Guesses along one text and keeps count."""

    def __init__(self, tokens: Sequence[int], most: int, pace: Pace) -> None:
        """Begin after these tokens; never more than `most` guesses at a time."""
        self._lookup = Lookup(tokens)
        self._most = most
        self._pace = pace
        pace.chance = FIRST_CHANCE
        self._expected: list[int] = []
        """What is expected next, the nearest last."""
        self._met = False
        self._guessed = 0
        self._right = 0

    def took(self, seconds: float, guesses: int) -> None:
        """Learn what a step took that checked so many guesses."""
        self._pace.take(seconds, guesses)

    def propose(self, most: int) -> list[int]:
        """Guesses to check in the next step, at most `most`; none where it does not pay."""
        if len(self._expected) < MOST_GUESSES:
            self._expected = self._lookup.guess(MOST_GUESSES)[::-1] or self._expected
            self._met = self._met or bool(self._expected)
        size = self._pace.size(min(most, self._most, len(self._expected)))
        self._guessed += size
        return self._expected[::-1][:size]

    def saw(self, token: int, *, checked: bool) -> None:
        """Learn the token that was drawn, and whether a guess of it was being checked."""
        self._lookup.add(token)
        if not self._expected:
            return
        right = self._expected.pop() == token
        self._right += right and checked
        self._pace.saw(right=right)
        if not right:
            self._expected.clear()

    def report(self) -> Speculation:
        """What came of it."""
        why_not = self._pace.why_not() if self._met else NO_REPETITION
        return Speculation(guessed=self._guessed, right=self._right, why_not=why_not)
