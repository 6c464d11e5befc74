"""The command line of bundles, and of the keys that sign them."""

from functools import partial
from typing import Annotated, Any, Final

import typer

from deploy.cli_common import AsJson, Yes, require_yes, serve, size_of
from deploy.results import Result

bundle_app = typer.Typer(help="Make and inspect bundles for hosts without internet.", rich_markup_mode=None)
keys_app = typer.Typer(help="List, export and trust the keys that sign bundles.", rich_markup_mode=None)

DEFAULT_PART: Final = "4GB"
SMALLEST_PART_BYTES: Final = 10**6

_serve = partial(serve, shown_by="deploy.render_store", offline=True)


@bundle_app.command("create")
def bundle_create(
    out: Annotated[str, typer.Argument(metavar="OUT", help="A folder that is new or empty.")],
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="The models; default: all that are installed.")
    ] = None,
    *,
    part_size: Annotated[
        str, typer.Option("--part-size", help="Largest file: 4GB for FAT32, 100MB for a data diode.", metavar="SIZE")
    ] = DEFAULT_PART,
    wheels: Annotated[
        bool, typer.Option("--wheels", help="Add all that a host with nothing but Python needs.")
    ] = False,
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
    from deploy.keys import fingerprint

    def work(world: Any) -> Result[TrustData]:
        key = fingerprint(read_key(Path(file).expanduser()))
        require_yes(f"Trust all bundles signed by {key}?", yes=yes, as_json=as_json)
        return trust_key(world, file)

    _serve("keys trust", as_json, work, lambda render: render.key_trusted)
