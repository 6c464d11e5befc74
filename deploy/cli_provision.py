"""The command line of whole hosts: bring one to a wanted state, and show an auditor what it is."""

from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from deploy.cli_common import AsJson, rendered_by, serve

_RENDER: Final = "deploy.render_provision"


def apply(
    site: Annotated[str, typer.Argument(metavar="SITE", help="A site file, such as /etc/landfast/landfast.toml.")],
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Only look; exit code 10 says that there are changes to make.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show each change line by line.")] = False,
    locked: Annotated[
        bool, typer.Option("--locked", help="Take the models that the lock file pins, and never change it.")
    ] = False,
    lock: Annotated[
        str | None,
        typer.Option("--lock", help="Use this lock file; else the one beside the site file.", metavar="FILE"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring this host to the state that a site file wants.

    A second run finds nothing left to change.
    """
    from deploy.edge import Setting
    from deploy.provision.apply import ApplyData, ApplyRequest
    from deploy.provision.apply import apply as command
    from deploy.provision.world import replaced_policy

    request = ApplyRequest(site=site, check=check, locked=locked, lock=lock)

    def renderer(render: Any) -> Callable[[ApplyData], None]:
        return lambda data: render.applied(data, diff=diff)

    setting = Setting(offline=check and locked, replaced_policy=replaced_policy(site))
    serve("apply", as_json, lambda world: command(world, request), rendered_by(_RENDER, renderer), setting)


def evidence(
    out: Annotated[str, typer.Argument(metavar="OUT", help="A folder that is not there yet.")],
    *,
    audit: Annotated[
        str | None,
        typer.Option("--audit", help="Put in this audit report; else the newest one, or one made now.", metavar="FILE"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put what an auditor asks for into one signed folder.

    It can be checked without Landfast.
    """
    from deploy.edge import Setting
    from deploy.provision.evidence import EvidenceRequest
    from deploy.provision.evidence import evidence as command

    request = EvidenceRequest(out=out, audit=audit)
    renderer = rendered_by(_RENDER, lambda render: render.evidence_made)
    serve("evidence", as_json, lambda world: command(world, request), renderer, Setting(offline=True))
