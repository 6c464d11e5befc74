"""The line under the prompt: what the engine does, how fast, and how much of context and memory it takes."""

from dataclasses import dataclass, field
from typing import Final

from textual import events
from textual.content import Content
from textual.widgets import Static

from deploy.engine.protocol import Done, Event, Loaded, Reading, Thinking
from deploy.engine.protocol import Text as Piece
from deploy.quantities import gigabytes
from deploy.sources.base import Progress
from tui.rate import Rate
from tui.text import bar

GLYPHS: Final = {
    "idle": "○",
    "loading": "◌",
    "reading": "◌",
    "thinking": "◍",
    "writing": "●",
    "done": "✓",
    "stopped": "■",
    "broken": "✗",
}
ENDINGS: Final = {"stop": "done", "cancelled": "stopped", "length": "done", "context": "done"}
REMARKS: Final = {
    "length": "cut off at the limit of one answer (F7 changes it)",
    "context": "cut off: the context is full",
}
NEARLY_FULL: Final = 0.8
BARS: Final = (10, 6, 4, 0)
"""Widths of the gauges, the widest first; the line takes the first that fits."""
GAP: Final = "   "


@dataclass
class Vitals:
    """What is known of the engine and of the answer under way. It follows the events."""

    phase: str = "idle"
    detail: str = ""
    asked_s: float = 0.0
    first_s: float | None = None
    used_tokens: int = 0
    context_tokens: int = 0
    engine_bytes: int = 0
    room_bytes: int = 0
    """What the engine may take of the memory that it lies in."""
    done: Done | None = None
    rate: Rate = field(default_factory=Rate)

    def loading(self, progress: Progress) -> None:
        """A step of opening the model."""
        self.phase = "loading"
        share = progress.done_bytes / progress.total_bytes if progress.total_bytes else 0.0
        word = "checking its files" if progress.step == "verify" else "loading"
        self.detail = progress.text if progress.step == "note" else f"{word} {share:.0%}"

    def loaded(self, loaded: Loaded, room_bytes: int) -> None:
        """The model is there."""
        self.phase, self.detail = "idle", "ready"
        self.context_tokens = loaded.context_tokens
        self.engine_bytes = loaded.memory_bytes
        self.room_bytes = room_bytes

    def asked(self, now_s: float) -> None:
        """A question was sent."""
        self.phase, self.detail = "reading", "reading the prompt"
        self.asked_s, self.first_s, self.done = now_s, None, None
        self.rate = Rate()

    def follow(self, event: Event, at_s: float) -> None:
        """One event of the answer."""
        match event:
            case Reading(done, total, reused):
                kept = f", {reused:,} kept" if reused else ""
                self.phase, self.detail = "reading", f"reading the prompt {done:,}/{total:,}{kept}"
                self.used_tokens = done
            case Piece() | Thinking():
                self.first_s = at_s - self.asked_s if self.first_s is None else self.first_s
                self.phase = "writing" if isinstance(event, Piece) else "thinking"
                self.used_tokens += event.tokens
                self.rate.tick(at_s, event.tokens)
            case Done(reason=reason, stats=stats):
                self.phase, self.detail = ENDINGS[reason], ""
                self.used_tokens = stats.prompt_tokens + stats.answer_tokens
                self.engine_bytes = stats.memory_bytes
                self.done = event
            case _:
                pass

    def given_up(self) -> None:
        """The load was stopped."""
        self.phase, self.detail, self.engine_bytes = "stopped", "no model is loaded; a message loads it", 0
        self.first_s = self.done = None

    def broke(self, what: str) -> None:
        """There is no engine any more, or none yet."""
        self.phase, self.detail, self.engine_bytes = "broken", what, 0
        self.first_s = self.done = None

    def rested(self) -> None:
        """Nothing is asked, or what was asked was not taken."""
        self.phase, self.detail = "idle", "ready"
        self.first_s = self.done = None

    @property
    def is_nearly_full(self) -> bool:
        """Whether little of the context is left."""
        return bool(self.context_tokens) and self.used_tokens / self.context_tokens >= NEARLY_FULL

    def line(self, now_s: float, width: int) -> Content:
        """All of it in one line, with gauges as wide as there is room for; what matters least stands last."""
        lines = [_joined(self._parts(now_s, gauge), GAP if gauge else "  ") for gauge in BARS]
        parts = self._parts(now_s, 0)
        lines += [_joined(parts[:count], "  ") for count in range(len(parts) - 1, 0, -1)]
        return next((line for line in lines if line.cell_length <= width), lines[-1])

    def _parts(self, now_s: float, gauge: int) -> list[Content]:
        parts = [Content.assemble((f" {GLYPHS[self.phase]} ", "bold"), self._activity(now_s))]
        if self.first_s is not None:
            parts.append(Content(f"first {self.first_s:.2f} s"))
        if self.context_tokens:
            parts.append(self._context(gauge))
        if self.engine_bytes:
            parts.append(self._memory(gauge))
        return parts

    def _context(self, gauge: int) -> Content:
        shown = f"context {_gauge(self.used_tokens, self.context_tokens, gauge)}"
        amount = f"{shown}{_tokens(self.used_tokens)}/{_tokens(self.context_tokens)}"
        return Content.styled(f"! {amount}", "$text-warning") if self.is_nearly_full else Content(amount)

    def _memory(self, gauge: int) -> Content:
        """What the process holds; the weights of a mapped model are part of it."""
        taken = gigabytes(self.engine_bytes)
        if not self.room_bytes:
            return Content(f"memory {taken}")
        room = gigabytes(self.room_bytes)
        number, unit = taken.split()
        taken = number if unit == room.split()[1] else taken
        return Content(f"memory {_gauge(self.engine_bytes, self.room_bytes, gauge)}{taken}/{room}")

    def _activity(self, now_s: float) -> str:
        if self.phase in {"writing", "thinking"}:
            rate = self.rate.tok_s(now_s)
            return f"{self.phase} {rate:.0f} tok/s" if rate is not None else self.phase
        if self.done is not None:
            return f"{self.phase} {self.done.stats.decode_tok_s:.1f} tok/s"
        return self.detail or self.phase

    def closing(self) -> str:
        """What stands under a finished answer: the engine's own figures."""
        if self.done is None:
            return ""
        stats, reason = self.done.stats, self.done.reason
        tokens = "1 token" if stats.answer_tokens == 1 else f"{stats.answer_tokens:,} tokens"
        figures = f"{tokens} · {stats.decode_tok_s:.1f} tok/s"
        first = "" if self.first_s is None else f" · first after {self.first_s:.2f} s"
        remark = f" · {REMARKS[reason]}" if reason in REMARKS else ""
        word = "■ stopped ·" if reason == "cancelled" else "✓"
        return f"{word} {figures}{first}{remark}"


class StatusLine(Static):
    """Shows the vitals."""

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__(id="status")
        self._shown: tuple[Vitals, float] | None = None

    def show(self, vitals: Vitals, now_s: float) -> None:
        """Draw them anew."""
        self._shown = (vitals, now_s)
        self.update(vitals.line(now_s, self.size.width or self.app.size.width), layout=False)

    def on_resize(self, _: events.Resize) -> None:
        """Use the new width."""
        if self._shown is not None:
            self.show(*self._shown)


def _joined(parts: list[Content], gap: str) -> Content:
    return Content(gap).join(parts)


def _gauge(part: int, whole: int, width: int) -> str:
    return f"{bar(part / whole, width)} " if width else ""


def _tokens(count: int) -> str:
    return f"{count / 1000:.1f}k" if count >= 1000 else str(count)  # noqa: PLR2004 - thousands
