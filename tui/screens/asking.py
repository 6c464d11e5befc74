"""How the model is asked: system prompt and sampling. An empty field takes what the model's makers recommend."""

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import msgspec
from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static, TextArea

from deploy.engine.protocol import Drawing, Sampling
from tui.keymap import bind, over_a_place
from tui.talk import SEEDS, Asking
from tui.widgets.hints import Hints
from tui.widgets.textfield import TextField


@dataclass(frozen=True, slots=True)
class Field:
    """One number that can be set."""

    name: str
    label: str
    about: str
    least: float
    most: float
    whole: bool = False

    def read(self, text: str) -> float | None:
        """The number, or None where nothing is written. Raises ValueError with a sentence."""
        if not text.strip():
            return None
        try:
            value = int(text) if self.whole else float(text.strip().replace(",", "."))
        except ValueError:
            value = float("nan")
        if not self.least <= value <= self.most:
            raise ValueError(f"{self.label} must be {self._range()}, or empty.")
        return value

    def _range(self) -> str:
        what = "a whole number" if self.whole else "a number"
        return f"{what} from {self.least:g} to {int(self.most):,}"


FIELDS: Final = (
    Field("temperature", "Temperature", "0 takes the likeliest word", 0, 5),
    Field("top_p", "Top-p", "share of likeliest words", 0, 1),
    Field("top_k", "Top-k", "likeliest words; 0 is all", 0, 1_000_000, whole=True),
    Field("min_p", "Min-p", "least share of the likeliest", 0, 1),
    Field("repeat_penalty", "Repeat penalty", "1 is none", 0.1, 10),
    Field("seed", "Seed", "same seed, same answer", 0, SEEDS, whole=True),
    Field("max_tokens", "Longest answer", "tokens, thinking included", 1, 1_000_000, whole=True),
)
OURS: Final = frozenset({"seed", "max_tokens"})


class SystemPrompt(TextArea):
    """Enter applies, as in the prompt; Alt+Enter, Shift+Enter or Ctrl+J begin a new line."""

    BINDINGS: ClassVar[list[BindingType]] = [bind("settings.newline", "newline")]

    def on_mount(self) -> None:
        """Let nothing blink."""
        self.cursor_blink = False

    def action_newline(self) -> None:
        """Begin a new line."""
        self.insert("\n")

    def on_key(self, event: events.Key) -> None:
        """Leave Enter and Escape to the dialog."""
        if event.key in {"enter", "escape"}:
            event.prevent_default()


class NumberInput(TextField):
    """The field for one number."""

    BINDINGS: ClassVar[list[BindingType]] = [bind("settings.apply", "submit")]


class AskingScreen(ModalScreen[tuple[str, Asking] | None]):
    """The dialog. It gives the system prompt and the rest, or None when it was left."""

    HELP: ClassVar[str] = (
        "These settings hold from the next message on, and for this run of Landfast. An empty field takes what the "
        "makers of the model recommend. The same seed gives the same conversation the same answer, unless other "
        "programs take cores from it."
    )
    twin = "landfast chat --system TEXT --temperature NUMBER --seed NUMBER"
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("settings.apply", "apply"),
        bind("settings.next", "app.focus_next"),
        bind("settings.leave", "dismiss(None)"),
        *over_a_place(),
    ]

    def __init__(self, system: str, asking: Asking, recommended: Drawing | None, *, on_system: bool) -> None:
        """Show what holds now; begin in the system prompt or in the numbers."""
        super().__init__()
        self._system = system
        self._asking = asking
        self._recommended = recommended
        self._on_system = on_system

    def compose(self) -> ComposeResult:
        """The system prompt, a line for each number, and the keys."""
        with VerticalScroll(classes="dialog", can_focus=False) as box:
            box.border_title = "How the model is asked"
            yield Static("System prompt: who the model is to be, and how it is to answer", classes="label")
            yield SystemPrompt(
                self._system, id="system", compact=True, tab_behavior="focus", highlight_cursor_line=False
            )
            for field in FIELDS:
                with Horizontal(classes="field"):
                    yield Static(field.label, classes="name")
                    yield NumberInput(self._value(field), placeholder=self._default(field), id=field.name, compact=True)
                    yield Static(field.about, classes="about")
            yield Static("", classes="problem", markup=False)
        yield Hints()

    def on_mount(self) -> None:
        """Begin where the key says."""
        self.query_one("#system" if self._on_system else "#temperature").focus()

    @on(Input.Submitted)
    def action_apply(self) -> None:
        """Give what stands in the fields, or say what is wrong with one."""
        try:
            found: dict[str, Any] = {field.name: field.read(self._input(field).value) for field in FIELDS}
        except ValueError as error:
            self.query_one(".problem", Static).update(f"✗ {error}")
            return
        seed, longest = found.pop("seed"), found.pop("max_tokens")
        asking = Asking(Sampling(**found), seed, longest or Asking().max_tokens)
        self.dismiss((self.query_one(SystemPrompt).text.strip(), asking))

    def _input(self, field: Field) -> Input:
        return self.query_one(f"#{field.name}", Input)

    def _value(self, field: Field) -> str:
        held = msgspec.structs.asdict(self._asking.sampling)
        held |= {"seed": self._asking.seed, "max_tokens": self._asking.max_tokens}
        value = held[field.name]
        return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)

    def _default(self, field: Field) -> str:
        if field.name == "seed":
            return "new each time"
        if field.name in OURS or self._recommended is None:
            return "recommended"
        return f"{getattr(self._recommended, field.name):g} recommended"
