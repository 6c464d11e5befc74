"""What a model is wanted for, and which rows the list shows: one line a wish, left and right change it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, get_args

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from deploy.fit.fit import Workload
from deploy.fit.suit import Purpose
from tui.keymap import bind, over_a_place
from tui.rows import Narrowing, Row, Shown
from tui.widgets.hints import Hints

ANY: Final = "any"
CONTEXTS: Final = tuple(1024 * count for count in (2, 4, 8, 16, 32, 64, 128))
SPEEDS: Final = (0.0, 3.0, 6.0, 10.0, 20.0, 40.0)
LANGUAGES: Final = (None, "en", "de", "fr", "es", "it", "pt", "nl", "pl", "ru", "zh", "ja", "ko", "ar", "hi")
USERS: Final = (1, 2, 4, 8, 16)
SHOWN: Final[dict[Shown, str]] = {"fits": "what fits", "all": "everything", "installed": "what is installed"}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the choice rests on, and what of it is in sight."""

    workload: Workload
    narrowing: Narrowing


@dataclass(frozen=True, slots=True)
class Wish:
    """One line: its name, what can be chosen, and how each choice reads."""

    name: str
    choices: tuple[Any, ...]
    words: tuple[str, ...]
    note: str = ""


class WishesScreen(ModalScreen[Wishes | None]):
    """Wishes about the model above, wishes about the list below."""

    HELP: ClassVar[str] = (
        "The first lines say what the model is wanted for: memory, speed and the order of the list are worked out "
        "again for them. The last lines only choose what the list shows. Left and right change a line."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("wishes.apply", "apply"),
        bind("wishes.leave", "dismiss"),
        bind("wishes.before", "turn(-1)"),
        bind("wishes.next", "turn(1)"),
        bind("wishes.down", "move(1)"),
        bind("wishes.up", "move(-1)"),
        *over_a_place(),
    ]

    def __init__(self, now: Wishes, rows: Sequence[Row]) -> None:
        """Begin with what holds; publishers and licences are those of the rows."""
        super().__init__()
        self._now = now
        self._wishes = _wishes(now, rows)
        self._chosen = [wish.choices.index(value) for wish, value in zip(self._wishes, _values(now), strict=True)]
        self._at = 0

    @property
    def twin(self) -> str:
        """The same on the command line."""
        wanted = self._outcome().workload
        language = f" --language {wanted.language}" if wanted.language else ""
        return (
            f"landfast select --for {wanted.purpose}{language} --context {wanted.context_tokens} "
            f"--min-speed {wanted.min_decode_tok_s:g} --users {wanted.users}"
        )

    def compose(self) -> ComposeResult:
        """Lay out the box."""
        with VerticalScroll(id="wishes-box", can_focus=False) as box:
            box.border_title = "Filters"
            yield Static(id="wishes-text")
        yield Hints()

    def on_mount(self) -> None:
        """Show the lines."""
        self._show()

    def action_move(self, step: int) -> None:
        """Go to the next line or the one before."""
        self._at = (self._at + step) % len(self._wishes)
        self._show()

    def action_turn(self, step: int) -> None:
        """Take the next choice or the one before."""
        self._chosen[self._at] = (self._chosen[self._at] + step) % len(self._wishes[self._at].choices)
        self._show()

    def action_apply(self) -> None:
        """Close with the choices."""
        self.dismiss(self._outcome())

    def _outcome(self) -> Wishes:
        purpose, language, context, speed, users, show, publisher, licence = (
            wish.choices[at] for wish, at in zip(self._wishes, self._chosen, strict=True)
        )
        workload = Workload(
            purpose=purpose, language=language, context_tokens=context, min_decode_tok_s=speed, users=users
        )
        return Wishes(workload, Narrowing(self._now.narrowing.words, show, publisher, licence))

    def _show(self) -> None:
        text = Text()
        for index, (wish, at) in enumerate(zip(self._wishes, self._chosen, strict=True)):
            here = index == self._at
            value = f"< {wish.words[at]} >" if here else f"  {wish.words[at]}"
            text.append(f"{'▸' if here else ' '} {wish.name:<12}", "bold" if here else "dim")
            text.append(value, "bold" if here else "")
            text.append(f"   {at + 1} of {len(wish.choices)}\n" if here else "\n", "dim")
            if wish.note:
                text.append(f"\n  {wish.note}\n", "dim")
        self.query_one("#wishes-text", Static).update(text)


def _values(now: Wishes) -> tuple[Any, ...]:
    wanted, narrowing = now.workload, now.narrowing
    above = (wanted.purpose, wanted.language, wanted.context_tokens, wanted.min_decode_tok_s, wanted.users)
    return (*above, narrowing.show, narrowing.publisher, narrowing.licence)


def _wishes(now: Wishes, rows: Sequence[Row]) -> tuple[Wish, ...]:
    """The lines, each with what holds now among its choices."""
    purpose, language, context, speed, users, _, publisher, licence = _values(now)
    purposes = _with(get_args(Purpose), purpose)
    contexts, speeds, crowds = _with(CONTEXTS, context), _with(SPEEDS, speed), _with(USERS, users)
    return (
        Wish("Use", purposes, purposes),
        _optional("Language", _with(LANGUAGES, language)),
        Wish("Context", contexts, tuple(f"{count:,} tokens" for count in contexts)),
        Wish("Speed", speeds, tuple(f"{rate:g} tok/s or more" if rate else ANY for rate in speeds)),
        Wish("Users", crowds, tuple(f"{count} at once" for count in crowds), "The list shows"),
        Wish("Models", tuple(SHOWN), tuple(SHOWN.values())),
        _optional("Publisher", (None, *_with(sorted({row.publisher for row in rows}), publisher))),
        _optional("Licence", (None, *_with(sorted({row.licence for row in rows}), licence))),
    )


def _optional(name: str, choices: Sequence[str | None]) -> Wish:
    unique = tuple(dict.fromkeys(choices))
    return Wish(name, unique, tuple(choice or ANY for choice in unique))


def _with(choices: Sequence[Any], value: Any) -> tuple[Any, ...]:
    """The choices, and what holds now where it is none of them."""
    return tuple(choices) if value in choices or value is None else tuple(sorted((*choices, value)))
