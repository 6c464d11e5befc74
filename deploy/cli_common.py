"""What all parts of the command line share: options with one wording, and the way from a command to its output."""

import re
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, TypeVar

import typer

from deploy.results import Result

if TYPE_CHECKING:
    from deploy.edge import Setting

T = TypeVar("T")

LEAST_CONTEXT: Final = 256
THOUSANDS: Final = {"": 1, "K": 1024, "M": 1024**2}
_TOKENS: Final = re.compile(r"(\d+(?:\.\d+)?)([KM]?)")


def tokens(text: str) -> int:
    """A number of tokens: 32768 or 32k. Raises typer.BadParameter."""
    found = _TOKENS.fullmatch(str(text).strip().replace(",", "").upper())
    count = int(float(found[1]) * THOUSANDS[found[2]]) if found else 0
    if count < LEAST_CONTEXT:
        raise typer.BadParameter(f"{text!r} is not a context of {LEAST_CONTEXT} tokens or more, such as 8192 or 32k.")
    return count


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON envelope on standard output.")]
ContextTokens = Annotated[
    int,
    typer.Option(
        "--context", parser=tokens, help="Tokens of context for prompt and answer, such as 32k.", metavar="TOKENS"
    ),
]
MinSpeed = Annotated[
    float,
    typer.Option("--min-speed", min=0, help="Slowest speed of writing that will do.", metavar="TOKENS_PER_SECOND"),
]
Offline = Annotated[bool, typer.Option("--offline", help="Do not touch the network.")]
OtherMachine = Annotated[
    str | None,
    typer.Option("--machine", help="Plan for another machine: a library name or a recording.", metavar="NAME|FILE"),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Go ahead without asking.")]


def serve(
    name: str,
    as_json: bool,  # noqa: FBT001 - passed on from an option
    work: Callable[[Any], Result[T]],
    renderer: Callable[[Any], Callable[[T], None]],
    setting: "Setting | None" = None,
) -> NoReturn:
    """Carry out a command in a setting, print its result and leave. The renderer picks its function of `render`."""
    from deploy import edge

    raise typer.Exit(edge.serve(name, work, None if as_json else renderer, setting or edge.Setting()))


def rendered_by(module: str, renderer: Callable[[Any], Callable[[T], None]]) -> Callable[[Any], Callable[[T], None]]:
    """The renderer of a part that has a module of its own."""
    return lambda _: renderer(import_module(module))
