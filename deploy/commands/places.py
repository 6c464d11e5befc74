"""What the user means by --from: a bundle, a web server, a folder or one file."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from deploy.bundle.manifest import POLICY
from deploy.bundle.reading import is_bundle, open_bundle
from deploy.bundle.source import BundleSource
from deploy.catalog.model import Catalog
from deploy.commands.context import Context
from deploy.commands.sources import require_place
from deploy.errors import NotFound
from deploy.policy.document import parse
from deploy.policy.policy import Policy
from deploy.sources.base import Source
from deploy.sources.folder import Folder
from deploy.sources.web import Mirror


def only_from(context: Context, place: str) -> Context:
    """The same world with this place as its only source.

    A bundle brings its own catalogue, which counts where it is the newer one, and may bring rules that can only forbid
    more than those of the host. Raises PolicyRefused for a bundle
    that nobody trusted has signed and for a place that the policy forbids, and IntegrityError for an altered one.
    """
    source = source_at(context, place)
    require_place(context.policy, source)
    if isinstance(source, BundleSource):
        policy = _with_rules_of(source, context.policy)
        require_place(policy, source)
        return replace(context, sources=(source,), catalog=_newer(context.catalog, source), policy=policy)
    return replace(context, sources=(source,))


def source_at(context: Context, place: str) -> Source:
    """The source that a place is. Raises NotFound for a path at which there is nothing."""
    if place.startswith(("http://", "https://")):
        return Mirror(place, os.environ)
    path = Path(place).expanduser()
    if not path.exists():
        raise NotFound(f"There is nothing at {place}.", hint="Check the path, and that the disk or stick is connected.")
    return BundleSource(open_bundle(path, context.paths)) if is_bundle(path) else Folder(path)


def bundle_of(context: Context) -> BundleSource | None:
    """The bundle, where it is what the world's models come from."""
    return next((source for source in context.sources if isinstance(source, BundleSource)), None)


def _with_rules_of(source: BundleSource, policy: Policy) -> Policy:
    """The host's policy and the bundle's."""
    text = source.policy()
    return policy if text is None else Policy((*policy.documents, parse(text, source.root / POLICY)))


def _newer(own: Callable[[], Catalog], source: BundleSource) -> Callable[[], Catalog]:
    def choose() -> Catalog:
        mine, brought = own(), source.catalogue()
        return brought if brought is not None and brought.dated > mine.dated else mine

    return choose
