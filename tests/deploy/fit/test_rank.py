"""The order of models, and why each one stands where it stands."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.catalog import loader
from deploy.catalog.model import Artifact, Catalog, Model
from deploy.fit.fit import Workload
from deploy.fit.rank import Availability, Ranked, Ranking, best_form, rank
from deploy.fit.suit import Purpose
from profiles.budget import Budget, budget
from profiles.simulated import load_machine
from tests.support.world import GB, catalog, machine, model, sized

SHIPPED = loader.load()


def here(available_bytes: int = 16 * GB, cores: int = 4) -> Budget:
    """The budget of a machine with so much memory free."""
    return budget(machine(total_bytes=max(available_bytes, 16 * GB), available_bytes=available_bytes, cores=cores))


def everywhere(_model: Model, _artifact: Artifact) -> tuple[bool, str]:
    """Everything can be had."""
    return True, "from the test"


def nowhere(_model: Model, _artifact: Artifact) -> tuple[bool, str]:
    """Nothing can be had."""
    return False, "No source has it."


def only(*ids: str) -> Availability:
    """Only these forms can be had."""

    def available(known: Model, form: Artifact) -> tuple[bool, str]:
        return (f"{known.id}:{form.quant}" in ids, "as the test says")

    return available


@pytest.mark.no_cover
@settings(deadline=None, max_examples=15)
@given(st.integers(0, 128 * GB), st.integers(1, 32), st.integers(256, 65536), st.floats(0, 60), st.booleans())
def test_nothing_is_ranked_that_will_not_do(
    available_bytes: int,
    cores: int,
    context_tokens: int,
    min_tok_s: float,
    reachable: bool,  # noqa: FBT001
) -> None:
    """Whatever the machine: what is ranked fits, can be had, is fast enough; and every model has its place once."""
    workload = Workload(context_tokens=context_tokens, min_decode_tok_s=min_tok_s)
    found = rank(SHIPPED, here(available_bytes, cores), workload, everywhere if reachable else nowhere)
    for candidate in found.ranked:
        assert candidate.obtainable
        assert candidate.fit.verdict == "fits"
        assert candidate.fit.peak_bytes <= candidate.fit.room_bytes
        assert (candidate.fit.speed.decode_tok_s.known or 0) >= min_tok_s
    assert found.chosen is (found.ranked[0] if found.ranked else None)
    assert sorted(c.fit.model_id for c in (*found.ranked, *found.refused)) == sorted(m.id for m in SHIPPED.models)
    assert all(candidate.why for candidate in (*found.ranked, *found.refused))


def ranked(known: Catalog, **more: object) -> Ranking:
    """Rank on the usual machine."""
    options = {"workload": Workload(), "available": everywhere} | more
    return rank(known, here(), **options)  # type: ignore[arg-type]


def test_the_best_that_fits_is_chosen_with_its_reason() -> None:
    """Quality decides; the others say by how much they are behind, and whether they are faster."""
    known = catalog(
        model("small", sized("Q4_K_M", GB), parameters=GB),
        model("large", sized("Q4_K_M", 2 * GB), parameters=4 * GB),
        model("huge", sized("Q4_K_M", 90 * GB), parameters=150 * GB),
    )
    found = ranked(known)
    assert [candidate.fit.model_id for candidate in found.ranked] == ["large", "small"]
    assert found.chosen is not None
    assert found.chosen.why.startswith(
        "It has the highest expected quality of 2 models that fit and can be installed from here."
    )
    assert "2.0 points less expected quality than Large" in found.ranked[1].why
    assert "times as fast" in found.ranked[1].why
    assert [candidate.fit.model_id for candidate in found.refused] == ["huge"]
    assert "It needs 90 GB" in found.refused[0].why


def test_a_form_out_of_reach_is_not_chosen() -> None:
    """A lesser form that can be had beats a better one that cannot."""
    known = catalog(model("m", sized("Q8_0", 2 * GB), sized("Q4_K_M", GB)))
    found = ranked(known, available=only("m:Q4_K_M"))
    assert found.chosen is not None
    assert found.chosen.fit.quant == "Q4_K_M"
    assert "the only model" in found.chosen.why


def test_a_model_out_of_reach_is_refused_with_that_reason() -> None:
    """It fits, and it cannot be had: that is what is said."""
    found = ranked(catalog(model("m", sized("Q4_K_M", GB))), available=nowhere)
    assert found.chosen is None
    assert [candidate.why for candidate in found.refused] == ["No source has it."]


def test_of_equals_the_smaller_one_is_first() -> None:
    """Nothing is gained by the larger one."""
    known = catalog(model("one", sized("Q4_K_M", 2 * GB)), model("two", sized("Q4_K_M", GB)))
    assert [candidate.fit.model_id for candidate in ranked(known).ranked] == ["two", "one"]


def test_of_forms_that_are_all_too_large_the_smallest_is_shown() -> None:
    """It is the one that is nearest to fitting."""
    known = model("m", sized("Q8_0", 80 * GB), sized("Q2_K", 30 * GB), sized("Q4_K_M", 50 * GB))
    assert best_form(known, here(), Workload(), everywhere).fit.quant == "Q2_K"


def test_of_forms_that_are_all_too_slow_the_fastest_is_shown() -> None:
    """Likewise."""
    known = model("m", sized("Q8_0", 9 * GB), sized("Q4_K_M", 5 * GB), parameters=9 * GB)
    assert best_form(known, here(cores=1), Workload(min_decode_tok_s=50), everywhere).fit.quant == "Q4_K_M"


@pytest.mark.no_cover
@pytest.mark.parametrize("name", ["laptop-16gb-core-ultra", "desktop-rtx-4060-ti-16gb"])
@pytest.mark.parametrize("purpose", ["chat", "code"])
def test_no_form_of_a_choice_would_be_better_in_every_way(name: str, purpose: Purpose) -> None:
    """Of each model the form is taken that no other form beats. What holds among models the goldens' test shows."""
    here_, workload = budget(load_machine(name)), Workload(purpose=purpose)
    for candidate in rank(SHIPPED, here_, workload, everywhere).ranked[:5]:
        known = next(m for m in SHIPPED.models if m.id == candidate.fit.model_id)
        forms = [rank_of(known, form, here_, workload) for form in known.artifacts]
        mine = _figures(candidate)
        for form in forms:
            better = all(a >= b for a, b in zip(_figures(form), mine, strict=True)) and _figures(form) != mine
            assert form.fit.verdict != "fits" or not better, form.fit.id


