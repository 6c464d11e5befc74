"""What every command needs of the world, in one object. Tests put fakes in its place."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from deploy.catalog.model import Catalog
from deploy.engine.base import Engine
from deploy.paths import Paths, current
from deploy.policy.policy import NO_POLICY, Policy
from deploy.sources.base import Report, Source
from deploy.store.store import Store
from deploy.store.stores import store_of
from profiles.machine import Machine

if TYPE_CHECKING:
    from profiles.probe import ProbeReport, Probes


class UsedProjector(msgspec.Struct, frozen=True, kw_only=True):
    """The projector of a run, as its result shows it."""

    file: str
    kind: str
    sha256: str
    memory_bytes: int
    """Of the plan: weights, and at most so much for encoding and decoding."""


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
    policy: Policy = NO_POLICY
    """What the owner allows: all files in force."""
    barred: tuple[str, ...] = ()
    """One sentence for each source that the policy keeps away."""
    probes: "Callable[[], tuple[ProbeReport, ...]]" = tuple
    """Profiles once more, and tells how each probe fared."""
    sight: UsedProjector | None = None
    """The projector that the engine lays beside a model; None for text alone."""
    repeatable: bool = False
    """Whether the same request must give the same answer again, whatever else runs on the machine."""

    @property
    def store(self) -> Store:
        """The store at its place, with the host's beside it. Raises PolicyRefused for one that is not for this user."""
        return store_of(self.paths)


def real_context(
    report: Report, *, offline: bool = False, unsealed: bool = False, replaced_policy: Path | None = None
) -> Context:
    """The world as it is, but for a policy file that is about to be replaced: a broken one must not prevent that.

    Imports of the parts are left to their first use.

    Raises PolicyRefused when a policy file is broken, and when it is to run unsealed and the administrator does not
    allow that.
    """
    from deploy.engine.client import LlamaEngine

    if unsealed:
        from deploy.engine.permission import require_unsealed_allowed

        require_unsealed_allowed()
    from deploy.commands.sources import admitted_sources
    from deploy.policy.policy import in_force

    paths = current()
    policy = in_force(paths, os.environ, replaced=replaced_policy)
    sources, barred = ((), ()) if offline else admitted_sources(policy, _sources())
    return Context(
        paths=paths,
        engine=LlamaEngine(unsealed=unsealed),
        sources=sources,
        profile=lambda: _profile(paths.store),
        catalog=lambda: _catalogue(catalogue_in_force(paths), policy),
        report=report,
        policy=policy,
        barred=barred,
        probes=lambda: _probes(paths.store),
    )


def catalogue_in_force(paths: Paths) -> Path:
    """Where an update has put a catalogue: one's own place, or else the host's."""
    return paths.host.catalogue if paths.host is not None and not paths.catalogue.exists() else paths.catalogue


def _catalogue(place: Path, policy: Policy) -> Catalog:
    """The newest catalogue; one that an update brought only if signed as the policy asks. Raises PolicyRefused."""
    from deploy.catalog.loader import load_newest

    if place.exists() and policy.refusal_of_catalogue(None) is not None:
        from deploy.catalog.signature import checked_signer

        refusal = policy.refusal_of_catalogue(checked_signer(place))
        if refusal is not None:
            raise refusal.error(f"the catalogue {place}")
    return load_newest(place)


def _sources() -> tuple[Source, ...]:
    from deploy.sources.all import default_sources

    return default_sources(os.environ)


def _profile(store: Path) -> Machine:
    from profiles.probe import profile

    return profile(store, _probes_here())


def _probes(store: Path) -> "tuple[ProbeReport, ...]":
    from profiles.probe import examine

    return examine(store, _probes_here()).probes


def _probes_here() -> "Probes":
    """The probes of this machine; the engine is asked for its devices in a sealed process of its own."""
    from deploy.engine.client import LlamaEngine
    from profiles.probe import probes_of
    from profiles.world import LiveWorld

    return probes_of(LiveWorld(), LlamaEngine().devices)
