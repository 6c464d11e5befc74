"""From the engine's byte pieces to whole characters of the right channel, holding back what may become a mark."""

import codecs

from deploy.engine.channels import Piece, Splitter, held_back, splitter_of
from deploy.engine.protocol import Text, Thinking


class Assembler:
    """Joins byte pieces into text that can be shown at once.

    A token may end in the middle of a character, and a stop string may be spread over several tokens, so the
    end of what has arrived is held back until it is clear what it is.
    """

    def __init__(self, stop: tuple[str, ...] = (), splitter: Splitter | None = None) -> None:
        """Prepare for one answer; without a splitter all of it is the answer."""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._splitter = splitter or splitter_of(None, "")
        self._stop = _StopStrings(stop)

    @property
    def stopped(self) -> bool:
        """Whether a stop string was met in the answer. Nothing after it is ever given out."""
        return self._stop.met

    @property
    def answering(self) -> bool:
        """Whether what comes next belongs to the answer for certain."""
        return self._splitter.answering

    def feed(self, piece: bytes) -> list[Text | Thinking]:
        """Take the next bytes; give back the text that can be shown now."""
        return self._events(self._splitter.feed(self._decoder.decode(piece)))

    def finish(self, *, cut: bool = False) -> list[Text | Thinking]:
        """Give back what was held, at the end of the answer. Where it was cut, half a character is left out."""
        last = "" if cut else self._decoder.decode(b"", final=True)
        events = self._events([*self._splitter.feed(last), *self._splitter.finish()])
        rest = self._stop.finish()
        return [*events, Text(rest)] if rest else events

    def _events(self, pieces: list[Piece]) -> list[Text | Thinking]:
        events: list[Text | Thinking] = []
        for piece in pieces:
            if self.stopped:
                break
            if piece.thinking:
                events.append(Thinking(piece.text))
            elif shown := self._stop.feed(piece.text):
                events.append(Text(shown))
        return events


class _StopStrings:
    """Ends an answer where one of some texts begins. Empty ones would stop everything and are left out."""

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = tuple(text for text in stop if text)
        self._held = ""
        self.met = False

    def feed(self, text: str) -> str:
        self._held += text
        met = [(at + len(stop), at) for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if met:
            self.met = True
            _, start = min(met)  # the first to be complete decides, so that it does not matter where tokens end
            shown, self._held = self._held[:start], ""
            return shown
        cut = len(self._held) - held_back(self._held, self._stop)
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown

    def finish(self) -> str:
        rest, self._held = self._held, ""
        return rest
