"""The rules in force and what they refuse, the seal and its audit, the journal and its chain."""

from typing import TYPE_CHECKING, Any, ClassVar, Final

from rich.console import RenderableType
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, VerticalScroll
from textual.screen import Screen
from textual.widgets import DataTable, Static

from deploy.commands.context import Context
from deploy.results import Problem
from deploy.sources.base import Progress
from tui.command import CommandOver, begin
from tui.jobs import Job
from tui.keymap import bind, places
from tui.policylook import PolicyLook, look_at_policy
from tui.widgets.hints import Hints
from tui.widgets.policytext import Line, lines_of, summary_of
from tui.widgets.topbar import TopBar

if TYPE_CHECKING:
    from tui.app import LandfastApp

COLUMNS: Final = (("rule", "Rule", 18), ("value", "Value", 60), ("effect", "Today", 18))
"""Field, heading and most width; the value takes what is left."""
LEAST: Final = 8
BREAKPOINTS: Final = [(0, "-narrow"), (130, "-very-wide")]
AUDITING: Final = "The audit runs: "


class PolicyTable(DataTable[Text]):
    """One line a rule, then the seal, then the journal."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bind("policy.details", "screen.details"),
        bind("policy.down", "cursor_down"),
        bind("policy.up", "cursor_up"),
    ]

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__(cursor_type="row", id="rules", cell_padding=1)
        self._lines: tuple[Line, ...] = ()

    @property
    def current(self) -> Line | None:
        """The line under the cursor."""
        return self._lines[self.cursor_row] if self.cursor_row < len(self._lines) else None

    def fill(self, lines: tuple[Line, ...]) -> None:
        """Show these lines; the cursor stays on its line."""
        self._lines = lines
        self._rebuild()

    def go_to(self, name: str) -> None:
        """Put the cursor on a line."""
        names = [line.name for line in self._lines]
        if name in names:
            self.move_cursor(row=names.index(name))

    def on_resize(self) -> None:
        """Fit the columns to the new width."""
        self._rebuild()

    def _rebuild(self) -> None:
        shape = _shape(self.size.width or self.app.size.width)
        at = self.cursor_row
        with self.prevent(DataTable.RowHighlighted):
            self.clear(columns=True)
            for key, label, width in shape:
                self.add_column(label, key=key, width=width)
            for line in self._lines:
                self.add_row(*(_cell(line, key, width) for key, _, width in shape), key=line.name)
            self.move_cursor(row=min(at, max(0, len(self._lines) - 1)))


class Details(VerticalScroll):
    """All that stands behind a line."""

    BINDINGS: ClassVar[list[BindingType]] = [bind("policy.leave", "screen.focus_list")]


class PolicyScreen(Screen[None]):
    """Lines above or beside their details. Nothing here changes a rule: the policy is a file."""

    AUTO_FOCUS = "#rules"
    HORIZONTAL_BREAKPOINTS = BREAKPOINTS
    HELP: ClassVar[str] = (
        "Which rules are in force, from which file, and how many forms of models each of them refuses. The seal is "
        "what the engine process gives up before it reads a model; the audit attacks it from inside on this machine "
        "and signs what happened. The journal is a chain: a line that is changed or removed is found. Nothing "
        "here changes a rule."
    )
    twin = "landfast policy check   landfast audit   landfast journal verify"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("policy.audit", "audit"),
        bind("policy.verify", "verify"),
        bind("policy.check", "check"),
        bind("policy.refresh", "refresh_all"),
        *places(),
    ]
    app: "LandfastApp"

    def __init__(self) -> None:
        """Begin without data."""
        super().__init__()
        self._file: str | None = None
        self._jobs: dict[str, Job[Any]] = {}

    def compose(self) -> ComposeResult:
        """Lay out the place."""
        yield TopBar("policy")
        yield Static("Reading the rules …", id="policy-summary", markup=False)
        with Container(id="policy-body"):
            yield PolicyTable()
            with Details(id="policy-details"):
                yield Static(id="policy-text")
        yield Hints()

    def on_mount(self) -> None:
        """Read the rules."""
        self.action_refresh_all()

    def on_unmount(self) -> None:
        """Stop what runs for this screen."""
        for job in self._jobs.values():
            job.cancel()

    def _begin(self, what: str, work: Any) -> None:
        if what in self._jobs:
            self._jobs[what].cancel()
        self._jobs[what] = begin(self, self.app.context, what, work, self._heard)

    def _heard(self, progress: Progress) -> None:
        """In the job's thread."""
        if progress.step == "verify":
            self.post_message(CommandOver("progress", progress.text))

    @on(CommandOver)
    def _over(self, event: CommandOver) -> None:
        if event.what == "progress":
            self._say(f"▸ {AUDITING}{event.outcome} …")
        elif event.what == "look":
            self._looked(event.outcome)
        else:
            self._audited(event.outcome)

    def _looked(self, outcome: PolicyLook | Problem) -> None:
        if isinstance(outcome, Problem):
            self._say(f"✗ {outcome.message} {outcome.hint}")
            self._file = None
            return
        self._say(summary_of(outcome))
        self.query_one(PolicyTable).fill(lines_of(outcome))
        self._explain()

    def _audited(self, outcome: Any) -> None:
        del self._jobs["audit"]
        if isinstance(outcome, Problem):
            self._say(f"✗ {outcome.message} {outcome.hint}")
            return
        problem = outcome.errors[0].message if outcome.errors else ""
        self.notify(
            problem or "Every attack failed, and nothing was received.",
            title="The seal does not hold" if problem else "The seal holds",
            severity="error" if problem else "information",
            markup=False,
        )
        self.action_refresh_all()
        self.query_one(PolicyTable).go_to("seal")

    def _say(self, text: str) -> None:
        self.query_one("#policy-summary", Static).update(text)

    @on(DataTable.RowHighlighted)
    def _moved(self) -> None:
        self._explain()

    def _explain(self) -> None:
        current = self.query_one(PolicyTable).current
        shown: RenderableType = current.details if current is not None else Text("")
        self.query_one("#policy-text", Static).update(shown)
        self.query_one("#policy-details").scroll_home(animate=False)

    def action_details(self) -> None:
        """Go to the details, so that the arrows scroll them."""
        self.query_one(Details).focus()

    def action_focus_list(self) -> None:
        """Go to the list."""
        self.query_one(PolicyTable).focus()

    def action_refresh_all(self) -> None:
        """Read the rules and the journal again."""
        file = self._file
        self._begin("look", lambda context: look_at_policy(context, file))

    def action_verify(self) -> None:
        """Follow the chain of the journal again, and show it."""
        self.action_refresh_all()
        self.query_one(PolicyTable).go_to("journal")

    def action_audit(self) -> None:
        """Attack the engine."""
        if "audit" not in self._jobs:
            self._say(f"▸ {AUDITING}starting …")
            self._begin("audit", _audit)
            self.query_one(PolicyTable).go_to("seal")

    def action_check(self) -> None:
        """Ask for a policy file, and show what it would take away."""
        from tui.screens.ask import AskScreen

        question = "Which file? Nothing comes into force. Leave it empty to see the rules in force again."
        asked = AskScreen("Test a policy file", question, "path of a policy file", "landfast policy check FILE")
        self.app.push_screen(asked, self._checked)

    def _checked(self, file: str | None) -> None:
        self._file = file
        self.action_refresh_all()


def _audit(context: Context) -> Any:
    from deploy.commands.audit import AuditRequest, audit

    return audit(context, AuditRequest())


def _shape(width: int) -> tuple[tuple[str, str, int], ...]:
    """Widths that fit: the value takes what is left."""
    room = width - 2 * len(COLUMNS) - 2
    widths = {key: most for key, _, most in COLUMNS}
    widths["value"] = max(LEAST, min(widths["value"], room - widths["rule"] - widths["effect"]))
    return tuple((key, label, widths[key]) for key, label, _ in COLUMNS)


def _cell(line: Line, key: str, width: int) -> Text:
    cell = Text(str(getattr(line, key)), "bold" if key == "rule" else "", no_wrap=True, overflow="ellipsis")
    cell.truncate(width, overflow="ellipsis")
    return cell
