"""What can be had from here, now: installed models, and what the sources in reach offer."""

from concurrent.futures import ThreadPoolExecutor
from typing import Final

from deploy.catalog.model import Artifact, Model
from deploy.commands.context import Context
from deploy.fit.rank import Availability
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


def availability(context: Context, reach: tuple[Reach, ...]) -> Availability:
    """The answer to "can it be had, and from where" for every artifact."""
    installed = {record.id for record in context.store.installed()}
    answering = [source for source, found in zip(context.sources, reach, strict=True) if found.reachable]

    def available(model: Model, artifact: Artifact) -> tuple[bool, str]:
        if f"{model.id}:{artifact.quant}" in installed:
            return True, "installed"
        for source in answering:
            offer = source.offer(artifact)
            if not isinstance(offer, NoOffer):
                return True, f"from the {offer.source}"
        return False, "It is not installed, and no source in reach has it."

    return available


def reach_messages(context: Context, reach: tuple[Reach, ...]) -> tuple[Message, ...]:
    """Sentences about sources that do not answer, since they shorten the choice."""
    if not context.sources and not context.barred:
        return (info("Offline: only installed models are offered."),)
    silent = tuple(
        warning(f"No answer from the {found.source}: {found.reason.rstrip('.')}.")
        for found in reach
        if not found.reachable
    )
    return (*(info(sentence) for sentence in context.barred), *silent)
