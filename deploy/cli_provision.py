"""The command line of whole hosts: bring one to a wanted state, and show an auditor what it is."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from deploy.cli_common import AsJson, serve

_serve = partial(serve, shown_by="deploy.render_provision")


def apply(
    site: Annotated[str, typer.Argument(metavar="SITE", help="A site file, such as /etc/landfast/landfast.toml.")],
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 10 says that there are changes to make.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show each change line by line.")] = False,
    locked: Annotated[
        bool, typer.Option("--locked", help="Take the models that the lock file pins, and never change it.")
    ] = False,
    lock: Annotated[
        str | None,
        typer.Option("--lock", help="Use this lock file; default: the one beside the site file.", metavar="FILE"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring this host to the state that a site file wants.

    A second run finds nothing left to change.
    """
    from deploy.provision.apply import ApplyData, ApplyRequest
    from deploy.provision.apply import apply as command
    from deploy.provision.world import replaced_policy

    request = ApplyRequest(site=site, check=check, locked=locked, lock=lock)

    def renderer(render: Any) -> Callable[[ApplyData], None]:
        return lambda data: render.applied(data, diff=diff)

    _serve(
        "apply",
        as_json,
        lambda world: command(world, request),
        renderer,
        offline=check and locked,
        replaced_policy=replaced_policy(site),
    )


def evidence(
    out: Annotated[str, typer.Argument(metavar="OUT", help="A folder that does not exist yet.")],
    *,
    audit: Annotated[
        str | None,
        typer.Option(
            "--audit", help="Include this audit report; default: the newest one, or one made now.", metavar="FILE"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put what an auditor asks for into one signed folder.

    It can be checked without Landfast.
    """
    from deploy.provision.evidence import EvidenceRequest
    from deploy.provision.evidence import evidence as command

    request = EvidenceRequest(out=out, audit=audit)
    _serve(
        "evidence", as_json, lambda world: command(world, request), lambda render: render.evidence_made, offline=True
    )
