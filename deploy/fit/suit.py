"""Whether a model was made for what it is wanted for. What no source says is said openly, and counts against it."""

from typing import Final, Literal, NamedTuple

from deploy.catalog.model import Model

Purpose = Literal["chat", "code", "reasoning", "vision", "tools"]
PURPOSES: Final[tuple[Purpose, ...]] = ("chat", "code", "reasoning", "vision", "tools")
DOUBT_POINTS: Final = 1.0
"""Points of quality that a model loses for each thing asked of which no source says that it can do it; assumed."""


LEAST_LISTED: Final = frozenset({"en", "zh"})
"""Lists of languages with nothing else are what their makers' lists hold at the least, also of models that know a
hundred languages (Qwen 3, Gemma 3): nothing follows from what is missing there."""


class Suit(NamedTuple):
    """How a model stands to a purpose."""

    refusal: str | None
    """Why it will not do, as a sentence."""
    doubts: tuple[str, ...]
    """What is not known, each a sentence."""
    points: float
    """What its doubts take off its quality."""


def suit(model: Model, purpose: Purpose, language: str | None) -> Suit:
    """Hold a model against what is asked for. Code is written by all of them."""
    refusal, doubts = _capability(model, purpose)
    if language is not None:
        if model.languages is None:
            doubts = (*doubts, f'Whether it was made for the language "{language}" is not known.')
        elif language.lower() not in model.languages and LEAST_LISTED.issuperset(model.languages):
            doubts = (*doubts, f'Its sources name no language but its main ones; "{language}" is not known.')
        elif language.lower() not in model.languages:
            refusal = refusal or f'It was not made for the language "{language}".'
    return Suit(refusal, doubts, -DOUBT_POINTS * len(doubts))


def _capability(model: Model, purpose: Purpose) -> tuple[str | None, tuple[str, ...]]:
    if model.capabilities.chat is False:
        return "It continues texts and was not trained to answer.", ()
    if purpose in {"chat", "code"}:
        return None, ()
    found: bool | None = getattr(model.capabilities, purpose)
    if found is None and purpose == "vision":
        return "No source says that it was made for vision.", ()
    if found is None:
        return None, (f"Whether it was made for {purpose} is not known.",)
    if found and purpose == "vision" and not model.projectors:
        return "It was made for images, but no known publisher has the projector that it looks at them with.", ()
    return (None, ()) if found else (f"It was not made for {purpose}.", ())
