"""What all parts of the command line share: options with one wording, and the way from a command to its output."""

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar, get_type_hints

import typer

from deploy.errors import UsageError
from deploy.quantities import read_size, read_tokens
from deploy.results import Result

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")


def tokens(text: str) -> int:
    """A number of tokens: 32768 or 32k. Raises typer.BadParameter."""
    try:
        return read_tokens(text)
    except ValueError as error:
        raise typer.BadParameter(f"{error}.") from error


AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
ContextTokens = Annotated[
    int,
    typer.Option(
        "--context", parser=tokens, help="Tokens that the model can see at once, such as 32k.", metavar="TOKENS"
    ),
]
MinSpeed = Annotated[
    float,
    typer.Option(
        "--min-speed", min=0, help="Slowest acceptable speed of writing, in tok/s.", metavar="TOKENS_PER_SECOND"
    ),
]
Offline = Annotated[bool, typer.Option("--offline", help="Do not touch the network.")]
OtherMachine = Annotated[
    str | None,
    typer.Option("--machine", help="Plan for another machine: a library name or a recording.", metavar="NAME|FILE"),
]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="A model id, id:QUANT or a GGUF file.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Go ahead without asking.")]


def serve(
    name: str,
    as_json: bool,  # noqa: FBT001 - passed on from an option
    work: Callable[[Any], Result[T]],
    renderer: Callable[[Any], Callable[[T], None]],
    *,
    shown_by: str = "deploy.render",
    offline: bool = False,
    machine: str | None = None,
    replaced_policy: "Path | None" = None,
) -> NoReturn:
    """Carry out a command, print its result and leave. The renderer picks its function of the module that shows it."""
    from deploy import edge

    setting = edge.Setting(offline=offline, machine=machine, replaced_policy=replaced_policy)
    raise typer.Exit(edge.serve(name, work, None if as_json else rendered_by(shown_by, renderer), setting))


def rendered_by(module: str, renderer: Callable[[Any], Callable[[T], None]]) -> Callable[[T], None]:
    """A function that shows a result. Its module is loaded when there is something to show, and not for JSON."""

    def show(data: T) -> None:
        renderer(import_module(module))(data)

    return show


def require_yes(question: str, *, yes: bool, as_json: bool) -> None:
    """Ask before something is done that cannot be undone, unless --yes was given. Raises UsageError and Interrupted."""
    from deploy.edge import confirm

    if not yes:
        confirm(question, interactive=not as_json)


def require_one_or_all(one: object, what: str, *, everything: bool, listed_by: str) -> None:
    """Raises UsageError where both one thing and --all are asked for, or neither."""
    if (one is None) != everything:
        raise UsageError(f"Either {what} or --all is needed.", hint=f"`{listed_by}` shows them.")


def expand_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each field of its parameter that is a dataclass, in that parameter's place."""
    hints = get_type_hints(command, include_extras=True)
    parameters = list(inspect.signature(command).parameters.values())
    group = next(one for one in parameters if is_dataclass(hints[one.name]))
    options = [one.replace(kind=group.kind) for one in inspect.signature(hints[group.name]).parameters.values()]

    def expanded(**given: Any) -> None:
        own = {one.name: given.pop(one.name) for one in options}
        command(**given, **{group.name: hints[group.name](**own)})

    place = parameters.index(group)
    parameters[place : place + 1] = options
    expanded.__name__, expanded.__doc__ = command.__name__, command.__doc__
    expanded.__annotations__ = hints | get_type_hints(hints[group.name], include_extras=True)
    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return expanded


def size_of(text: str, option: str, least_bytes: int = 1) -> int:
    """A size as people write it: 4GB, 100 MB, 1.5GiB, or a number of bytes. Raises UsageError."""
    try:
        size_bytes = int(text) if text.isdecimal() else read_size(text)
    except ValueError as error:
        raise UsageError(f"{option} {text} is not a size.", hint="Write it like 4GB or 100MB.") from error
    if size_bytes < least_bytes:
        raise UsageError(f"{option} {text} is too small.", hint=f"At least {least_bytes:,} bytes are needed.")
    return size_bytes
