"""`landfast version`: what exactly is running here."""

import platform
from importlib.metadata import PackageNotFoundError, version

import msgspec

from deploy import __version__
from deploy.commands.context import Context
from deploy.results import Result


class VersionData(msgspec.Struct, frozen=True, kw_only=True):
    """Versions of the parts that decide what a user gets."""

    landfast: str
    engine: str
    catalogue_dated: str
    catalogue_models: int
    python: str


def version_of_all(context: Context) -> Result[VersionData]:
    """Tell the versions. Loads the catalogue, not the engine."""
    catalog = context.catalog()
    return Result(
        command="version",
        data=VersionData(
            landfast=__version__,
            engine=f"llama-cpp-python {_of('llama-cpp-python')}",
            catalogue_dated=catalog.dated,
            catalogue_models=len(catalog.models),
            python=platform.python_version(),
        ),
    )


def _of(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"
