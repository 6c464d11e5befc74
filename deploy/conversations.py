"""Conversations that a person asked to keep: one SQLite file that its owner alone can read.

Nothing here is called unless keeping was asked for, and reading creates nothing. Deleted text is overwritten.
"""

import os
import re
import sqlite3
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from deploy.errors import IntegrityError, NotFound, NotWritable

FORMAT: Final = "landfast.conversation/1"
VERSION: Final = 1
"""Of the tables; a later one adds steps to `_prepare` and never changes an earlier step."""
BUSY_LIMIT_S: Final = 5.0
EXCERPT: Final = 48
"""Characters on each side of what was found."""
TITLE: Final = 60

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS conversation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL, created TEXT NOT NULL, changed TEXT NOT NULL, system TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS turn (
    conversation INTEGER NOT NULL REFERENCES conversation ON DELETE CASCADE,
    n INTEGER NOT NULL, role TEXT NOT NULL, text TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (conversation, n)
) WITHOUT ROWID;
"""

_PUT: Final = (
    "INSERT INTO conversation (id, title, created, changed, system) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
    " SET title = excluded.title, changed = excluded.changed, system = excluded.system RETURNING id"
)


class Attachment(msgspec.Struct, frozen=True):
    """A text file that was sent with a message."""

    name: str
    text: str


class Picture(msgspec.Struct, frozen=True):
    """What is kept of an image that was shown with a message. The image itself is in memory and nowhere else."""

    name: str
    sha256: str
    size_bytes: int
    width: int
    height: int

    @property
    def words(self) -> str:
        """Its name and its size in pixels."""
        return f"{self.name}, {self.width:,} x {self.height:,} pixels"


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a conversation, as it was written."""

    role: Literal["user", "assistant"]
    text: str
    time: str
    """When it was complete, UTC, ISO 8601."""
    model: str = ""
    """Which model wrote it."""
    thinking: str = ""
    attachments: tuple[Attachment, ...] = ()
    images: tuple[Picture, ...] = ()
    stopped: bool = False
    """Whether the answer was stopped or cut off before its end."""
    seed: int | None = None
    """With which the answer was drawn."""


class Talk(msgspec.Struct, frozen=True, kw_only=True):
    """A whole conversation."""

    format: Literal["landfast.conversation/1"] = FORMAT
    id: int | None = None
    """None while it is nowhere but in memory."""
    title: str
    created: str
    changed: str
    system: str = ""
    turns: tuple[Turn, ...]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One saved conversation in a list."""

    id: int
    title: str
    created: str
    changed: str
    messages: int


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One message that holds what was searched."""

    id: int
    title: str
    n: int
    """Which message of the conversation, from 1."""
    role: Literal["user", "assistant"]
    excerpt: str


