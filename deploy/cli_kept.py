"""The command line of what is kept beside the models: adapters, and sessions."""

from functools import partial
from typing import Annotated, Any

import typer

from deploy.cli_common import AsJson, Yes, require_one_or_all, require_yes, serve
from deploy.results import Result

adapters_app = typer.Typer(help="Install, list, verify and remove LoRA adapters.", rich_markup_mode=None)
sessions_app = typer.Typer(help="List and remove kept sessions.", rich_markup_mode=None)

_serve = partial(serve, shown_by="deploy.render_kept", offline=True)

AdapterName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the adapter, as the list shows it.")]


@adapters_app.callback()
def adapters(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List installed adapters, unless a command about one of them follows."""
    if context.invoked_subcommand is None:
        from deploy.commands.adapters import list_adapters

        _serve("adapters", as_json, list_adapters, lambda render: render.adapters)


@adapters_app.command("add")
def adapters_add(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A LoRA adapter as a GGUF file.")],
    *,
    name: Annotated[
        str | None, typer.Option("--name", help="Its name here; default: the name of its file.", metavar="NAME")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Install an adapter: its file is checked, copied and hashed."""
    from deploy.commands.adapters import add

    _serve("adapters add", as_json, lambda world: add(world, file, name), lambda render: render.added)


@adapters_app.command("verify")
def adapters_verify(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The adapter to verify; default: all of them.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Hash installed adapters again, and set damaged ones aside."""
    from deploy.commands.adapters import verify

    _serve("adapters verify", as_json, lambda world: verify(world, name), lambda render: render.verified)


@adapters_app.command("remove")
def adapters_remove(name: AdapterName, *, yes: Yes = False, as_json: AsJson = False) -> None:
    """Remove one adapter."""
    from deploy.commands.adapters import AdapterRemoval, removable, remove

    def work(world: Any) -> Result[AdapterRemoval]:
        removable(world, name)
        require_yes(f"Remove the adapter {name} from this machine?", yes=yes, as_json=as_json)
        return remove(world, name)

    _serve("adapters remove", as_json, work, lambda render: render.removed)


@sessions_app.callback()
def sessions(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List kept sessions, unless a command about one of them follows."""
    if context.invoked_subcommand is None:
        from deploy.commands.sessions import list_sessions

        _serve("sessions", as_json, list_sessions, lambda render: render.sessions)


@sessions_app.command("remove")
def sessions_remove(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Name of the session.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Remove all kept sessions.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove one kept session, or all of them."""
    from deploy.commands.sessions import SessionRemoval, removable, remove

    require_one_or_all(name, "the name of a session", everything=everything, listed_by="landfast sessions")

    def work(world: Any) -> Result[SessionRemoval]:
        removable(world, name)
        what = f"the session {name}" if name else "all kept sessions"
        require_yes(f"Remove {what}?", yes=yes, as_json=as_json)
        return remove(world, name)

    _serve("sessions remove", as_json, work, lambda render: render.sessions_removed)
