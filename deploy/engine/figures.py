"""Takes the times of one generation and makes its figures of them."""

import time

from deploy.engine.memory import peak_resident_bytes, resident_bytes
from deploy.engine.protocol import Speculation, Stats


class Figures:
    """What is noted while a request is answered. All times are of one clock."""

    def __init__(self) -> None:
        """Start the clock: the request has come."""
        self._started = time.perf_counter()
        self._reading_from = self._started
        self._first_at = 0.0
        self._last_at = 0.0
        self._drawn = 0
        self.prompt_tokens = 0
        self.reused_tokens = 0
        self.image_tokens = 0
        self.read_tokens = 0
        self.speculation = Speculation()

    def begin(self, prompt_tokens: int, reused_tokens: int) -> None:
        """Reading begins."""
        self.prompt_tokens, self.reused_tokens = prompt_tokens, reused_tokens
        self._reading_from = time.perf_counter()

    def read(self, tokens: int) -> None:
        """So many more tokens of the prompt are in memory."""
        self.read_tokens += tokens

    def drew(self) -> None:
        """A token was drawn, be it the one that ends the answer."""
        self._last_at = time.perf_counter()
        self._first_at = self._first_at or self._last_at
        self._drawn += 1

    def stats(self, answer_tokens: int) -> Stats:
        """The figures at the end, or where it was stopped."""
        now = time.perf_counter()
        first_at = self._first_at or now
        return Stats(
            prompt_tokens=self.prompt_tokens,
            reused_tokens=self.reused_tokens,
            image_tokens=self.image_tokens,
            answer_tokens=answer_tokens,
            prompt_eval_tokens=self.read_tokens,
            prompt_eval_s=first_at - self._reading_from,
            decode_tokens=max(self._drawn - 1, 0),
            decode_s=self._last_at - self._first_at,
            first_token_s=first_at - self._started,
            total_s=now - self._started,
            memory_bytes=resident_bytes(),
            peak_memory_bytes=peak_resident_bytes(),
            speculation=self.speculation,
        )
