"""What can be had from here, now: installed models, and what the sources in reach offer."""

from concurrent.futures import ThreadPoolExecutor
from typing import Final

from deploy.catalog.model import Artifact, Model
from deploy.commands.context import Context
from deploy.fit.rank import Availability
from deploy.fit.suit import Purpose
from deploy.results import Message, info, warning
from deploy.sources.base import NoOffer, Reach, Source

REACH_LIMIT_S: Final = 1.0
"""A source that has not answered by then is taken for absent; naming the model tries it all the same."""


def reach_all(sources: tuple[Source, ...]) -> tuple[Reach, ...]:
    """Ask all sources at once whether they answer."""
    if not sources:
        return ()
    with ThreadPoolExecutor(len(sources)) as pool:
        return tuple(pool.map(lambda source: source.reach(REACH_LIMIT_S), sources))


def availability(context: Context, reach: tuple[Reach, ...], purpose: Purpose = "chat") -> Availability:
    """The answer to "can it be had, and from where" for every artifact; for vision with a projector."""
    records = context.store.installed()
    installed, eyes = {record.id for record in records}, {record.id for record in records if record.projector}
    answering = [source for source, found in zip(context.sources, reach, strict=True) if found.reachable]

    def available(model: Model, artifact: Artifact) -> tuple[bool, str]:
        if purpose == "vision" and not sees(model, artifact):
            return False, "No source in reach has the projector that it looks at images with."
        if f"{model.id}:{artifact.quant}" in installed:
            return True, "installed"
        for source in answering:
            offer = source.offer(artifact)
            if not isinstance(offer, NoOffer):
                return True, f"from the {offer.source}"
        return False, "It is not installed, and no source in reach has it."

    def sees(model: Model, artifact: Artifact) -> bool:
        if f"{model.id}:{artifact.quant}" in eyes or not model.projectors:  # whoever has no eyes is refused for that
            return True
        return any(not isinstance(s.offer(one), NoOffer) for one in model.projectors for s in answering)

    return available


def reach_messages(context: Context, reach: tuple[Reach, ...]) -> tuple[Message, ...]:
    """Sentences about sources that do not answer, since they shorten the choice."""
    if not context.sources and not context.barred:
        return (info("Offline: only installed models are offered."),)
    silent = tuple(
        warning(f"The {found.source.partition(' at ')[0]} is not in reach: {found.reason.rstrip('.')}.")
        for found in reach
        if not found.reachable
    )
    return (*(info(sentence) for sentence in context.barred), *silent)
