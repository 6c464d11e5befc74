"""Purposes and languages: what a model was not made for is refused, and what nobody says is said openly."""

import msgspec
import pytest

from deploy.catalog.model import Capabilities
from deploy.fit.fit import Workload, fit
from deploy.fit.rank import rank
from deploy.fit.suit import PURPOSES, Purpose, suit
from profiles.budget import budget
from tests.support.world import artifact, catalog, machine, model, sighted

HERE = budget(machine())
KNOWN = model("one", artifact("Q4_0"))


@pytest.mark.parametrize("purpose", ["reasoning", "vision", "tools"])
def test_what_a_model_was_not_made_for_is_refused(purpose: Purpose) -> None:
    """Known to lack it is a refusal, known to have it is none; not known is a doubt, and for vision a refusal."""
    lacking, having, unsaid = (
        msgspec.structs.replace(KNOWN, capabilities=Capabilities(chat=True, **{purpose: value}))
        for value in (False, True, None)
    )
    assert suit(lacking, purpose, None).refusal
    having = msgspec.structs.replace(having, projectors=(artifact("F16"),))
    assert suit(having, purpose, None) == (None, (), 0.0)
    doubtful = suit(unsaid, purpose, None)
    if purpose == "vision":
        assert doubtful.refusal
        return
    assert doubtful.refusal is None
    assert purpose in doubtful.doubts[0]
    assert doubtful.points < 0


def test_a_model_without_a_known_projector_does_not_look_at_images() -> None:
    """What it was made for it cannot do here, and that is said; for text it is as good as ever."""
    blind = sighted(KNOWN)
    assert "projector" in (suit(blind, "vision", None).refusal or "")
    assert suit(blind, "chat", None).refusal is None


def test_a_model_that_does_not_answer_serves_no_purpose() -> None:
    """It continues texts, whatever else it was made for."""
    base = msgspec.structs.replace(KNOWN, capabilities=Capabilities(chat=False, vision=True))
    assert all(suit(base, purpose, None).refusal for purpose in PURPOSES)


def test_languages_are_asked_for_by_their_code() -> None:
    """A list of languages without it refuses; no list, or one of English and Chinese alone, is a doubt."""
    western = msgspec.structs.replace(KNOWN, languages=("en", "fr"))
    assert suit(western, "chat", "de").refusal
    assert suit(western, "chat", "FR") == (None, (), 0.0)
    for unsaid in (None, ("en",), ("en", "zh")):
        doubtful = suit(msgspec.structs.replace(KNOWN, languages=unsaid), "chat", "de")
        assert doubtful.refusal is None
        assert '"de"' in doubtful.doubts[0]


def test_refusals_and_doubts_reach_the_ranking() -> None:
    """The verdict is its own, and the doubt stands in the sentence that people read."""
    tools = msgspec.structs.replace(model("able", artifact("Q4_0")), capabilities=Capabilities(chat=True, tools=True))
    none = msgspec.structs.replace(model("unable", artifact("Q4_0")), capabilities=Capabilities(chat=True, tools=False))
    found = rank(catalog(KNOWN, tools, none), HERE, Workload(purpose="tools"), lambda _m, _a: (True, "here"))
    assert [candidate.fit.model_id for candidate in found.ranked] == ["able", "one"]
    assert "is not known" in found.ranked[1].why
    assert found.ranked[1].beaten_by == "able:Q4_0"
    assert [candidate.fit.verdict for candidate in found.refused] == ["unsuited"]


def test_users_take_memory_and_turns() -> None:
    """Each has a context of their own, and the tokens are shared out."""
    alone = fit(KNOWN, KNOWN.artifacts[0], HERE, Workload(min_decode_tok_s=0))
    three = fit(KNOWN, KNOWN.artifacts[0], HERE, Workload(min_decode_tok_s=0, users=3))
    context = next(term.bytes for term in alone.memory.terms if term.name == "context")
    assert three.peak_bytes - alone.peak_bytes == 2 * context
    decode = alone.speed.decode_tok_s.known
    assert decode is not None
    needed = Workload(min_decode_tok_s=decode / 2, users=3)
    assert fit(KNOWN, KNOWN.artifacts[0], HERE, needed).verdict == "too-slow"
