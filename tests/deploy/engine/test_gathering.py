"""Pieces of an answer are joined where they come quickly, and nothing is lost, kept back or put in another order."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.engine.gathering import EVERY_S, gathered
from deploy.engine.protocol import Event, Reading, Text, Thinking

PIECES = st.lists(
    st.tuples(st.sampled_from([Text, Thinking]), st.text(min_size=1, max_size=4), st.floats(0, 0.1)), max_size=60
)


def timed(pieces: list[tuple[type[Text] | type[Thinking], str, float]]) -> tuple[list[float], Iterator[Event]]:
    """Events that come at their time, and a clock that shows it."""
    now = [0.0]

    def coming() -> Iterator[Event]:
        yield Reading(1, 1, 0)
        for kind, text, later_s in pieces:
            now[0] += later_s
            yield kind(text)

    return now, coming()


def runs(events: list[Event]) -> list[tuple[str, str]]:
    """What was said in each channel, in order."""
    found: list[tuple[str, str]] = []
    for event in events:
        if isinstance(event, (Text, Thinking)):
            name = type(event).__name__
            before = found.pop()[1] if found and found[-1][0] == name else ""
            found.append((name, before + event.text))
    return found


@given(PIECES)
def test_every_letter_comes_once_in_its_channel_and_order(
    pieces: list[tuple[type[Text] | type[Thinking], str, float]],
) -> None:
    """However quickly they come."""
    now, coming = timed(pieces)
    events = list(gathered(coming, lambda: now[0]))
    assert runs(events) == runs([kind(text) for kind, text, _ in pieces])
    assert isinstance(events[0], Reading)


@pytest.mark.parametrize(("gap_s", "most"), [(0.002, 30), (0.05, 100)])
def test_only_quick_pieces_are_joined(gap_s: float, most: int) -> None:
    """A slow model's words are sent one by one; a quick one's about as often as a screen shows them."""
    now, coming = timed([(Text, "x", gap_s)] * 100)
    joined = gathered(coming, lambda: now[0])
    pieces = [(now[0], event.tokens) for event in joined if isinstance(event, Text)]
    sent = [at_s for at_s, _ in pieces]
    assert sum(tokens for _, tokens in pieces) == 100
    assert len(sent) <= most
    assert gap_s < EVERY_S or len(sent) == most
    assert sent[0] == gap_s
