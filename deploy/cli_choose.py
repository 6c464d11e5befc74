"""The command line of what a model is chosen by: the catalogue, the policy, and two models side by side."""

from functools import partial
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from deploy.cli_common import AsJson, ContextTokens, OtherMachine, serve


class SearchUnlessNamed(TyperGroup):
    """A group that takes words without a command of their own for words to search."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the search in front of everything that is no command."""
        if args[:1] not in [[name] for name in (*self.commands, "--help")]:
            args = ["search", *args]
        return super().parse_args(ctx, args)


catalog_app = typer.Typer(
    cls=SearchUnlessNamed, help="Search the catalogue of models, or update it.", rich_markup_mode=None
)
policy_app = typer.Typer(help="Show the rules in force, or test one more policy file.", rich_markup_mode=None)

_serve = partial(serve, shown_by="deploy.render_choose", offline=True)


@catalog_app.command("search")
def catalog_search(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORD]...", help="Words that all occur in id, name, family or publisher."),
    ] = None,
    *,
    family: Annotated[str | None, typer.Option("--family", help="List only models of this family.")] = None,
    publisher: Annotated[str | None, typer.Option("--publisher", help="List only models of this publisher.")] = None,
    licence: Annotated[str | None, typer.Option("--licence", help="List only models under this licence.")] = None,
    as_json: AsJson = False,
) -> None:
    """List known models; those that cannot be installed say why. The word "search" may be left out."""
    from deploy.commands.catalog import CatalogFilter, find

    wanted = CatalogFilter(words=tuple(words or ()), family=family, publisher=publisher, licence=licence)
    _serve("catalog search", as_json, lambda world: find(world, wanted), lambda render: render.catalog)


@catalog_app.command("update")
def catalog_update(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file of a newer catalogue.")],
    *,
    key: Annotated[
        str | None,
        typer.Option("--key", help="Public key that must have signed it; the signature is FILE.sig.", metavar="FILE"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put a newer catalogue in force; an older or damaged one is refused."""
    from deploy.commands.catalog import update

    _serve("catalog update", as_json, lambda world: update(world, file, key), lambda render: render.catalog_updated)


@policy_app.command("show")
def policy_show(*, as_json: AsJson = False) -> None:
    """List the policy files in force and their rules."""
    from deploy.commands.policy import show

    _serve("policy show", as_json, show, lambda render: render.policy)


@policy_app.command("check")
def policy_check(
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="A policy file to test beside those in force.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Say what the rules refuse, and what one more file would."""
    from deploy.commands.policy import check

    _serve(
        "policy check", as_json, lambda world: check(world, file), lambda render: render.policy_checked, offline=False
    )


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A model id, id:QUANT or a GGUF file.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The model to compare it with.")],
    *,
    context: ContextTokens = 8192,
    machine: OtherMachine = None,
    as_json: AsJson = False,
) -> None:
    """Put two models side by side.

    It shows what each takes here, how fast it would be, and what speaks for it.
    """
    from deploy.commands.compare import compare as command
    from deploy.fit.fit import Workload

    workload = Workload(context_tokens=context)
    _serve(
        "compare",
        as_json,
        lambda world: command(world, (first, second), workload),
        lambda render: render.compared,
        offline=False,
        machine=machine,
    )
