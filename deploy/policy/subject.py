"""What a policy is asked about: one form of a model, or one place that files come from."""

import datetime as dt
from typing import Final

import msgspec

from deploy.catalog.model import Artifact, Capabilities, Model

EVERYTHING: Final = "*"
"""Stands among the unknown for a property of which nothing is known."""
NO_RESTRICTION: Final = "none"
"""What `restriction` is called where the catalogue knows of no notable limit."""
CAPABILITIES: Final = Capabilities.__struct_fields__


class Reading(msgspec.Struct, frozen=True):
    """What is known of one property: the values it has, and those of which it is not known."""

    values: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


NOTHING_KNOWN: Final = Reading(unknown=(EVERYTHING,))


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """One form of a model as far as policies look at it."""

    id: str
    properties: dict[str, Reading]
    """By the names of the rule table; a property that is not there is not known."""
    size_bytes: int
    released: dt.date | None
    """None where it is not known."""
    pinned: bool
    """Whether somebody promised the hash of every file before it came."""

    def reading(self, name: str) -> Reading:
        """What is known of a property."""
        return self.properties.get(name, NOTHING_KNOWN)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One place that files come from."""

    kind: str
    """As in the name of its source: hub, package index, mirror, folder, bundle."""
    host: str | None
    """None where it is not known; empty where no network is used."""


def of_model(model: Model, artifact: Artifact, *, pinned: bool | None = None) -> Subject:
    """A form of a catalogued model. `pinned` tells what an installed one's lock file says, instead of the catalogue."""
    return Subject(
        id=f"{model.id}:{artifact.quant}",
        properties={
            "licence": Reading((model.licence.id,)),
            "restriction": Reading((model.licence.restrictions or NO_RESTRICTION,)),
            "country": Reading((model.country,)),
            "publisher": Reading((model.publisher,)),
            "quantiser": Reading((artifact.publisher,)),
            "quantisation": Reading((artifact.quant,)),
            "openness": Reading((model.openness,)),
            "family": Reading((model.family,)),
            "model": Reading((model.id,)),
            "capability": _capabilities(model.capabilities),
            "language": NOTHING_KNOWN if model.languages is None else Reading(model.languages),
        },
        size_bytes=artifact.size_bytes,
        released=None if model.release_date is None else dt.date.fromisoformat(model.release_date),
        pinned=artifact.pinned if pinned is None else pinned,
    )


def of_file(model_id: str, quant: str, size_bytes: int, *, pinned: bool = False) -> Subject:
    """A file that the catalogue does not know: who made it and under which licence nobody has said."""
    name = model_id.partition(":")[0]
    return Subject(
        id=model_id,
        properties={"model": Reading((name,)), "quantisation": Reading((quant,))},
        size_bytes=size_bytes,
        released=None,
        pinned=pinned,
    )


def _capabilities(found: Capabilities) -> Reading:
    known = {name: getattr(found, name) for name in CAPABILITIES}
    return Reading(
        tuple(name for name, value in known.items() if value),
        tuple(name for name, value in known.items() if value is None),
    )
