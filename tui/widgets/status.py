"""The line under the prompt: what the engine does, how fast, and how much of context and memory it takes."""

from dataclasses import dataclass, field
from typing import Final

from rich.text import Text
from textual.widgets import Static

from deploy.engine.protocol import Done, Event, Loaded, Reading
from deploy.engine.protocol import Text as Piece
from deploy.fit.fit import gigabytes
from deploy.sources.base import Progress
from tui.rate import Rate
from tui.text import bar

GLYPHS: Final = {
    "idle": "○",
    "loading": "◌",
    "reading": "◌",
    "writing": "●",
    "done": "✓",
    "stopped": "■",
    "broken": "✗",
}
ENDINGS: Final = {"stop": "done", "cancelled": "stopped", "length": "done", "context": "done"}
REMARKS: Final = {
    "length": "cut off at the limit of one answer",
    "context": "the context is full: begin a new conversation",
}
CONTEXT_BAR: Final = 8
NEARLY_FULL: Final = 0.8


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
    done: Done | None = None
    rate: Rate = field(default_factory=Rate)

    def loading(self, progress: Progress) -> None:
        """A step of opening the model."""
        self.phase = "loading"
        share = progress.done_bytes / progress.total_bytes if progress.total_bytes else 0.0
        word = "checking its files" if progress.step == "verify" else "loading"
        self.detail = progress.text if progress.step == "note" else f"{word} {share:.0%}"

    def loaded(self, loaded: Loaded) -> None:
        """The model is there."""
        self.phase, self.detail = "idle", "ready"
        self.context_tokens = loaded.context_tokens
        self.engine_bytes = loaded.memory_bytes

    def asked(self, now_s: float) -> None:
        """A question was sent."""
        self.phase, self.detail = "reading", "reading the prompt"
        self.asked_s, self.first_s, self.done = now_s, None, None
        self.rate = Rate()

    def follow(self, event: Event, at_s: float) -> None:
        """One event of the answer."""
        match event:
            case Reading(done, total, _):
                self.phase, self.detail = "reading", f"reading the prompt {done:,}/{total:,}"
                self.used_tokens = done
            case Piece():
                self.first_s = at_s - self.asked_s if self.first_s is None else self.first_s
                self.phase = "writing"
                self.used_tokens += 1
                self.rate.tick(at_s)
            case Done(reason=reason, stats=stats):
                self.phase, self.detail = ENDINGS[reason], ""
                self.used_tokens = stats.prompt_tokens + stats.answer_tokens
                self.engine_bytes = stats.memory_bytes
                self.done = event
            case _:
                pass

    def broke(self) -> None:
        """The engine is gone."""
        self.phase, self.detail, self.engine_bytes = "broken", "the engine stopped", 0

    def line(self, now_s: float) -> Text:
        """All of it in one line; what matters least stands last, where a narrow terminal cuts."""
        parts = [self._activity(now_s)]
        if self.first_s is not None:
            parts.append(f"first {self.first_s:.2f} s")
        if self.context_tokens:
            share = self.used_tokens / self.context_tokens
            warning = "! " if share >= NEARLY_FULL else ""
            gauge = bar(share, CONTEXT_BAR)
            parts.append(f"{warning}context {gauge} {_tokens(self.used_tokens)}/{_tokens(self.context_tokens)}")
        if self.engine_bytes:
            parts.append(f"engine {gigabytes(self.engine_bytes)}")
        text = Text(" · ".join(parts), no_wrap=True, overflow="ellipsis")
        return Text.assemble((f" {GLYPHS[self.phase]} ", "bold"), text)

    def _activity(self, now_s: float) -> str:
        if self.phase == "writing":
            rate = self.rate.tok_s(now_s)
            return f"writing {rate:.0f} t/s" if rate is not None else "writing"
        if self.done is not None:
            return f"{self.phase} {self.done.stats.decode_tok_s:.1f} t/s"
        return self.detail or self.phase

    def closing(self) -> str:
        """What stands under a finished answer: the engine's own figures."""
        if self.done is None:
            return ""
        stats, reason = self.done.stats, self.done.reason
        figures = f"{stats.answer_tokens} tokens · {stats.decode_tok_s:.1f} t/s"
        first = "" if self.first_s is None else f" · first after {self.first_s:.2f} s"
        remark = f" · {REMARKS[reason]}" if reason in REMARKS else ""
        word = "■ stopped" if reason == "cancelled" else "✓"
        return f"{word} {figures}{first}{remark}"


class StatusLine(Static):
    """Shows the vitals."""

    def show(self, vitals: Vitals, now_s: float) -> None:
        """Draw them anew."""
        self.update(vitals.line(now_s))


def _tokens(count: int) -> str:
    return f"{count / 1000:.1f}k" if count >= 1000 else str(count)  # noqa: PLR2004 - thousands
