"""Machines that are not this one: the library to plan for, recordings, and commands that run as if on one of them."""

import dataclasses
import difflib
from pathlib import Path

import msgspec

from deploy.catalog.model import Artifact
from deploy.commands.context import Context
from deploy.errors import NotFound, NotWritable, UsageError
from deploy.quantities import gigabytes
from deploy.results import Result, info
from deploy.sources.base import NoOffer, Offer, Reach, Report, Source
from profiles.budget import budget
from profiles.machine import Machine


class LibraryMachine(msgspec.Struct, frozen=True, kw_only=True):
    """One reference machine."""

    name: str
    title: str
    memory: str
    """What a model may take, pool by pool, as a sentence."""


class LibraryData(msgspec.Struct, frozen=True, kw_only=True):
    """All reference machines."""

    machines: tuple[LibraryMachine, ...]


class RecordData(msgspec.Struct, frozen=True, kw_only=True):
    """A recording of this machine."""

    path: str
    size_bytes: int


def list_library(_context: Context) -> Result[LibraryData]:
    """List the reference machines that `--machine` knows by name."""
    from profiles.simulated import library

    entries = tuple(_entry(name, machine) for name, machine in library().items())
    return Result(command="profile list", data=LibraryData(machines=entries))


def record_this(_context: Context, file: str) -> Result[RecordData]:
    """Write what the probes read here, without names and serial numbers. Raises NotWritable."""
    from deploy.engine.client import LlamaEngine
    from profiles.recording import record, recording_to_json
    from profiles.world import LiveWorld

    path = Path(file).expanduser()
    raw = recording_to_json(record(LiveWorld(), engine_devices=LlamaEngine().devices))
    try:
        path.write_bytes(raw)
    except OSError as error:
        raise NotWritable(f"{path} cannot be written: {error.strerror}.", hint="Choose another place.") from error
    return Result(
        command="doctor record",
        changed=True,
        data=RecordData(path=str(path), size_bytes=len(raw)),
        messages=(info(f"Read it before you hand it on. `landfast profile --machine {path}` replays it."),),
    )


def as_if_on(context: Context, name: str) -> Context:
    """The same world, but for the machine. Sources count as in reach: it is planned for another place.

    Raises NotFound for a name that is neither in the library nor a file, UsageError for a file that is no machine.
    """
    machine = _load(name)
    return dataclasses.replace(
        context, profile=lambda: machine, sources=tuple(_InReach(source) for source in context.sources)
    )


class _InReach:
    """A source that is taken to answer on a machine that is only planned for."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.name = source.name

    def reach(self, timeout_s: float) -> Reach:  # noqa: ARG002 - nothing is asked
        """Assume it."""
        return Reach(source=self.name, reachable=True, reason="assumed for a simulated machine")

    def offer(self, artifact: Artifact) -> Offer | NoOffer:
        """What the source itself says of the artifact's facts."""
        return self._source.offer(artifact)

    def fetch(self, artifact: Artifact, staging: Path, report: Report) -> tuple[Path, ...]:
        """Bring it for real: only planning is simulated."""
        return self._source.fetch(artifact, staging, report)


def _load(name: str) -> Machine:
    from profiles.simulated import UnknownMachine, UnreadableMachine, list_machines, load_machine

    try:
        return load_machine(name)
    except UnknownMachine as error:
        near = difflib.get_close_matches(name, list_machines(), 3, 0.3)
        hint = f"Did you mean {', '.join(near)}?" if near else "`landfast profile --list` lists them."
        raise NotFound(str(error), hint=hint) from error
    except UnreadableMachine as error:
        raise UsageError(str(error), hint="Make a recording with `landfast doctor --record FILE`.") from error


def _entry(name: str, machine: Machine) -> LibraryMachine:
    pools = budget(machine).pools
    parts = [f"{gigabytes(pool.budget_bytes)} in {pool.name}" for pool in pools[:2]]
    more = [f"{len(pools) - 2} more"] if len(pools) > 2 else []  # noqa: PLR2004 - the host and one device are named
    return LibraryMachine(name=name, title=machine.origin, memory=", ".join(parts + more))
