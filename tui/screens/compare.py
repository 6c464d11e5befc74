"""Two models side by side: the result of `landfast compare`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from deploy.commands.context import Context
from deploy.fit.fit import Workload
from deploy.quantities import gigabytes
from deploy.results import Problem, Result
from tui import text
from tui.command import CommandOver, begin
from tui.jobs import Job
from tui.keymap import bind, over_a_place
from tui.widgets.hints import Hints

if TYPE_CHECKING:
    from deploy.commands.compare import CompareData, Side
    from tui.app import LandfastApp

BETTER: Final = " ◀"
LEGEND: Final = "◀ the better value    ✓ measured, or stated by engine or catalogue    ~ estimated"


class CompareScreen(ModalScreen[None]):
    """One column a model, one line a property, then what differs in words."""

    HELP: ClassVar[str] = (
        "Both models on the same machine, for the same use. ◀ marks the better of two figures. Hard is memory "
        "that cannot be given back while the model is loaded; reclaimable is what the system may take and read again."
    )
    BINDINGS: ClassVar[list[BindingType]] = [bind("compare.leave", "dismiss"), *over_a_place()]
    app: "LandfastApp"

    def __init__(self, names: tuple[str, str], workload: Workload, machine: str | None) -> None:
        """Compare these two, here or on a simulated machine."""
        super().__init__()
        self._names = names
        self._workload = workload
        self._machine = machine
        self._job: Job[Any] | None = None

    @property
    def twin(self) -> str:
        """The same on the command line."""
        return f"landfast compare {' '.join(self._names)} --context {self._workload.context_tokens}"

    def compose(self) -> ComposeResult:
        """Lay out the box."""
        with VerticalScroll(id="compare-box") as box:
            box.border_title = f"Compare, SIMULATED: {self._machine}" if self._machine else "Compare"
            yield Static("Working it out …", id="compare-text")
        yield Hints()

    def on_mount(self) -> None:
        """Have it worked out."""
        self._job = begin(
            self,
            self.app.context,
            "compare",
            lambda own: _compare(own, self._names, self._workload, self._machine),
        )

    def on_unmount(self) -> None:
        """Nobody waits any more."""
        if self._job is not None:
            self._job.cancel()

    @on(CommandOver)
    def _compared(self, event: CommandOver) -> None:
        outcome: Result[CompareData] | Problem = event.outcome
        if isinstance(outcome, Problem):
            shown: RenderableType = Text.assemble(("✗ ", "bold"), f"{outcome.message} {outcome.hint}")
        else:
            shown = compared(outcome.data) if outcome.data is not None else Text("Nothing came back.")
        self.query_one("#compare-text", Static).update(shown)


def _compare(
    context: Context, names: tuple[str, str], workload: Workload, machine: str | None
) -> "Result[CompareData]":
    from deploy.commands.compare import compare
    from deploy.commands.machines import as_if_on

    return compare(context if machine is None else as_if_on(context, machine), names, workload)


def compared(data: "CompareData") -> RenderableType:
    """The table, then what differs."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    first, second = data.sides
    for _ in data.sides:
        table.add_column(ratio=1)
    table.add_row("", Text(text.harmless(first.plan.name), "bold"), Text(text.harmless(second.plan.name), "bold"))
    for label, one, other in _lines(first, second):
        table.add_row(label, one, other)
    differences = Text("\n".join(data.differences))
    return Group(table, Text(), differences, Text(f"\n{text.workload_words(data.workload)}\n{LEGEND}", "dim"))


def _lines(first: "Side", second: "Side") -> list[tuple[str, str, str]]:
    sides = (first, second)
    peaks = [side.plan.peak_bytes for side in sides]
    hard = [side.plan.hard_bytes for side in sides]
    speeds = [side.plan.speed.decode_tok_s.known for side in sides]
    points = [side.quality.known for side in sides]
    figures = (
        ("Fit", [text.VERDICTS[side.plan.verdict] for side in sides], [None, None]),
        ("Quality", [f"~{p:.1f} points" if p is not None else "unknown" for p in points], points),
        ("Writes", [text.speed(side.plan.speed.decode_tok_s) for side in sides], speeds),
        (
            "Peak",
            [f"{s.plan.memory.provenance.mark}{gigabytes(s.plan.peak_bytes)}" for s in sides],
            [-p for p in peaks],
        ),
        ("  hard", [gigabytes(count) for count in hard], [-count for count in hard]),
        ("  reclaimable", [gigabytes(p - h) for p, h in zip(peaks, hard, strict=True)], [None, None]),
        ("Goes into", [side.plan.pool for side in sides], [None, None]),
        ("Licence", [text.licence(side.plan.licence or "unknown") for side in sides], [None, None]),
        ("Publisher", [_publisher(side) for side in sides], [None, None]),
        ("Released", [(side.model.release_date if side.model else None) or "unknown" for side in sides], [None, None]),
        ("Parameters", [_parameters(side) for side in sides], [None, None]),
    )
    return [(label, *_marked(words, values)) for label, words, values in figures]


def _marked(words: Sequence[str], values: Sequence[float | None]) -> tuple[str, str]:
    """The words, with a mark at the greater value; none where they are equal or one is not known."""
    one, other = values
    if one is None or other is None or one == other:
        return words[0], words[1]
    return (words[0] + BETTER, words[1]) if one > other else (words[0], words[1] + BETTER)


def _publisher(side: "Side") -> str:
    return "unknown" if side.model is None else f"{side.model.publisher}, {side.model.country}"


def _parameters(side: "Side") -> str:
    return "unknown" if side.model is None else f"{side.model.parameters_total / 1e9:.1f} B"
