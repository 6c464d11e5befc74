"""What the user means by --from: a bundle, a web server, a folder or one file."""

import functools
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
from deploy.sources.folder import Folder, OneFile
from deploy.sources.web import Mirror


def only_from(context: Context, place: str) -> Context:
    """The same world with this place as its only source.

    Raises PolicyRefused for a bundle that nobody trusted has signed and for a place that the policy forbids, and
    IntegrityError for an altered one.
    """
    source = source_at(context, place)
    require_place(context.policy, source)
    context = replace(context, sources=(source,))
    return with_bundle(context, source) if isinstance(source, BundleSource) else context


def with_bundle(context: Context, source: BundleSource) -> Context:
    """The same world with what a bundle brings beside its models.

    Its catalogue counts where it is the newer one and the policy accepts its signer; its rules can only forbid more
    than those of the host. Raises PolicyRefused where they forbid bundles, and NotFound or IntegrityError for rules
    that are missing or altered.
    """
    text = source.policy()
    rules = () if text is None else (parse(text, source.root / POLICY),)
    policy = Policy((*context.policy.documents, *rules))
    require_place(policy, source)
    return replace(context, catalog=_newer(context, source), policy=policy)


def source_at(context: Context, place: str) -> Source:
    """The source that a place is. Raises NotFound for a path at which there is nothing."""
    if place.startswith(("http://", "https://")):
        return Mirror(place, os.environ)
    path = Path(place).expanduser()
    if not path.exists():
        raise NotFound(f"There is nothing at {place}.", hint="Check the path, and that the disk or stick is connected.")
    if is_bundle(path):
        return BundleSource(open_bundle(path, context.paths))
    return OneFile(path) if path.is_file() else Folder(path)


def bundle_of(context: Context) -> BundleSource | None:
    """The bundle, where it is what the world's models come from."""
    return next((source for source in context.sources if isinstance(source, BundleSource)), None)


def _newer(context: Context, source: BundleSource) -> Callable[[], Catalog]:
    @functools.cache
    def choose() -> Catalog:
        mine = context.catalog()
        if context.policy.refusal_of_catalogue(source.made_by) is not None:
            return mine
        brought = source.catalogue()
        newer = brought is not None and brought.dated > mine.dated and brought.engine == mine.engine
        return brought if brought is not None and newer else mine

    return choose
