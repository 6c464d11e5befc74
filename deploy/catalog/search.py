"""Finds models by name or by words. A name that is not there is answered with the nearest ones."""

import difflib
from collections.abc import Iterable
from typing import Final

from deploy.catalog.model import Artifact, Catalog, Model
from deploy.errors import NotFound

_NEAREST: Final = 3
_SIMILARITY: Final = 0.5
"""difflib's ratio below which a name is no help to somebody who mistyped another one."""


def find(catalog: Catalog, name: str) -> tuple[Model, Artifact | None]:
    """Look up a model, and one of its quantisations where the name ends in ":QUANT".

    Case does not matter. Besides the model's id, its hub repository is understood, and a repository of its files.

    Raises:
        NotFound: no such model or quantisation; the hint names the nearest ones.
    """
    wanted, colon, quant = name.strip().partition(":")
    model = next((m for m in catalog.models if wanted.lower() in _names(m)), None)
    if model is None:
        raise _unknown_model(catalog, wanted)
    if not colon:
        return model, None
    artifact = next((a for a in model.artifacts if a.quant.lower() == quant.lower()), None)
    if artifact is None:
        raise _unknown_quant(model, quant)
    return model, artifact


def search(catalog: Catalog, *words: str) -> tuple[Model, ...]:
    """Every model in whose id, name, family or publisher all the words occur, in the catalogue's order."""
    needles = [word.lower() for word in words]
    return tuple(m for m in catalog.models if all(needle in _text(m) for needle in needles))


def _names(model: Model) -> frozenset[str]:
    """Everything that a model answers to, in lower case."""
    names = {model.id, model.name, model.hub_repository or model.id}
    names.update(artifact.hub.repository for artifact in model.artifacts if artifact.hub)
    return frozenset(name.lower() for name in names)


def _text(model: Model) -> str:
    return f"{model.id}\n{model.name}\n{model.family}\n{model.publisher}".lower()


def _nearest(wanted: str, known: Iterable[str], similarity: float) -> list[str]:
    """The names most like the wanted one, the nearest first."""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(wanted.lower(), by_lower, n=_NEAREST, cutoff=similarity)
    return [by_lower[name] for name in found]


def _unknown_model(catalog: Catalog, wanted: str) -> NotFound:
    short = wanted.lower().rpartition("/")[2]
    hint = _nearest_models(catalog, short)
    for left_out in catalog.left_out:
        if short in (left_out.id.lower(), left_out.name.lower()):
            return NotFound(f"{left_out.name} is known but cannot be installed. {left_out.reason}", hint=hint)
    return NotFound(f'There is no model "{wanted}" in the catalogue.', hint=hint)


def _nearest_models(catalog: Catalog, short: str) -> str:
    """What to try next: ids that hold the word, dots and dashes aside, or else ids that are spelled like it."""
    ids = [model.id for model in catalog.models]
    word = _letters(short)
    holding = [name for name in ids if word and word in _letters(name)]
    near = _nearest(short, holding or ids, 0 if holding else _SIMILARITY)
    return _did_you_mean(near) if near else "Search for a part of the name with `landfast catalog search`."


def _letters(name: str) -> str:
    return "".join(character for character in name if character.isalnum())


def _did_you_mean(names: list[str]) -> str:
    *others, last = names
    return f"Did you mean {', '.join(others)} or {last}?" if others else f"Did you mean {last}?"


def _unknown_quant(model: Model, quant: str) -> NotFound:
    near = _nearest(quant, (artifact.quant for artifact in model.artifacts), 0)
    return NotFound(f'{model.name} does not come in the quantisation "{quant}".', hint=_did_you_mean(near))
