"""Steps, rates and amounts: what the progress of a job and the memory of a plan read as."""

from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from deploy.sources.base import Progress
from tui.rate import Rate
from tui.steps import ORDER, Steps
from tui.text import bar, duration, harmless
from tui.widgets.why import amounts


def progress(
    step: Literal["reach", "download", "unpack", "verify", "load", "note"], done: int = 0, total: int | None = None
) -> Progress:
    """A report of one step."""
    return Progress(step=step, text=step, done_bytes=done, total_bytes=total)


def states(steps: Steps) -> list[str]:
    """The states of all steps, in order."""
    return [row.state for row in steps.rows]


def test_a_later_step_ends_the_earlier_ones() -> None:
    """A source that reports only its download has found what it downloads."""
    steps = Steps(ORDER)
    steps.take(progress("download", 1, 10), 0.0)
    assert states(steps) == ["done", "running", "waiting", "waiting"]


def test_a_job_may_go_back_a_step() -> None:
    """A stale file is verified, then fetched again."""
    steps = Steps(ORDER)
    steps.take(progress("verify", 5, 10), 0.0)
    steps.take(progress("download", 1, 10), 1.0)
    assert states(steps) == ["done", "running", "waiting", "waiting"]


def test_rate_and_time_left_come_from_the_last_seconds() -> None:
    """Ten bytes in two seconds are five a second; forty are left."""
    steps = Steps(ORDER)
    steps.take(progress("download", 50, 100), 0.0)
    first = steps.rows[1]
    assert first.rate_bytes_s is None
    steps.take(progress("download", 60, 100), 2.0)
    second = steps.rows[1]
    assert (second.rate_bytes_s, second.left_s) == (5.0, 8.0)


def test_time_left_is_unknown_without_a_total() -> None:
    """A source that does not say how much comes promises no end."""
    steps = Steps(ORDER)
    steps.take(progress("download", 0), 0.0)
    steps.take(progress("download", 10), 1.0)
    assert steps.rows[1].left_s is None


def test_a_failed_job_marks_the_step_that_ran() -> None:
    """What was done stays done, and what comes after is still to come."""
    steps = Steps(ORDER)
    steps.take(progress("download", 1, 10), 0.0)
    steps.end("failed")
    assert states(steps) == ["done", "failed", "waiting", "waiting"]


def test_a_remark_is_no_step() -> None:
    """Waiting for another process changes no state."""
    steps = Steps(ORDER)
    steps.take(progress("note"), 0.0)
    assert steps.note == "note"
    assert states(steps)[0] == "running"


def test_the_rate_of_tokens_is_that_of_the_last_two_seconds() -> None:
    """Sixty a second now, whatever it was before."""
    rate = Rate()
    rate.tick(0.0)
    for index in range(121):
        rate.tick(10 + index / 60)
    assert round(rate.tok_s(12.0) or 0) == 60
    assert rate.count == 122


def test_a_stall_lowers_the_rate() -> None:
    """Tokens that stopped coming are not shown as speed."""
    rate = Rate()
    for index in range(10):
        rate.tick(index / 10)
    assert (rate.tok_s(0.9) or 0) > (rate.tok_s(1.9) or 0)
    assert rate.tok_s(9.0) is None


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=8))
def test_amounts_that_are_shown_add_up(parts: list[int]) -> None:
    """Whoever adds the terms gets the total that stands below them."""
    *shown, total = [float(amount.split()[0].replace(",", "")) for amount in amounts(parts)]
    assert abs(sum(shown) - total) < 1e-6 * max(1.0, total)


@given(st.floats(0, 5), st.integers(1, 40))
def test_a_bar_keeps_its_width(share: float, width: int) -> None:
    """Nothing overflows, and a little is never shown as nothing."""
    assert len(bar(share, width)) == width
    assert (bar(share, width)[0] == "█") == (share > 0)


def test_foreign_text_cannot_steer_the_terminal() -> None:
    """Escape sequences and line separators become marks; tabs and line ends stay."""
    assert harmless("a\x1b]52;c;x\x07b\u2028c\td\n") == "a\ufffd]52;c;x\ufffdb\ufffdc\td\n"


def test_durations_read_as_people_say_them() -> None:
    """Seconds, minutes, hours."""
    assert [duration(seconds) for seconds in (7, 75, 7260)] == ["7 s", "1 min 15 s", "2 h 1 min"]
