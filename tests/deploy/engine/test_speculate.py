"""Guesses are taken from the text, and are only checked where that is measured to pay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.engine.speculate import COSTS, LOOKED_AT, NO_REPETITION, TILED_COSTS, Guesser, Lookup, Pace, costs_of

TEXT = [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]


def sure(chance: float, excess: float = 1.0) -> Pace:
    """A pace that has seen guesses of this chance, and steps that cost so many times what is assumed."""
    pace = Pace()
    for _ in range(LOOKED_AT):
        pace.take(0.010, 0)
    for _ in range(LOOKED_AT):
        pace.take(0.010 * COSTS[3] * excess, 3)
    pace.chance = chance
    return pace


def beginning(text: list[int], most: int, chance: float) -> Guesser:
    """A guesser in the middle of an answer that went so."""
    pace = Pace()
    guesser = Guesser(text, most, pace)
    pace.chance = chance
    return guesser


@pytest.mark.parametrize(
    ("text", "guess"),
    [
        ([1, 2, 3, 4, 5, 1, 2, 3], [4, 5, 1]),
        ([1, 2, 3, 9, 1, 2, 3, 4, 1, 2, 3], [4, 1, 2]),
        ([7, 2, 3, 4, 8, 2, 3], [4, 8, 2]),
        ([1, 2, 3, 4], []),
        ([5, 5, 5, 5], [5, 5, 5]),
        ([9, 1, 2, 1, 2, 1], [2, 1, 2]),
        ([], []),
    ],
    ids=["tail of three", "the last place", "tail of two", "new", "itself", "in turn", "empty"],
)
def test_what_followed_before_is_guessed(text: list[int], guess: list[int]) -> None:
    """The longest tail counts, at its last place, and never itself."""
    assert Lookup(text).guess(3) == guess


@given(st.lists(st.integers(0, 3) | st.sampled_from([256, 65536, 16777216]), max_size=40))
def test_a_guess_stands_in_the_text(text: list[int]) -> None:
    """Also where one token's bytes look like another's."""
    guess = Lookup(text).guess(4)
    whole = [*text, *guess]
    places = [at for at in range(2, len(text)) if text[at - 2 : at] == text[-2:] and whole[at : at + 4] == guess]
    assert bool(places) == bool(guess)


def test_a_text_can_be_lengthened() -> None:
    """Token by token it is the same text."""
    lookup = Lookup(TEXT)
    for token in TEXT[:4]:
        lookup.add(token)
    assert lookup.guess(3) == TEXT[4:7]


@pytest.mark.parametrize(("chance", "size"), [(0.98, 7), (0.85, 3), (0.7, 0), (0.2, 0)])
def test_how_often_guesses_come_true_decides(chance: float, size: int) -> None:
    """Many at a time where they nearly always do, and none where they seldom do."""
    pace = sure(chance)
    assert pace.size(7) == size
    assert bool(pace.why_not()) == (size == 0)


@pytest.mark.parametrize(("chance", "size"), [(0.95, 15), (0.75, 0)])
def test_a_tile_has_room_for_more(chance: float, size: int) -> None:
    """Sixteen tokens cost little more than eight then; two and four cost more than elsewhere."""
    pace = Pace(TILED_COSTS)
    pace.chance = chance
    assert pace.size(15) == size


@pytest.mark.parametrize(
    ("file_type", "machine", "tiled"),
    [
        ("Q4_K - Medium", "x86_64", True),
        ("Q6_K", "AMD64", True),
        ("IQ4_XS - 4.25 bpw", "x86_64", True),
        ("IQ3_S mix - 3.66 bpw", "x86_64", True),
        ("IQ4_NL - 4.5 bpw", "x86_64", False),
        ("Q8_0", "x86_64", False),
        ("Q4_K - Medium", "aarch64", False),
        ("", "x86_64", False),
    ],
)
def test_which_weights_have_tiles(file_type: str, machine: str, tiled: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Those of the types that the engine has tiles for, as they lie in the file, and where no experts are chosen."""
    assert (costs_of(file_type, 2048, experts=False, repacked=False, machine=machine) is TILED_COSTS) == tiled
    assert costs_of(file_type, 2048, experts=True, repacked=False, machine=machine) is COSTS
    assert costs_of(file_type, 2048, experts=False, repacked=True, machine=machine) is COSTS
    assert costs_of(file_type, 576, experts=False, repacked=False, machine=machine) is COSTS


@pytest.mark.parametrize(("excess", "pays"), [(0.5, True), (1.6, True), (2.0, False), (3.0, False)])
def test_the_clock_has_a_veto(excess: float, pays: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A machine on which a step of four costs as much as four steps is left alone, and the reason told."""
    pace = sure(0.98, excess)
    assert bool(pace.size(7)) == pays
    assert ("times as long" in pace.why_not()) != pays


def test_a_slow_moment_is_no_veto() -> None:
    """One step that another program held up says nothing of the machine."""
    pace = sure(0.98)
    pace.take(9.0, 7)
    assert pace.size(7) == 7
    assert pace.why_not() == ""


def test_it_looks_on_while_it_is_off() -> None:
    """Guesses are compared for nothing, and it comes on when the answer begins to copy."""
    guesser = beginning([*TEXT * 4, *TEXT[:3]], 7, 0.1)
    assert guesser.propose(7) == []
    for token in [*TEXT[3:], *TEXT * 5, *TEXT[:3]]:
        guesser.propose(7)
        guesser.saw(token, checked=False)
    assert guesser.propose(7) == TEXT[3:]


def test_it_goes_off_when_guesses_fail() -> None:
    """A text that goes on in another way every time costs a few steps and no more."""
    guesser = beginning([*TEXT, *TEXT[:3]], 7, 0.98)
    checked = 0
    for number in range(60):
        proposed = guesser.propose(7)
        checked += len(proposed)
        for token in (100 + number, 10, 11, 12):
            guesser.saw(token, checked=bool(proposed))
    assert not guesser.propose(7)
    assert 0 < checked < 20
    assert guesser.report().right == 0
    assert "too few" in guesser.report().why_not


def test_a_new_answer_begins_anew() -> None:
    """What the last answer was like says nothing of this one; what the machine is like remains."""
    pace = sure(0.98, excess=3.0)
    guesser = Guesser([*TEXT, *TEXT[:3]], 7, pace)
    assert guesser.propose(7) == []
    assert pace.chance < 0.98
    assert "times as long" in guesser.report().why_not


def test_a_text_without_repetition_says_so() -> None:
    """The reason is reported."""
    guesser = beginning(TEXT, 7, 0.98)
    assert guesser.propose(7) == []
    assert guesser.report().why_not == NO_REPETITION


@pytest.mark.parametrize("most", [0, 1, 2, 3, 6, 7, 50])
def test_never_more_than_the_plan_and_the_request_allow(most: int) -> None:
    """The output buffer has so many rows, and the answer so many tokens left."""
    assert len(beginning([*TEXT, *TEXT[:3]], 7, 0.99).propose(most)) <= min(most, 7)
    assert len(beginning([*TEXT, *TEXT[:3]], most, 0.99).propose(7)) <= min(most, 7)
