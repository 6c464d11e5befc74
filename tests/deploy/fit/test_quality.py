"""What a model is worth for a use: scores with their error, less what its form loses; and nothing made up."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.catalog import loader
from deploy.catalog.model import Capabilities, Merit, Model
from deploy.fit.quality import LONG_CONTEXT_TOKENS, QUANT_LOSS, merit_for, quality
from deploy.fit.suit import PURPOSES, Purpose
from profiles.machine import Provenance, Unknown
from tests.support.world import GB, model, sized

SHIPPED = loader.load()


def points(known: Model, quant: str = "Q8_0", purpose: Purpose = "chat") -> float:
    """The figure, which must be known."""
    fact = quality(known, sized(quant, GB), purpose=purpose)
    assert fact.known is not None
    return fact.known


def with_merit(*merits: Merit, code: bool | None = None) -> Model:
    """A model with these composites."""
    return msgspec.structs.replace(model("m"), merits=merits, capabilities=Capabilities(chat=True, code=code))


def test_a_doubling_of_parameters_is_a_point_and_a_coarser_form_takes_some_off() -> None:
    """The order that selection relies on."""
    assert points(model("m", parameters=8 * GB)) == pytest.approx(points(model("m", parameters=4 * GB)) + 1)
    known = model("m")
    assert points(known, "Q8_0") > points(known, "Q4_K_M") > points(known, "Q3_K_M") > points(known, "Q2_K")


def test_what_is_less_sure_counts_less() -> None:
    """The error is taken off, and the sentence shows both figures and what they rest on."""
    sure, unsure = with_merit(Merit("chat", 8.0, 0.5, 9, 3)), with_merit(Merit("chat", 8.0, 1.2, 0, 0))
    assert points(sure) - points(unsure) == pytest.approx(0.7)
    good, bare = quality(sure, sized("Q8_0", GB)), quality(unsure, sized("Q8_0", GB))
    assert "9 benchmark scores for chat and 3 of other uses: 8.00 less its error 0.50" in good.source
    assert "no benchmark with open terms" in bare.source
    assert (good.provenance, bare.provenance) == (Provenance.CATALOGUE, Provenance.ESTIMATED)


def test_a_catalogue_without_composites_gives_no_figure() -> None:
    """Nothing is invented for it."""
    fact = quality(with_merit(), sized("Q8_0", GB))
    assert isinstance(fact.value, Unknown)


def test_specialists_in_code_gain_there_only_where_no_benchmark_tells() -> None:
    """A score already says what they can."""
    plain = with_merit(Merit("chat", 5.0, 0.0, 0, 4), Merit("code", 5.0, 0.0, 0, 4))
    coder = msgspec.structs.replace(plain, capabilities=Capabilities(chat=True, code=True))
    assert points(coder, purpose="code") > points(plain, purpose="code")
    assert points(coder) < points(plain)
    scored = with_merit(Merit("code", 5.0, 0.0, 2, 2), code=True)
    assert points(scored, purpose="code") == points(plain, purpose="code")


def test_long_contexts_count_for_long_texts() -> None:
    """Half the figure from 65,536 tokens on, where there is a score of it."""
    known = with_merit(Merit("chat", 8.0, 0.5, 3, 1), Merit("long-context", 6.0, 0.7, 1, 3))
    short, long = merit_for(known, "chat", 8192), merit_for(known, "chat", LONG_CONTEXT_TOKENS)
    assert short is not None
    assert long is not None
    assert (short.points, long.points, long.error) == (8.0, 7.0, 0.7)


@given(st.sampled_from(SHIPPED.models), st.sampled_from(PURPOSES))
def test_every_catalogued_model_has_a_figure_with_its_basis(known: Model, purpose: Purpose) -> None:
    """And each of its forms has a known loss, with a source."""
    for form in known.artifacts:
        fact = quality(known, form, purpose=purpose)
        assert fact.known is not None
        assert "benchmark" in fact.source
        assert QUANT_LOSS[form.quant].source


def test_the_shipped_order_is_what_people_know() -> None:
    """Within a family size decides, and a generation of age does; toys are far behind."""
    best = {known.id: points(known) for known in SHIPPED.models}
    assert best["qwen2.5-72b-instruct"] > best["qwen2.5-14b-instruct"] > best["qwen2.5-7b-instruct"]
    assert best["gemma-3-27b-it"] > best["gemma-2-27b-it"] > best["gemma-2-9b-it"]
    assert best["llama-3.3-70b-instruct"] > best["llama-3.1-70b-instruct"] > best["llama-3.1-8b-instruct"]
    assert min(best["qwen3-4b"], best["gemma-3-4b-it"]) > best["smollm2-135m-instruct"] + 3
