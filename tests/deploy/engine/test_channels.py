"""Reasoning is told from the answer in every format, wherever tokens end."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.engine.channels import TAGS, Format, Splitter, format_of, splitter_of

PLACES = st.lists(st.integers(0, 400), max_size=12)
HARMONY: Final = (
    "<|channel|>analysis<|message|>Let me see.<|end|><|start|>assistant<|channel|>commentary<|message|>Now."
    "<|end|><|start|>assistant<|channel|>final<|message|>It is 4."
)
CASES: Final = [
    *((marks, "", f"{marks.opens}\nLet me see.\n{marks.closes}\n\nIt is 4.", "Let me see.\n") for marks in TAGS),
    (TAGS[0], "<|im_start|>assistant\n<think>\n", "Let me see.</think>\n\nIt is 4.", "Let me see."),
    (TAGS[0], "<|im_start|>assistant\n<think>\n\n</think>\n\n", "It is 4.", ""),
    (TAGS[0], "<|im_start|>assistant\n", "It is 4.", ""),
    (None, "", "It is 4.", ""),
    ("harmony", "<|start|>assistant", HARMONY, "Let me see.\n\nNow."),
    ("harmony", "<|start|>assistant", "It is 4.", ""),
    ("harmony", "<|start|>assistant<|channel|>final<|message|>", "It is 4.", ""),
    ("harmony", "<|start|>assistant", "<|channel|>final <|constrain|>json<|message|>It is 4.", ""),
]


def told(splitter: Splitter, pieces: list[str]) -> tuple[str, str]:
    """What is thought and what is answered in these pieces of text."""
    every = [piece for text in pieces for piece in splitter.feed(text)] + splitter.finish()
    assert all(piece.text for piece in every)
    return (
        "".join(piece.text for piece in every if piece.thinking),
        "".join(piece.text for piece in every if not piece.thinking),
    )


@pytest.mark.parametrize(("found", "prompt", "text", "thought"), CASES)
@given(places=PLACES)
def test_every_format_is_taken_apart_wherever_tokens_end(
    found: Format | None, prompt: str, text: str, thought: str, places: list[int]
) -> None:
    """At once, letter by letter, or in any pieces: the same thinking, the same answer, and no mark in either."""
    ends = sorted({place % (len(text) + 1) for place in places} | {len(text)})
    pieces = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    for cut in ([text], list(text), pieces):
        assert told(splitter_of(found, prompt), cut) == (thought, "It is 4.")


@given(st.text(alphabet="<>/think \n", max_size=40))
def test_an_answer_without_reasoning_is_shown_as_it_is(text: str) -> None:
    """Whatever looks like a tag without being one at the beginning is text of the answer."""
    if not text.lstrip().startswith("<think>"):
        assert told(splitter_of(TAGS[0], ""), list(text)) == ("", text)


def test_an_answer_may_speak_of_the_tags() -> None:
    """Only the beginning of an answer is looked at: a text about reasoning is not cut to pieces."""
    text = "Wrap it in <think> and </think>."
    assert told(splitter_of(TAGS[0], ""), [text]) == ("", text)
    assert told(splitter_of(TAGS[0], ""), [f"<think>a</think>{text}"]) == ("a", text)


def test_reasoning_that_never_ends_is_all_reasoning() -> None:
    """An answer that is cut off in the middle of a thought has no text."""
    assert told(splitter_of(TAGS[0], ""), ["<think>and then </th"]) == ("and then </th", "")


def test_reasoning_streams() -> None:
    """A thought is shown while it is thought; only what may be a mark is held."""
    splitter = splitter_of(TAGS[0], "<think>\n")
    assert [piece.text for piece in splitter.feed("one ")] == ["one "]
    assert splitter.feed("</") == []
    assert [piece.text for piece in splitter.feed("b")] == ["</b"]
    assert not splitter.answering


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("{{ '<|im_start|>' }}", None),
        ("{% set content = content.split('</think>')[-1] %}", TAGS[0]),
        ("[SYSTEM_PROMPT]...[THINK]{{ thinking }}[/THINK]", TAGS[1]),
        ("{{- '<|channel>thought\\n<channel|>' -}}", TAGS[2]),
        ("<|start|>assistant<|channel|>final<|message|>", "harmony"),
    ],
)
def test_the_template_tells_the_format(template: str, found: Format | None) -> None:
    """It is the one place where a model says how it marks its reasoning."""
    assert format_of(template) == found


def test_with_a_schema_the_answer_is_expected_at_once() -> None:
    """Unless the prompt has opened the reasoning, which then must end first."""
    assert splitter_of(TAGS[0], "assistant\n", answer_only=True).answering
    assert not splitter_of(TAGS[0], "assistant\n<think>\n", answer_only=True).answering
