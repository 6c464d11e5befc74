"""The command line of installed models."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final, TypeVar

import typer

from deploy.cli_common import AsJson, ModelArgument, Yes, rendered_by, require_yes, serve
from deploy.results import Result

T = TypeVar("T")
STORE: Final = "deploy.render_store"

models_app = typer.Typer(help="List, show, verify, repair and remove installed models.", rich_markup_mode=None)

_serve_store = partial(serve, shown_by=STORE, offline=True)

InstalledModel = Annotated[str, typer.Argument(metavar="MODEL", help="The id of an installed model.")]


@models_app.callback()
def models(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List installed models, unless a command about one of them follows."""
    if context.invoked_subcommand is None:
        from deploy.commands.models import list_models

        serve("models", as_json, list_models, lambda render: render.models)


@models_app.command("show")
def models_show(model: ModelArgument, *, as_json: AsJson = False) -> None:
    """Show one installed model: makers, licence and hashes."""
    from deploy.commands.models import show

    serve("models show", as_json, lambda world: show(world, model), lambda render: render.show)


@models_app.command("verify")
def models_verify(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="The model to verify; default: all of them.")
    ] = None,
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Fetch damaged files again.")] = False,
    place: Annotated[
        str | None, typer.Option("--from", help="Repair from this bundle, folder or web server.", metavar="PLACE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hash installed files again, and set damaged ones aside."""
    from deploy.commands.models import VerifyData, verify
    from deploy.commands.upkeep import repair as command

    def work(world: Any) -> Result[VerifyData]:
        return command(world, model, place) if repair or place is not None else verify(world, model)

    serve("models verify", as_json, work, lambda render: render.verify, offline=not repair or place is not None)


@models_app.command("remove")
def models_remove(model: ModelArgument, *, yes: Yes = False, as_json: AsJson = False) -> None:
    """Remove one installed model."""
    from deploy.commands.models import RemoveData, removable, remove

    def work(world: Any) -> Result[RemoveData]:
        found = removable(world, model)
        require_yes(f"Remove {found} from this machine?", yes=yes, as_json=as_json)
        return remove(world, found)

    serve("models remove", as_json, work, lambda render: render.remove)


@models_app.command("gc")
def models_gc(
    *,
    former: Annotated[bool, typer.Option("--former", help="Also delete former versions of models.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Show what no installed model needs, and delete it."""
    from deploy.commands.upkeep import CollectData, collect, rubbish
    from deploy.edge import confirm

    def work(world: Any) -> Result[CollectData]:
        found = rubbish(world, former=former)
        if yes or found.data is None or not found.data.rubbish:
            return collect(world, former=former)
        if as_json:
            return found
        _shown(lambda render: render.collected, found.data)
        confirm("Delete this?")
        return collect(world, former=former)

    _serve_store("models gc", as_json, work, lambda render: render.collected)


@models_app.command("adopt")
def models_adopt(
    folder: Annotated[
        str | None, typer.Argument(metavar="[FOLDER]", help="Where to look; default: where known programs keep models.")
    ] = None,
    *,
    link: Annotated[
        bool, typer.Option("--link", help="Share the files with the other program instead of copying them.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Adopt models that other programs have brought here.

    Nothing is downloaded, and everything is checked.
    """
    from deploy.commands.adopt import AdoptData, adopt, look
    from deploy.edge import confirm

    def work(world: Any) -> Result[AdoptData]:
        found = look(world, folder)
        if found.data is None or all(model.installed for model in found.data.found):
            return found
        if not yes:
            if as_json:
                return found
            _shown(lambda render: render.adopted, found.data)
            confirm("Adopt these?")
        return adopt(world, found.data, link=link)

    _serve_store("models adopt", as_json, work, lambda render: render.adopted)


@models_app.command("switch")
def models_switch(
    model: InstalledModel,
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="Number of the version, or the beginning of its hash.")
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Use a former version of a model again.

    `landfast models show` lists them.
    """
    from deploy.commands.versions import switch

    _serve_store("models switch", as_json, lambda world: switch(world, model, version), lambda render: render.switched)


@models_app.command("rollback")
def models_rollback(model: InstalledModel, *, as_json: AsJson = False) -> None:
    """Go back to the version of a model installed before."""
    from deploy.commands.versions import rollback

    _serve_store("models rollback", as_json, lambda world: rollback(world, model), lambda render: render.switched)


def _shown(renderer: Callable[[Any], Callable[[T], None]], data: T) -> None:
    """Show on the way to a question what the question is about."""
    rendered_by(STORE, renderer)(data)
