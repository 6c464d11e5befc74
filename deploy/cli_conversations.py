"""The command line of saved conversations: the twin of what the chat of the user interface keeps."""

from functools import partial
from typing import Annotated, Any, Literal

import typer

from deploy.cli_common import AsJson, Yes, require_one_or_all, require_yes, serve
from deploy.results import Result

conversations_app = typer.Typer(
    help="List, show, search, export and delete saved conversations.", rich_markup_mode=None
)

_serve = partial(serve, shown_by="deploy.render_conversations", offline=True)

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
    form: Annotated[
        Literal["markdown", "json"], typer.Option("--format", help="Write it in this format.")
    ] = "markdown",
    out: Annotated[
        str | None, typer.Option("--out", help="Write it to this file; default: standard output.", metavar="FILE")
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

    require_one_or_all(
        number, "the number of a conversation", everything=everything, listed_by="landfast conversations list"
    )

    def work(world: Any) -> Result[DeleteData]:
        if number is not None:
            question = f"Delete the conversation {shelf(world).get(number).title!r}?"
        else:
            question = f"Delete all {len(shelf(world).summaries())} saved conversations?"
        require_yes(question, yes=yes, as_json=as_json)
        return delete(world, number)

    _serve("conversations delete", as_json, work, lambda render: render.deleted)
