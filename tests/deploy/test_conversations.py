"""Saved conversations: one file for its owner alone, whole after every step, and empty of what was deleted."""

import sqlite3
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.conversations import Attachment, Conversations, Talk, Turn, as_json, as_markdown, excerpt, fenced, title_of
from deploy.errors import IntegrityError, NotFound, NotWritable

NOW = "2025-06-01T10:00:00Z"


def talk(*texts: str, title: str = "A title", number: int | None = None, changed: str = NOW) -> Talk:
    """A conversation of these messages in turn."""
    turns = tuple(
        Turn(role="assistant" if index % 2 else "user", text=text, time=NOW) for index, text in enumerate(texts)
    )
    return Talk(id=number, title=title, created=NOW, changed=changed, turns=turns)


@pytest.fixture
def saved(tmp_path: Path) -> Conversations:
    """A place in which nothing is saved yet."""
    return Conversations(tmp_path / "kept" / "conversations.db")


def test_reading_creates_nothing(saved: Conversations) -> None:
    """Whoever never saves has no file."""
    assert saved.summaries() == ()
    assert saved.search(["x"]) == ()
    with pytest.raises(NotFound):
        saved.get(1)
    with pytest.raises(NotFound):
        saved.delete(1)
    assert not saved.file.parent.exists()


def test_a_conversation_comes_back_as_it_was(saved: Conversations) -> None:
    """With thoughts, files, models and the system prompt."""
    turn = Turn(
        role="assistant", text="Yes.", time=NOW, model="m", thinking="Hm.", attachments=(Attachment("a.txt", "A"),),
        stopped=True, seed=7,
    )  # fmt: skip
    wanted = msgspec.structs.replace(talk("Is it?"), system="Be brief.")
    wanted = msgspec.structs.replace(wanted, turns=(*wanted.turns, turn))
    number = saved.save(wanted)
    assert saved.get(number) == msgspec.structs.replace(wanted, id=number)


def test_saving_again_replaces_and_keeps_the_number(saved: Conversations) -> None:
    """A conversation that grew, and one that was cut back, is there once."""
    number = saved.save(talk("one", "two", "three", "four"))
    assert saved.save(talk("one", "other", number=number, title="New")) == number
    assert [turn.text for turn in saved.get(number).turns] == ["one", "other"]
    assert [(one.title, one.messages) for one in saved.summaries()] == [("New", 2)]


def test_what_was_deleted_elsewhere_is_saved_anew_under_its_number(saved: Conversations) -> None:
    """A chat that is still open in one window loses nothing to another."""
    number = saved.save(talk("one", "two"))
    saved.delete(number)
    assert saved.save(talk("one", "two", number=number)) == number
    assert len(saved.get(number).turns) == 2


def test_a_number_is_never_given_twice(saved: Conversations) -> None:
    """A command that names a deleted conversation does not hit another one."""
    first = saved.save(talk("one"))
    saved.delete(first)
    assert saved.save(talk("two")) > first


def test_the_newest_stands_first(saved: Conversations) -> None:
    """By its last change."""
    saved.save(talk("a", title="old", changed="2025-01-01T00:00:00Z"))
    saved.save(talk("b", title="new", changed="2025-02-01T00:00:00Z"))
    assert [one.title for one in saved.summaries()] == ["new", "old"]


def test_only_the_owner_can_read_the_files(saved: Conversations) -> None:
    """Also while it is open, when SQLite has files beside it, and after someone opened it up."""
    saved.save(talk("one"))
    saved.file.chmod(0o644)
    saved.save(talk("two"))
    with saved._opened() as store:
        store.execute("DELETE FROM turn")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in saved.file.parent.iterdir()}
    assert len(modes) > 1
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(saved.file.parent.stat().st_mode) == 0o700


def test_deleted_text_is_gone_from_the_disk(saved: Conversations) -> None:
    """Not only from the tables: no byte of it is left in any file."""
    number = saved.save(talk("canary-one " * 300, "canary-two " * 300))
    assert any(b"canary" in path.read_bytes() for path in saved.file.parent.iterdir())
    saved.delete(number)
    assert not any(b"canary" in path.read_bytes() for path in saved.file.parent.iterdir())


def test_search_finds_messages_with_all_words_in_any_case(saved: Conversations) -> None:
    """Also beyond ASCII, and in every conversation."""
    saved.save(talk("Die Straße ist GRÜN", "nothing"))
    saved.save(talk("grün", "Straße, grün und lang", title="Second", changed="2025-07-01T00:00:00Z"))
    found = saved.search(["STRASSE", "grün"])
    assert [(one.title, one.n, one.role) for one in found] == [("Second", 2, "assistant"), ("A title", 1, "user")]
    assert saved.search(["%"]) == ()
    assert saved.search([]) == ()


def test_tables_of_a_later_version_are_left_alone(saved: Conversations) -> None:
    """An older program does not write into what it does not know."""
    saved.save(talk("one"))
    with sqlite3.connect(saved.file) as store:
        store.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(NotWritable, match="newer Landfast"):
        saved.save(talk("two"))


def test_a_damaged_file_is_said(saved: Conversations) -> None:
    """It is neither overwritten nor a traceback."""
    saved.file.parent.mkdir()
    saved.file.write_bytes(b"this is no database" * 100)
    with pytest.raises(IntegrityError, match="damaged"):
        saved.summaries()
    assert saved.file.read_bytes().startswith(b"this is no database")


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "kept").write_text("")
    with pytest.raises(NotWritable):
        Conversations(tmp_path / "kept" / "conversations.db").save(talk("one"))


def test_exports_hold_everything() -> None:
    """Markdown for people, JSON that can be read back."""
    wanted = Talk(
        id=3,
        title="T",
        created=NOW,
        changed=NOW,
        system="Be brief.",
        turns=(
            Turn(role="user", text="Q", time=NOW, attachments=(Attachment("a.py", "x = '```'"),)),
            Turn(role="assistant", text="A", time=NOW, model="tiny", thinking="Hm", stopped=True),
        ),
    )
    assert msgspec.json.decode(as_json(wanted), type=Talk) == wanted
    text = as_markdown(wanted)
    parts = ("# T", "Be brief.", "## You", "### File a.py", "````\nx = '```'\n````", "## tiny", "Hm", "(stopped)")
    assert [part for part in parts if part not in text] == []


@given(st.text())
def test_a_fence_holds_any_text(text: str) -> None:
    """The mark around it is longer than any in it, so it cannot end early."""
    mark = fenced(text).split("\n")[0]
    assert mark not in text
    assert set(mark) == {"`"}


@given(st.text(), st.text(min_size=1, max_size=5))
def test_titles_and_excerpts_are_one_short_line(text: str, word: str) -> None:
    """Whatever was said."""
    assert len(title_of(text)) <= 60
    assert "\n" not in title_of(text)
    assert "\n" not in excerpt(text, word.casefold())


def test_what_was_found_stands_in_its_excerpt() -> None:
    """Also behind many letters that are two without case: of ß the search makes ss."""
    assert "Ziel" in excerpt("Straße " * 200 + "Ziel" + " Straße" * 200, "ziel")
