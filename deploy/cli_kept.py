"""The command line of what is kept beside the models: adapters, and sessions."""

from collections.abc import Callable
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from deploy.cli_common import AsJson, Yes, rendered_by, serve
from deploy.errors import UsageError
from deploy.results import Result

T = TypeVar("T")

adapters_app = typer.Typer(help="Install, list, verify and remove LoRA adapters.", rich_markup_mode=None)
sessions_app = typer.Typer(help="List and remove kept sessions.", rich_markup_mode=None)

AdapterName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the adapter, as the list shows it.")]


@adapters_app.callback()
def adapters(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List installed adapters, unless a command about one of them follows."""
    if context.invoked_subcommand is None:
        from deploy.commands.adapters import list_adapters

        _serve("adapters", as_json, list_adapters, lambda render: render.adapters)


@adapters_app.command("add")
def adapters_add(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A GGUF file that was made of a LoRA adapter.")],
    *,
    name: Annotated[
        str | None, typer.Option("--name", help="How it is called here; else as its file.", metavar="NAME")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Install an adapter: its file is checked, copied and hashed."""
    from deploy.commands.adapters import add

    _serve("adapters add", as_json, lambda world: add(world, file, name), lambda render: render.added)


@adapters_app.command("verify")
def adapters_verify(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The adapter to verify; else all of them.")
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
    from deploy.commands.adapters import AdapterRemoval, remove
    from deploy.edge import confirm

    def work(world: Any) -> Result[AdapterRemoval]:
        if not yes:
            confirm(f"Remove the adapter {name} from this machine?", interactive=not as_json)
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
    from deploy.commands.sessions import SessionRemoval, remove
    from deploy.edge import confirm

    if (name is None) != everything:
        raise UsageError(
            "Either the name of a session or --all is needed.", hint="`landfast sessions` shows the names."
        )

    def work(world: Any) -> Result[SessionRemoval]:
        if not yes:
            confirm(f"Remove {f'the session {name}' if name else 'all kept sessions'}?", interactive=not as_json)
        return remove(world, name)

    _serve("sessions remove", as_json, work, lambda render: render.sessions_removed)


def _serve(
    name: str,
    as_json: bool,  # noqa: FBT001 - passed on from an option
    work: Callable[[Any], Result[T]],
    renderer: Callable[[Any], Callable[[T], None]],
) -> NoReturn:
    from deploy.edge import Setting

    serve(name, as_json, work, rendered_by("deploy.render_kept", renderer), Setting(offline=True))
