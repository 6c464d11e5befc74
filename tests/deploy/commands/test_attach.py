"""Text files that go with a message: what is read, what is refused, and what the model gets of it."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.commands.attach import LIMIT_BYTES, as_text, read_attachment, with_attachments
from deploy.conversations import Attachment
from deploy.errors import LandfastError, NotFound, UsageError


def test_a_text_file_is_read_whole(tmp_path: Path) -> None:
    """Its name without the folder, and its text without a byte order mark."""
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfeins\r\nzwei")
    assert read_attachment(str(tmp_path / "a.txt")) == Attachment("a.txt", "eins\r\nzwei")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A folder, a pipe that would never end, and nothing."""
    os.mkfifo(tmp_path / "pipe")
    for name, error in (("", UsageError), ("pipe", UsageError), ("none", NotFound)):
        with pytest.raises(error):
            read_attachment(str(tmp_path / name))


def test_the_limit_is_exact() -> None:
    """One byte more is too much."""
    assert as_text(b"x" * LIMIT_BYTES, "a")
    with pytest.raises(UsageError, match="more than"):
        as_text(b"x" * (LIMIT_BYTES + 1), "a")


@given(st.binary(max_size=200))
def test_any_bytes_are_text_or_a_sentence(raw: bytes) -> None:
    """Never another error, and never a text with a null byte."""
    text, hint = "", ""
    try:
        text = as_text(raw, "a")
    except LandfastError as error:
        hint = error.hint
    assert bool(text) != bool(hint)
    assert "\0" not in text


def test_files_stand_before_the_question() -> None:
    """Each under its name; a message may be files alone."""
    files = (Attachment("a", "A"), Attachment("b", "B\n"))
    assert with_attachments("Why?", files) == "File a:\n\n```\nA\n```\n\nFile b:\n\n```\nB\n```\n\nWhy?"
    assert with_attachments("", files[:1]) == "File a:\n\n```\nA\n```"
    assert with_attachments("Why?", ()) == "Why?"
