"""The command line of bundles, keys, and what is done with models that are here already."""

from collections.abc import Callable
from typing import Annotated, Any, Final, NoReturn, TypeVar

import typer

from deploy.cli_common import AsJson, Yes, rendered_by, serve
from deploy.errors import UsageError
from deploy.results import Result

T = TypeVar("T")

bundle_app = typer.Typer(help="Make and inspect bundles for hosts without internet.", rich_markup_mode=None)
keys_app = typer.Typer(help="List, export and trust the keys that sign bundles.", rich_markup_mode=None)


RENDER: Final = "deploy.render_store"
UNITS: Final = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
DEFAULT_PART: Final = "4GB"
SMALLEST_PART_BYTES: Final = 10**6

InstalledModel = Annotated[str, typer.Argument(metavar="MODEL", help="The id of an installed model.")]


@bundle_app.command("create")
def bundle_create(
    out: Annotated[str, typer.Argument(metavar="OUT", help="A folder that is new or empty.")],
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="Models; else all installed.")
    ] = None,
    *,
    part_size: Annotated[
        str, typer.Option("--part-size", help="Largest file: 4GB for FAT32, 100MB for a data diode.", metavar="SIZE")
    ] = DEFAULT_PART,
    wheels: Annotated[bool, typer.Option("--wheels", help="Add all that a host needs that has only Python.")] = False,
    policy: Annotated[
        str | None,
        typer.Option("--with-policy", help="Add a policy for what is installed from the bundle.", metavar="FILE"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put models into one signed folder.

    It holds the catalogue and the licences too.
    """
    from deploy.commands.bundle import CreateData, CreateRequest, create

    def work(world: Any) -> Result[CreateData]:
        part_bytes = size_of(part_size, "--part-size", SMALLEST_PART_BYTES)
        wanted = tuple(models or ())
        request = CreateRequest(out=out, models=wanted, part_bytes=part_bytes, wheels=wheels, policy=policy)
        return create(world, request)

    _serve("bundle create", as_json, work, lambda render: render.bundle_created)


@bundle_app.command("inspect")
def bundle_inspect(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="The folder of the bundle.")],
    *,
    verify: Annotated[bool, typer.Option("--verify", help="Also hash every part.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a bundle holds, who signed it, and what is missing."""
    from deploy.commands.bundle import inspect

    _serve(
        "bundle inspect", as_json, lambda world: inspect(world, bundle, full=verify), lambda render: render.bundle_seen
    )


@keys_app.command("list")
def keys_list(*, as_json: AsJson = False) -> None:
    """List the keys whose bundles are accepted here."""
    from deploy.commands.keys import list_keys

    _serve("keys list", as_json, list_keys, lambda render: render.keys)


@keys_app.command("export")
def keys_export(*, as_json: AsJson = False) -> None:
    """Print the public key of this machine, for other hosts."""
    from deploy.commands.keys import export

    _serve("keys export", as_json, export, lambda render: render.key_exported)


@keys_app.command("trust")
def keys_trust(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file of a public key.")],
    *,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Accept bundles that this key has signed, from now on."""
    from pathlib import Path

    from deploy.bundle.signing import read_key
    from deploy.commands.keys import TrustData, trust_key
    from deploy.edge import confirm
    from deploy.keys import fingerprint

    def work(world: Any) -> Result[TrustData]:
        key = fingerprint(read_key(Path(file).expanduser()))
        if not yes:
            confirm(f"Trust all bundles signed by {key}?", interactive=not as_json)
        return trust_key(world, file)

    _serve("keys trust", as_json, work, lambda render: render.key_trusted)


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

    _serve("models gc", as_json, work, lambda render: render.collected)


def models_switch(
    model: InstalledModel,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Number of the version, or how its hash begins.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Use a former version of a model again.

    `landfast models show` lists them.
    """
    from deploy.commands.versions import switch

    _serve("models switch", as_json, lambda world: switch(world, model, version), lambda render: render.switched)


def models_rollback(model: InstalledModel, *, as_json: AsJson = False) -> None:
    """Go back to the version of a model installed before."""
    from deploy.commands.versions import rollback

    _serve("models rollback", as_json, lambda world: rollback(world, model), lambda render: render.switched)


def add_to_models(app: typer.Typer) -> None:
    """What can be done with models that are here already, beside listing them."""
    app.command("gc")(models_gc)
    app.command("adopt")(models_adopt)
    app.command("switch")(models_switch)
    app.command("rollback")(models_rollback)


def models_adopt(
    folder: Annotated[
        str | None, typer.Argument(metavar="[FOLDER]", help="Where to look; else where known programs keep models.")
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

    _serve("models adopt", as_json, work, lambda render: render.adopted)


def size_of(text: str, option: str, least_bytes: int = 1) -> int:
    """A size as people write it: 4GB, 100 MB, 1.5GiB, or a number of bytes. Raises UsageError."""
    number = text.strip().rstrip("BKMGTIbkmgti ")
    unit = text.strip()[len(number) :].strip().upper()
    try:
        size_bytes = int(float(number) * ({"": 1, "B": 1} | UNITS)[unit])
    except (ValueError, KeyError, OverflowError) as error:
        raise UsageError(f"{option} {text} is not a size.", hint="Write it like 4GB or 100MB.") from error
    if size_bytes < least_bytes:
        raise UsageError(f"{option} {text} is too small.", hint=f"At least {least_bytes:,} bytes are needed.")
    return size_bytes


def _serve(
    name: str,
    as_json: bool,  # noqa: FBT001 - passed on from an option
    work: Callable[[Any], Result[T]],
    renderer: Callable[[Any], Callable[[T], None]],
) -> NoReturn:
    from deploy.edge import Setting

    serve(name, as_json, work, rendered_by(RENDER, renderer), Setting(offline=True))


def _shown(renderer: Callable[[Any], Callable[[T], None]], data: T) -> None:
    """Show on the way to a question what the question is about."""
    rendered_by(RENDER, renderer)(None)(data)