def test_what_another_beats_in_every_way_comes_last_and_says_so() -> None:
    """Less quality, no faster and no smaller: there is nothing to choose it for, and the one that beats it is named."""
    known = catalog(
        model("best", sized("Q4_K_M", 3 * GB), parameters=4 * GB),
        model("twin", sized("Q4_K_M", 3 * GB), parameters=3 * GB),
        model("nimble", sized("Q4_K_M", GB), parameters=2 * GB),
    )
    found = ranked(known, workload=Workload(min_decode_tok_s=0.1)).ranked
    assert [(candidate.fit.model_id, candidate.beaten_by) for candidate in found] == [
        ("best", None),
        ("nimble", None),
        ("twin", "best:Q4_K_M"),
    ]
    assert found[2].why.startswith("Best is better: 0.4 points more expected quality")


def test_a_toy_is_no_choice_beside_something_far_better() -> None:
    """However small and fast it is, what is far behind comes after what is merely beaten."""
    known = catalog(
        model("good", sized("Q4_K_M", 2 * GB), parameters=16 * GB),
        model("twin", sized("Q4_K_M", 2 * GB), parameters=12 * GB),
        model("toy", sized("Q4_K_M", 10**8), parameters=10**9),
    )
    found = ranked(known).ranked
    assert [candidate.fit.model_id for candidate in found] == ["good", "twin", "toy"]
    assert found[2].beaten_by is None


def rank_of(known: Model, form: Artifact, here_: Budget, workload: Workload) -> Ranked:
    """One form by itself."""
    return best_form(msgspec.structs.replace(known, artifacts=(form,)), here_, workload, everywhere)


def _figures(candidate: Ranked) -> tuple[float, float, int]:
    found = candidate.fit
    return found.quality.known or 0.0, found.speed.decode_tok_s.known or 0.0, -found.peak_bytes


def test_speed_beyond_the_least_counts_until_it_would_not_be_felt() -> None:
    """Of two of one quality the faster one is first, and more than four times the least is not better than four."""
    slow, fast = sized("Q8_0", 4 * GB), sized("Q8_0", GB)
    known = catalog(model("slow", slow, parameters=4 * GB), model("fast", fast, parameters=4 * GB))
    assert [candidate.fit.model_id for candidate in ranked(known).ranked] == ["fast", "slow"]
    relaxed = ranked(known, workload=Workload(min_decode_tok_s=0.1)).ranked
    assert {round(candidate.fit.quality.known or 0, 2) for candidate in relaxed} == {2.0}


def test_a_machine_of_512_mb_is_told_what_it_lacks() -> None:
    """Everything is refused or small; nothing breaks, and each refusal has its reason."""
    tiny = budget(machine(total_bytes=512 * 10**6, available_bytes=300 * 10**6, cores=1))
    found = rank(SHIPPED, tiny, Workload(context_tokens=1024), everywhere)
    assert all(candidate.fit.peak_bytes <= 300 * 10**6 for candidate in found.ranked)
    assert len(found.refused) > 170
    assert all(candidate.why for candidate in found.refused)
