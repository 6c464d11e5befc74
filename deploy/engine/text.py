"""From the engine's byte pieces to whole characters, holding back what may become a stop string."""

import codecs


class TextAssembler:
    """Joins byte pieces into text that can be shown at once.

    A token may end in the middle of a character, and a stop string may be spread over several tokens, so the
    end of what has arrived is held back until it is clear what it is.
    """

    def __init__(self, stop: tuple[str, ...]) -> None:
        """Prepare for one answer. Empty stop strings would stop everything and are left out."""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stop = tuple(text for text in stop if text)
        self._held = ""
        self.stopped = False
        """Whether a stop string was met. Nothing after it is ever given out."""

    def feed(self, piece: bytes) -> str:
        """Take the next bytes; give back the text that can be shown now."""
        return self._release(self._decoder.decode(piece), final=False)

    def finish(self) -> str:
        """Give back what was held, at the end of the answer."""
        return self._release(self._decoder.decode(b"", final=True), final=True)

    def _release(self, text: str, *, final: bool) -> str:
        if self.stopped:
            return ""
        self._held += text
        met = [(at + len(stop), at) for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if met:
            self.stopped = True
            _, start = min(met)  # the first to be complete decides, so that it does not matter where tokens end
            shown, self._held = self._held[:start], ""
            return shown
        keep = 0 if final else self._possible_stop_length()
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown

    def _possible_stop_length(self) -> int:
        longest = max((len(stop) - 1 for stop in self._stop), default=0)
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stop):
                return length
        return 0
