"""Finding models by name and by words."""

import pytest

from deploy.catalog.loader import load
from deploy.catalog.model import Catalog
from deploy.catalog.search import find, search
from deploy.errors import NotFound


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The shipped catalogue."""
    return load()


@pytest.mark.parametrize(
    "name",
    [
        "smollm2-135m-instruct",
        "SmolLM2-135M-Instruct",
        " HuggingFaceTB/SmolLM2-135M-Instruct ",
        "bartowski/SmolLM2-135M-Instruct-GGUF",
    ],
)
def test_a_model_answers_to_its_id_and_its_repositories_in_any_case(catalog: Catalog, name: str) -> None:
    """People paste what they have: an id, the publisher's repository or that of the files."""
    model, artifact = find(catalog, name)
    assert (model.id, artifact) == ("smollm2-135m-instruct", None)


@pytest.mark.parametrize("name", ["smollm2-135m-instruct:q4_1", "huggingfacetb/smollm2-135m-instruct:Q4_1"])
def test_a_quantisation_can_be_named_after_a_colon(catalog: Catalog, name: str) -> None:
    """The form after the colon picks one artifact, in any case."""
    _, artifact = find(catalog, name)
    assert artifact is not None
    assert artifact.quant == "Q4_1"
    assert artifact.size_bytes == 98_362_432


def test_every_model_and_artifact_is_found_by_its_own_name(catalog: Catalog) -> None:
    """No entry hides behind another one's name."""
    for model in catalog.models:
        for artifact in model.artifacts:
            assert find(catalog, f"{model.id}:{artifact.quant}") == (model, artifact)
        assert model.hub_repository is not None
        assert find(catalog, model.hub_repository) == (model, None)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("smolm2-135m-instruct", "smollm2-135m-instruct"),
        ("Qwen/Qwen3-8", "qwen3-8b"),
        ("llama3.2-3b", "llama-3.2-3b-instruct"),
    ],
)
def test_a_mistyped_name_is_answered_with_the_nearest_three(catalog: Catalog, typed: str, meant: str) -> None:
    """The hint holds what was meant, and not a list to read through."""
    with pytest.raises(NotFound, match=typed) as caught:
        find(catalog, typed)
    assert meant in caught.value.hint
    assert caught.value.hint.count(",") <= 1


def test_a_name_like_no_other_gets_advice_instead_of_guesses(catalog: Catalog) -> None:
    """Far-fetched guesses would mislead."""
    with pytest.raises(NotFound) as caught:
        find(catalog, "@@@@")
    assert caught.value.hint == "Search for a part of the name with `landfast catalog search`."


@pytest.mark.parametrize("name", ["", ":Q4_K_M"])
def test_an_empty_name_is_not_found(catalog: Catalog, name: str) -> None:
    """Nothing was asked for, so nothing is picked."""
    with pytest.raises(NotFound):
        find(catalog, name)


def test_an_unknown_quantisation_is_answered_with_those_there_are(catalog: Catalog) -> None:
    """The nearest forms of the same model are named."""
    with pytest.raises(NotFound, match="q4_k_x") as caught:
        find(catalog, "qwen3-8b:q4_k_x")
    assert "Q4_K_M" in caught.value.hint


def test_a_model_that_was_left_out_says_why(catalog: Catalog) -> None:
    """Known but not installable is another answer than unknown."""
    left_out = catalog.left_out[0]
    for name in (left_out.id, f"somebody/{left_out.name}", f"{left_out.name}:Q4_K_M"):
        with pytest.raises(NotFound) as caught:
            find(catalog, name)
        assert left_out.reason in caught.value.message


def test_search_wants_every_word_somewhere(catalog: Catalog) -> None:
    """Words narrow: each one must occur in the id, name, family or publisher."""
    both = search(catalog, "QWEN3", "coder")
    assert both
    assert all("qwen3" in m.id and "coder" in m.id for m in both)
    assert set(both) < set(search(catalog, "qwen3"))
    assert {m.publisher for m in search(catalog, "mistral ai")} == {"Mistral AI"}
    assert search(catalog) == catalog.models
    assert search(catalog, "no such thing") == ()
