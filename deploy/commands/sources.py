"""Which sources the policy lets be asked at all."""

from deploy.errors import PolicyRefused
from deploy.policy.policy import Policy
from deploy.policy.subject import Place
from deploy.sources.base import Source

KINDS = ("hub", "package index", "mirror", "folder", "bundle")
ALIKE = {"file": "folder"}
"""What is called by another word than a policy has for it."""


def place_of(source: Source) -> Place:
    """What a policy looks at in a source. Sources that need no network have no host.

    Of a source of another kind than those, the first word of its name is the kind.
    """
    word = next((kind for kind in KINDS if source.name.startswith(kind)), source.name.partition(" ")[0])
    kind = ALIKE.get(word, word)
    host = "" if kind in {"folder", "bundle"} else getattr(source, "host", None)
    return Place(kind=kind, host=host)


def admitted_sources(policy: Policy, sources: tuple[Source, ...]) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """The sources that may be asked, and a sentence for each that may not."""
    refusals = [(source, policy.refusal_of_place(place_of(source))) for source in sources]
    allowed = tuple(source for source, refusal in refusals if refusal is None)
    barred = tuple(f"The {source.name} is not asked. {refusal.sentence}" for source, refusal in refusals if refusal)
    return allowed, barred


def require_place(policy: Policy, source: Source) -> None:
    """Raises PolicyRefused, naming rule and file, for a place that the policy forbids."""
    refusal = policy.refusal_of_place(place_of(source))
    if refusal is not None:
        error: PolicyRefused = refusal.error(f"the {source.name}")
        raise error
