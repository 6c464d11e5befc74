"""The command line of saved conversations: the twin of what the chat of the user interface keeps."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import typer

from deploy.cli_common import AsJson, Yes, rendered_by, serve
from deploy.errors import UsageError
from deploy.results import Result

T = TypeVar("T")

conversations_app = typer.Typer(
    help="List, show, search, export and delete saved conversations.", rich_markup_mode=None
)

Id = Annotated[int, typer.Argument(metavar="ID", help="Number of the conversation, as the list shows it.")]


@conversations_app.command("list")
def conversations_list(*, as_json: AsJson = False) -> None:
    """List the saved conversations, the newest first."""
    from deploy.commands.conversations import list_saved

    _serve("conversations list", as_json, list_saved, lambda render: render.listed)


@conversations_app.command("show")
def conversations_show(number: Id, *, as_json: AsJson = False) -> None:
    """Print one conversation."""
    from deploy.commands.conversations import show

    _serve("conversations show", as_json, lambda world: show(world, number), lambda render: render.shown)


@conversations_app.command("search")
def conversations_search(
    words: Annotated[list[str], typer.Argument(metavar="WORD...", help="Words that all occur in one message.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Find the messages in which words occur."""
    from deploy.commands.conversations import search

    _serve("conversations search", as_json, lambda world: search(world, tuple(words)), lambda render: render.searched)


@conversations_app.command("export")
def conversations_export(
    number: Id,
    *,
    form: Annotated[Literal["markdown", "json"], typer.Option("--format", help="Write it in this form.")] = "markdown",
    out: Annotated[
        str | None, typer.Option("--out", help="Write it to this file; else on standard output.", metavar="FILE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write one conversation as Markdown or JSON."""
    from deploy.commands.conversations import export

    _serve(
        "conversations export",
        as_json,
        lambda world: export(world, number, form, out),
        lambda render: render.exported,
    )


@conversations_app.command("delete")
def conversations_delete(
    number: Annotated[int | None, typer.Argument(metavar="[ID]", help="Number of the conversation.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Delete all saved conversations.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete one conversation or all; the text is overwritten."""
    from deploy.commands.conversations import DeleteData, delete, shelf
    from deploy.edge import confirm

    if (number is None) != everything:
        raise UsageError(
            "Either the number of a conversation or --all is needed.",
            hint="`landfast conversations list` shows the numbers.",
        )

    def work(world: Any) -> Result[DeleteData]:
        if number is not None:
            question = f"Delete the conversation {shelf(world).get(number).title!r}?"
        else:
            question = f"Delete all {len(shelf(world).summaries())} saved conversations?"
        if not yes:
            confirm(question, interactive=not as_json)
        return delete(world, number)

    _serve("conversations delete", as_json, work, lambda render: render.deleted)


def _serve(
    name: str,
    as_json: bool,  # noqa: FBT001 - passed on from an option
    work: Callable[[Any], Result[T]],
    renderer: Callable[[Any], Callable[[T], None]],
) -> NoReturn:
    from deploy.edge import Setting

    serve(name, as_json, work, rendered_by("deploy.render_conversations", renderer), Setting(offline=True))