class Conversations:
    """The file of saved conversations."""

    def __init__(self, file: Path) -> None:
        """Touch nothing yet."""
        self.file = file

    def save(self, talk: Talk) -> int:
        """Write a conversation, in place of its earlier form where it has an id. Gives its id."""
        self._make()
        with self._opened() as store:
            row = (talk.id, talk.title, talk.created, talk.changed, talk.system)
            (number,) = store.execute(_PUT, row).fetchone()
            store.execute("DELETE FROM turn WHERE conversation = ?", (number,))
            store.executemany(
                "INSERT INTO turn VALUES (?, ?, ?, ?, ?)",
                [(number, n, turn.role, turn.text, msgspec.json.encode(turn)) for n, turn in enumerate(talk.turns, 1)],
            )
        return int(number)

    def summaries(self) -> tuple[Summary, ...]:
        """All conversations, the newest first."""
        sql = (
            "SELECT id, title, created, changed, (SELECT count(*) FROM turn WHERE conversation = id)"
            " FROM conversation ORDER BY changed DESC, id DESC"
        )
        return tuple(
            Summary(id=number, title=title, created=created, changed=changed, messages=messages)
            for number, title, created, changed, messages in self._rows(sql)
        )

    def get(self, number: int) -> Talk:
        """One conversation. Raises NotFound."""
        rows = self._rows("SELECT title, created, changed, system FROM conversation WHERE id = ?", number)
        if not rows:
            raise _unknown(number)
        title, created, changed, system = rows[0]
        bodies = self._rows("SELECT body FROM turn WHERE conversation = ? ORDER BY n", number)
        turns = tuple(msgspec.json.decode(body, type=Turn) for (body,) in bodies)
        return Talk(id=number, title=title, created=created, changed=changed, system=system, turns=turns)

    def search(self, words: Sequence[str]) -> tuple[Found, ...]:
        """Messages in which all of these words occur, whatever their case; newest conversation first."""
        wanted = [word.casefold() for word in words if word]
        sql = (
            "SELECT id, title, n, role, text FROM turn JOIN conversation ON id = conversation ORDER BY changed DESC, n"
        )
        return tuple(
            Found(id=number, title=title, n=n, role=role, excerpt=excerpt(text, wanted[0]))
            for number, title, n, role, text in self._rows(sql)
            if wanted and all(word in text.casefold() for word in wanted)
        )

    def delete(self, number: int) -> None:
        """Take a conversation away, and overwrite its text. Raises NotFound."""
        if not self.file.exists():
            raise _unknown(number)
        with self._opened() as store:
            if not store.execute("DELETE FROM conversation WHERE id = ?", (number,)).rowcount:
                raise _unknown(number)

    def _rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        if self.file.exists():
            with self._opened() as store:
                rows = store.execute(sql, values).fetchall()
        return rows

    def _make(self) -> None:
        """An empty file that nobody else can read; what SQLite puts beside it takes over its mode."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self.file, os.O_CREAT | os.O_RDWR, 0o600))
            self.file.chmod(0o600)
        except OSError as error:
            raise NotWritable(
                f"{self.file} cannot be created: {error.strerror}.", hint="Give this user write access to its folder."
            ) from error

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """One transaction; the file beside it, which holds what was just written, is folded in at the end."""
        try:
            with closing(sqlite3.connect(self.file, timeout=BUSY_LIMIT_S)) as store:
                _prepare(store, self.file)
                with store:
                    yield store
        except sqlite3.OperationalError as error:
            raise NotWritable(
                f"The conversations in {self.file} cannot be opened: {error}.",
                hint="Check that this user may read and write it, and that its disk is not full.",
            ) from error
        except sqlite3.DatabaseError as error:
            raise IntegrityError(
                f"The conversations in {self.file} are damaged: {error}.",
                hint="Put back a copy of it, or move it away.",
            ) from error


def _prepare(store: sqlite3.Connection, file: Path) -> None:
    store.execute("PRAGMA journal_mode = WAL")
    store.execute("PRAGMA secure_delete = ON")
    store.execute("PRAGMA foreign_keys = ON")
    (version,) = store.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise NotWritable(
            f"The conversations in {file} were written by a newer Landfast.",
            hint="Update Landfast here.",
        )
    if version < VERSION:
        store.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")


def title_of(text: str) -> str:
    """A conversation's title: the beginning of its first message."""
    line = " ".join(text.split())
    return line if len(line) <= TITLE else f"{line[: TITLE - 1].rstrip()}…"


def excerpt(text: str, word: str) -> str:
    """A line around the first place where a word stands, given in lower case."""
    flat = " ".join(text.split())
    found = max(0, flat.casefold().find(word))
    at = bisect_left(range(len(flat)), found, key=lambda end: len(flat[:end].casefold()))  # ß in small letters is ss
    start, end = max(0, at - EXCERPT), at + len(word) + EXCERPT
    return f"{'…' if start else ''}{flat[start:end]}{'…' if end < len(flat) else ''}"


def as_json(talk: Talk) -> str:
    """A conversation for programs."""
    return msgspec.json.format(msgspec.json.encode(talk), indent=2).decode() + "\n"


def as_markdown(talk: Talk) -> str:
    """A conversation for people."""
    parts = [f"# {talk.title}\n\n{talk.created}\n"]
    if talk.system:
        parts.append(f"## System prompt\n\n{talk.system}\n")
    parts += [_turn(turn) for turn in talk.turns]
    return "\n".join(parts)


def _turn(turn: Turn) -> str:
    who = "You" if turn.role == "user" else turn.model or "Model"
    body = [f"## {who}\n", f"{turn.text}\n"]
    if turn.thinking:
        body.insert(1, f"### Thinking\n\n{fenced(turn.thinking)}\n")
    body += [f"### File {attached.name}\n\n{fenced(attached.text)}\n" for attached in turn.attachments]
    body += [f"(Image {shown.words}, SHA-256 {shown.sha256}. It is not in this file.)\n" for shown in turn.images]
    if turn.stopped:
        body.append("(stopped)\n")
    return "\n".join(body)


def fenced(text: str) -> str:
    """Text in a code block whose marks are longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    mark = "`" * max(3, longest + 1)
    end = "" if text.endswith("\n") or not text else "\n"
    return f"{mark}\n{text}{end}{mark}"


def _unknown(number: int) -> NotFound:
    return NotFound(
        f"There is no saved conversation {number}.", hint="`landfast conversations list` shows those that are saved."
    )
