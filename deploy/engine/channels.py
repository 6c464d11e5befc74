"""What a model says to itself, kept apart from its answer, as its chat template marks it.

Works on text as it streams: a mark may be spread over several tokens, and is never shown.
"""

from typing import Final, Literal, NamedTuple, Protocol


class Piece(NamedTuple):
    """Text of one of the two channels."""

    text: str
    thinking: bool


class Marks(NamedTuple):
    """What stands around the reasoning at the beginning of an answer."""

    opens: str
    closes: str


TAGS: Final = (
    Marks("<think>", "</think>"),
    Marks("[THINK]", "[/THINK]"),
    Marks("<|channel>thought\n", "<channel|>"),
    Marks("<|START_THINKING|>", "<|END_THINKING|>"),
    Marks("<|inner_prefix|>", "<|inner_suffix|>"),
    Marks("<seed:think>", "</seed:think>"),
    Marks("◁think▷", "◁/think▷"),
    Marks("<thought>", "</thought>"),
)
"""In this order: most families, Mistral, Gemma, Cohere, Apertus, Seed, Kimi, EXAONE."""
START: Final = "<|start|>"
CHANNEL: Final = "<|channel|>"
MESSAGE: Final = "<|message|>"
END: Final = "<|end|>"
HARMONY: Final = (START, CHANNEL, MESSAGE, END)
"""Messages with a header that names their channel (gpt-oss)."""
FINAL: Final = "final"

Format = Marks | Literal["harmony"]


class Splitter(Protocol):
    """Tells the channels of one answer apart."""

    @property
    def answering(self) -> bool:
        """Whether what comes next belongs to the answer for certain."""
        ...

    def feed(self, text: str) -> list[Piece]:
        """Take the next text; give back what is clear by now."""
        ...

    def finish(self) -> list[Piece]:
        """Give back what was held, at the end."""
        ...


def format_of(template: str) -> Format | None:
    """How a chat template marks reasoning; None where it knows of none."""
    if CHANNEL in template and MESSAGE in template:
        return "harmony"
    return next((marks for marks in TAGS if marks.closes in template or marks.opens.strip() in template), None)


def marks_of(found: Format | None) -> tuple[str, ...]:
    """All marks of a format; those that are control tokens must be read as text."""
    if found is None:
        return ()
    return HARMONY if found == "harmony" else (found.opens.strip(), found.closes)


def splitter_of(found: Format | None, prompt: str, *, answer_only: bool = False) -> Splitter:
    """A splitter for the answer to a prompt, which may have opened or closed the reasoning itself.

    With `answer_only` reasoning is not expected unless the prompt has opened it.
    """
    if found is None:
        return Tagged(TAGS[0], "answer")
    if found == "harmony":
        return Harmony(answering=prompt.endswith(f"{CHANNEL}{FINAL}{MESSAGE}"))
    end = prompt.rstrip()
    if end.endswith(found.opens.rstrip()):
        return Tagged(found, "thinking")
    return Tagged(found, "answer" if answer_only or end.endswith(found.closes) else "open")


def held_back(text: str, marks: tuple[str, ...]) -> int:
    """How many characters at the end may be the beginning of a mark."""
    longest = max((len(mark) - 1 for mark in marks), default=0)
    for length in range(min(longest, len(text)), 0, -1):
        if any(mark.startswith(text[-length:]) for mark in marks):
            return length
    return 0


class Tagged:
    """Reasoning at the beginning, between two tags. Tags further on are part of the answer: it may speak of them."""

    def __init__(self, marks: Marks, state: Literal["open", "thinking", "answer"]) -> None:
        """Begin where it is open what comes, in the middle of the reasoning, or with the answer."""
        self._marks = marks
        self._state = state
        self._held = ""
        self._at_start = state == "thinking"
        """Whether white space that comes next only sets a channel off from its mark."""

    @property
    def answering(self) -> bool:
        """Whether the reasoning is over, or there is none."""
        return self._state == "answer"

    def feed(self, text: str) -> list[Piece]:
        """Take the next text."""
        self._held += text
        return [piece for piece in self._pieces() if piece.text]

    def finish(self) -> list[Piece]:
        """Give back what was held."""
        held, self._held = self._held, ""
        return [Piece(held, self._state == "thinking")] if held else []

    def _pieces(self) -> list[Piece]:
        if self._state == "open":
            self._decide()
        pieces = []
        if self._state == "thinking":
            pieces.append(Piece(self._thought(), thinking=True))
        if self._state == "answer":
            pieces.append(Piece(self._take(len(self._held)), thinking=False))
        return pieces

    def _decide(self) -> None:
        begun = self._held.lstrip()
        if begun.startswith(self._marks.opens):
            self._held = begun[len(self._marks.opens) :]
            self._state, self._at_start = "thinking", True
        elif not self._marks.opens.startswith(begun):
            self._state = "answer"

    def _thought(self) -> str:
        end = self._held.find(self._marks.closes)
        if end < 0:
            return self._take(len(self._held) - held_back(self._held, (self._marks.closes,)))
        thought = self._take(end)
        self._held = self._held[len(self._marks.closes) :]
        self._state, self._at_start = "answer", True
        return thought

    def _take(self, length: int) -> str:
        taken, self._held = self._held[:length], self._held[length:]
        if self._at_start:
            taken = taken.lstrip()
            self._at_start = not taken
        return taken


class Harmony:
    """Messages one after another, each with a channel in its header. All but the final one are reasoning."""

    def __init__(self, *, answering: bool = False) -> None:
        """Begin in a header, or in the final message where the prompt has opened it."""
        self._in_header = not answering
        self._channel = FINAL
        self._held = ""
        self._thought = False
        self._fresh = True

    @property
    def answering(self) -> bool:
        """Whether the final message has begun."""
        return not self._in_header and self._channel == FINAL

    def feed(self, text: str) -> list[Piece]:
        """Take the next text."""
        self._held += text
        pieces: list[Piece] = []
        while self._step(pieces):
            pass
        return [piece for piece in pieces if piece.text]

    def finish(self) -> list[Piece]:
        """Give back what was held; an unfinished header is nobody's text."""
        held, self._held = self._held, ""
        return [] if self._in_header or not held else [self._piece(held)]

    def _step(self, pieces: list[Piece]) -> bool:
        """Go on to the next mark. False when more text is needed for it."""
        if self._in_header:
            return self._header()
        marks = (START, CHANNEL, END)
        found = [at for mark in marks if (at := self._held.find(mark)) >= 0]
        cut = min(found) if found else len(self._held) - held_back(self._held, marks)
        text, self._held = self._held[:cut], self._held[cut:]
        if text:
            pieces.append(self._piece(text))
        self._in_header = bool(found)
        return self._in_header

    def _header(self) -> bool:
        if not any(_may_begin(self._held.lstrip(), mark) for mark in HARMONY):
            self._in_header, self._channel = False, FINAL  # a model that was trained to do without
            return True
        header, mark, rest = self._held.partition(MESSAGE)
        if not mark:
            return False
        self._held = rest
        self._in_header, self._fresh = False, True
        named = header.rpartition(CHANNEL)[2] if CHANNEL in header else FINAL
        self._channel = (named.split() or [FINAL])[0].partition("<")[0]
        return True

    def _piece(self, text: str) -> Piece:
        thinking = self._channel != FINAL
        gap = "\n\n" if thinking and self._fresh and self._thought else ""
        self._thought = self._thought or thinking
        self._fresh = False
        return Piece(gap + text, thinking)


def _may_begin(text: str, mark: str) -> bool:
    return text.startswith(mark) or mark.startswith(text)
