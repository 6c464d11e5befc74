"""An install as steps, worked out from the reports of the command: what is done, what runs, how fast, how long."""

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

from deploy.sources.base import Progress

StepName = Literal["reach", "download", "verify", "load"]
StepState = Literal["waiting", "running", "done", "failed", "stopped"]

ORDER: Final[tuple[StepName, ...]] = ("reach", "download", "verify", "load")
WHERE: Final[dict[str, StepName]] = {
    "reach": "reach",
    "download": "download",
    "unpack": "verify",
    "verify": "verify",
    "load": "load",
}
RATE_WINDOW_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the job."""

    name: StepName
    state: StepState
    text: str = ""
    """What is being done, in the words of the report."""
    done_bytes: int = 0
    total_bytes: int | None = None
    rate_bytes_s: float | None = None
    """None while too little has been seen."""

    @property
    def left_s(self) -> float | None:
        """Seconds until the step is over at this rate; None where that cannot be told."""
        if not self.rate_bytes_s or self.total_bytes is None:
            return None
        return max(0.0, (self.total_bytes - self.done_bytes) / self.rate_bytes_s)


class Steps:
    """Follows the reports of one job. Written by the job's thread, read by the screen: each write is one assignment."""

    def __init__(self, names: tuple[StepName, ...]) -> None:
        """Begin with the first step running."""
        self.rows: tuple[Step, ...] = tuple(Step(name, "running" if name == names[0] else "waiting") for name in names)
        self.note = ""
        """The last remark of the command, such as what it waits for."""
        self._samples: deque[tuple[float, int]] = deque()

    @property
    def current(self) -> int:
        """Index of the step that runs, or failed; the number of steps when all are done."""
        return next((index for index, row in enumerate(self.rows) if row.state != "done"), len(self.rows))

    def take(self, progress: Progress, now_s: float) -> None:
        """Follow one report. A job may go back a step, as when a file left from before turns out to be stale."""
        if progress.step == "note":
            self.note = progress.text
            return
        name = WHERE[progress.step]
        index = next((i for i, row in enumerate(self.rows) if row.name == name), None)
        if index is None:
            return
        if progress.text != self.rows[index].text:
            self._samples.clear()
        running = Step(
            name,
            "running",
            progress.text,
            progress.done_bytes,
            progress.total_bytes,
            self._rate(now_s, progress.done_bytes),
        )
        self._place(index, running)

    def end(self, state: Literal["done", "failed", "stopped"], upto: StepName | None = None) -> None:
        """Close the job: every step up to `upto` is done, or the running one failed or was stopped."""
        if state == "done":
            last = ORDER.index(upto or ORDER[-1])
            self.rows = tuple(_with(row, "done") if ORDER.index(row.name) <= last else row for row in self.rows)
        elif self.current < len(self.rows):
            self._place(self.current, _with(self.rows[self.current], state))

    def _place(self, index: int, step: Step) -> None:
        before = tuple(_with(row, "done") for row in self.rows[:index])
        after = tuple(_with(row, "waiting") for row in self.rows[index + 1 :])
        self.rows = (*before, step, *after)

    def _rate(self, now_s: float, done_bytes: int) -> float | None:
        samples = self._samples
        samples.append((now_s, done_bytes))
        while samples and now_s - samples[0][0] > RATE_WINDOW_S:
            samples.popleft()
        then_s, then_bytes = samples[0]
        elapsed_s = now_s - then_s
        return (done_bytes - then_bytes) / elapsed_s if elapsed_s > 0 and done_bytes > then_bytes else None


def _with(row: Step, state: StepState) -> Step:
    return Step(row.name, state, row.text, row.done_bytes, row.total_bytes, row.rate_bytes_s)
