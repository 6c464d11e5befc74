"""What every command needs of the world, in one object. Tests put fakes in its place."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.catalog.model import Catalog
from deploy.engine.client import Engine
from deploy.paths import Paths, current
from deploy.sources.base import Report, Source
from deploy.store.store import Store
from profiles.machine import Machine


@dataclass(frozen=True, slots=True)
class Context:
    """The machine, the store, the catalogue, the sources and the engine that a command works with."""

    paths: Paths
    engine: Engine
    sources: tuple[Source, ...]
    """Where models may come from, first choice first; empty when the network must not be touched."""
    profile: Callable[[], Machine]
    catalog: Callable[[], Catalog]
    report: Report

    @property
    def store(self) -> Store:
        """The store at its place."""
        return Store(self.paths.store)


def real_context(report: Report, *, offline: bool = False) -> Context:
    """The world as it is. Imports of the parts are left to their first use."""
    from deploy.catalog.loader import load
    from deploy.engine.client import LlamaEngine

    paths = current()
    return Context(
        paths=paths,
        engine=LlamaEngine(),
        sources=() if offline else _sources(),
        profile=lambda: _profile(paths.store),
        catalog=load,
        report=report,
    )


def _sources() -> tuple[Source, ...]:
    from deploy.sources.all import default_sources

    return default_sources(os.environ)


def _profile(store: Path) -> Machine:
    from profiles.probe import profile

    return profile(store)
