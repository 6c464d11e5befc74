"""The loop between drawing a token and computing what follows it, one token or several guesses at a time."""

import time
from typing import Any, Final

import llama_cpp.llama_cpp as native

from deploy.engine.context import Context
from deploy.engine.speculate import Guesser

LAST: Final = -1
"""Index of the only output of a plain step."""


class Steps:
    """Draws one token after another, after a prompt was read.

    A token is computed when the next one is asked for: what ends an answer is never computed in vain.
    """

    def __init__(self, context: Context, guesser: Guesser | None) -> None:
        """Begin after the tokens in memory; without a guesser every step is a plain one."""
        self._context = context
        self._guesser = guesser
        self._last = 0
        self._ready = True
        """Whether what the next token is drawn from is computed."""
        self._at = LAST
        self._guesses: list[int] = []
        """Computed into memory, and still to be compared with what is drawn."""

    def draw(self, chain: Any, most: int) -> int | None:
        """The next token, of at most `most` that are still wanted; None when it was stopped. Raises Refusal."""
        started = time.perf_counter()
        computing = not self._ready
        if computing and not self._compute(most):
            return None
        token = int(native.llama_sampler_sample(chain, self._context.pointer, self._at))
        if self._guesser:
            if computing:  # up to here, since a graphics processor computes on after the call
                self._guesser.took(time.perf_counter() - started, len(self._guesses))
            self._guesser.saw(token, checked=bool(self._guesses))
        self._compare(token)
        self._last = token
        return token

    def _compute(self, most: int) -> bool:
        room = self._context.size - len(self._context.tokens) - 2
        self._guesses = self._guesser.propose(min(most - 1, room)) if self._guesser else []
        if not self._context.decode([self._last, *self._guesses], every_output=bool(self._guesses)):
            return False
        self._at = 0 if self._guesses else LAST
        return True

    def _compare(self, token: int) -> None:
        """Go on along the guesses while they are what is drawn; drop the others from memory."""
        self._ready = bool(self._guesses) and self._guesses[0] == token
        if self._ready:
            del self._guesses[0]
            self._at += 1
        elif self._guesses:
            self._context.forget_last(len(self._guesses))
            self._guesses = []
