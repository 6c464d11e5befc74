"""Bytes to text: where tokens end makes no difference to what is shown."""

from hypothesis import example, given
from hypothesis import strategies as st

from deploy.engine.channels import Marks, Tagged
from deploy.engine.protocol import Text, Thinking
from deploy.engine.text import Assembler

LETTERS = st.text(alphabet="abc", max_size=30)
STOPS = st.lists(st.text(alphabet="abc", max_size=4), max_size=4).map(tuple)


def shown(pieces: list[bytes], stop: tuple[str, ...] = ()) -> tuple[str, bool]:
    """All that is shown of an answer in these pieces, and whether a stop string ended it."""
    assembler = Assembler(stop)
    text = ""
    for piece in pieces:
        text += joined(assembler.feed(piece))
        if assembler.stopped:
            break
    return text + joined(assembler.finish()), assembler.stopped


def joined(events: list[Text | Thinking]) -> str:
    """The answer's text in these events; there is no thinking."""
    assert all(isinstance(event, Text) for event in events)
    return "".join(event.text for event in events)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The bytes in pieces that end at these places."""
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


PLACES = st.lists(st.integers(0, 200), max_size=10)


@given(st.text(max_size=60), PLACES)
def test_text_without_stop_strings_comes_out_whole(text: str, places: list[int]) -> None:
    """Characters that are spread over tokens are put together again."""
    assert shown(cut(text.encode(), places)) == (text, False)


@given(st.binary(max_size=60), PLACES)
def test_broken_utf8_reads_the_same_however_it_is_cut(data: bytes, places: list[int]) -> None:
    """Bytes that are no characters become the replacement sign and break nothing."""
    assert shown(cut(data, places))[0] == data.decode("utf-8", "replace")


@given(LETTERS, STOPS, PLACES)
@example(text="cabc", stop=("abc", "b"), places=[])
def test_stop_strings_work_the_same_however_they_are_cut(text: str, stop: tuple[str, ...], places: list[int]) -> None:
    """The whole answer at once, letter by letter or in any pieces: the same text, the same end."""
    whole = shown([text.encode()], stop)
    assert shown(cut(text.encode(), places), stop) == whole
    assert shown([letter.encode() for letter in text], stop) == whole


@given(LETTERS, STOPS)
def test_no_stop_string_is_ever_shown(text: str, stop: tuple[str, ...]) -> None:
    """What is shown is the beginning of the answer, up to the first complete stop string."""
    told, stopped = shown([letter.encode() for letter in text], stop)
    wanted = [word for word in stop if word]
    assert text.startswith(told)
    assert not any(word in told for word in wanted)
    assert stopped == any(word in text for word in wanted)


def test_only_what_may_be_a_stop_string_is_held_back() -> None:
    """Text streams: a letter that can begin no stop string is shown at once."""
    assembler = Assembler(("END",))
    assert joined(assembler.feed(b"one E")) == "one "
    assert joined(assembler.feed(b"at")) == "Eat"
    assert joined(assembler.feed(b"EN")) == ""
    assert joined(assembler.feed(b"D of it")) == ""
    assert assembler.stopped
    assert joined(assembler.feed(b"more")) == ""
    assert joined(assembler.finish()) == ""


def test_half_a_character_at_a_cut_is_left_out() -> None:
    """The model would have written the rest of it; one that ended by itself wrote no character, and that is shown."""
    for cut_off, wanted in ((True, "ok "), (False, "ok \ufffd")):
        assembler = Assembler(("END",))
        shown_so_far = joined(assembler.feed("ok 😀".encode()[:-1]))
        assert shown_so_far + joined(assembler.finish(cut=cut_off)) == wanted


def test_stop_strings_end_the_answer_and_not_the_thinking() -> None:
    """A model that thinks of the word goes on; one that answers it has ended."""
    assembler = Assembler(("END",), Tagged(Marks("<t>", "</t>"), "open"))
    events = assembler.feed(b"<t>END?</t>yes END no")
    assert events == [Thinking("END?"), Text("yes ")]
    assert assembler.stopped
    assert assembler.finish() == []


def test_an_empty_stop_string_stops_nothing() -> None:
    """It occurs everywhere; taken at its word no answer could begin."""
    assert shown([b"text"], ("",)) == ("text", False)
