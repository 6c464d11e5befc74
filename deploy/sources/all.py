"""The sources that are asked when the user names none."""

from collections.abc import Mapping

from deploy.sources.base import Source
from deploy.sources.hub import Hub
from deploy.sources.package_index import PackageIndex
from deploy.sources.web import Mirror


def default_sources(environment: Mapping[str, str]) -> tuple[Source, ...]:
    """A mirror of one's own first, where LANDFAST_MIRROR names one.

    Then the package index: its wheels are pinned and it is in reach of most machines that have pip.
    """
    url = environment.get("LANDFAST_MIRROR")
    own: tuple[Source, ...] = (Mirror(url, environment),) if url else ()
    return (*own, PackageIndex(environment), Hub(environment))
