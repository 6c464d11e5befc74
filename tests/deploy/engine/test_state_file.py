"""A kept session's file: what was written is read, and nothing else passes, wherever it was changed."""

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Final

import msgspec
import pytest

from deploy.engine import state_protocol
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import ChatMessage
from deploy.engine.state_file import CODE_BYTES, Header, Origin, length_bytes, opened, write
from deploy.engine.state_protocol import StateShape
from deploy.errors import EngineFailed, IntegrityError, NotFound

KEY: Final = bytes(range(32))
ORIGIN: Final = Origin(model="tiny", sha256=("a" * 64,), engine="the engine 1")
PLAN: Final = LoadPlan(context_tokens=512)
PIECE: Final = 16
STATE: Final = bytes(range(40))


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small state has three."""
    monkeypatch.setattr(state_protocol, "PIECE_BYTES", PIECE)


def header(**more: object) -> Header:
    """What a file says of itself."""
    fields = {
        "name": "one",
        "created": "2025-01-01T00:00:00+00:00",
        "origin": ORIGIN,
        "plan_id": "tiny",
        "plan": PLAN,
        "peak_bytes": 2,
        "hard_bytes": 1,
        "messages": (ChatMessage("user", "Hello"),),
        "shape": StateShape(tokens=(1, 2, 3), size_bytes=len(STATE)),
        "salt": bytes(16),
    }
    return Header(**fields | more)  # type: ignore[arg-type]


def written(found: Header, state: bytes = STATE, key: bytes = KEY) -> bytes:
    """The file's bytes."""
    file = BytesIO()
    write(file, key, found, (state[at : at + PIECE] for at in range(0, len(state), PIECE)))
    return file.getvalue()


def read(
    path: Path, content: bytes, key: bytes = KEY, name: str = "one", given: list[object] | None = None
) -> tuple[Header, list[bytes]]:
    """What a file with this content gives; `given` gets it bit by bit."""
    path.write_bytes(content)
    seen: list[object] = [] if given is None else given
    with opened(path, key, name) as kept:
        seen.append(kept.header)
        pieces: list[bytes] = []
        for piece in kept.pieces():
            seen.append(piece)
            pieces.append(piece)
        return kept.header, pieces


def look(path: Path) -> None:
    """Open a file and read nothing of it."""
    with opened(path, KEY, "one"):
        pass


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """To the byte, and in the length that was foretold."""
    content = written(header())
    assert length_bytes(header()) == len(content)
    found, pieces = read(tmp_path / "one.session", content)
    assert found == header()
    assert b"".join(pieces) == STATE
    assert [len(piece) for piece in pieces] == [16, 16, 8]


def test_no_byte_can_be_changed(tmp_path: Path) -> None:
    """Each one of the file in turn: magic, length, header, codes, state. No piece from there on is given."""
    content = written(header())
    state_at = len(content) - len(STATE) - 3 * CODE_BYTES
    for at in range(len(content)):
        given: list[object] = []
        with pytest.raises(IntegrityError, match="The kept session one is not used"):
            read(tmp_path / "one.session", content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :], given=given)
        proved = 0 if at < state_at else 1 + (at - state_at) // (PIECE + CODE_BYTES)
        assert len(given) == proved, at


def test_no_byte_can_be_missing_or_added(tmp_path: Path) -> None:
    """Cut anywhere, or longer than it was."""
    content = written(header())
    for changed in (*(content[:length] for length in range(len(content))), content + b"\0"):
        with pytest.raises(IntegrityError):
            read(tmp_path / "one.session", changed)


def _swapped(content: bytes, _: bytes) -> bytes:
    """The first two pieces change places, each with its own code."""
    at = len(content) - len(STATE) - 3 * CODE_BYTES
    one, two = PIECE + CODE_BYTES, 2 * (PIECE + CODE_BYTES)
    return content[:at] + content[at + one : at + two] + content[at : at + one] + content[at + two :]


def _spliced(content: bytes, other: bytes) -> bytes:
    """The state of another file of the same user, with its codes."""
    length = len(STATE) + 3 * CODE_BYTES
    return content[:-length] + other[-length:]


@pytest.mark.parametrize("change", [_swapped, _spliced])
def test_pieces_cannot_be_moved(change: Callable[[bytes, bytes], bytes], tmp_path: Path) -> None:
    """Neither within a file nor from another one, though every code in it is a true one."""
    content, other = written(header()), written(header(salt=b"\1" * 16))
    with pytest.raises(IntegrityError, match="altered after it was written"):
        read(tmp_path / "one.session", change(content, other))


def test_another_users_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its key, by its owner, and by its kind: a link, a folder, a pipe."""
    path = tmp_path / "one.session"
    with pytest.raises(IntegrityError, match="another user or with another key"):
        read(path, written(header(), key=bytes(32)))
    path.write_bytes(written(header()))
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        with pytest.raises(IntegrityError, match="belongs to another user"):
            look(path)
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "folder", "pipe"):
        with pytest.raises(IntegrityError):
            look(tmp_path / name)
    with pytest.raises(NotFound):
        look(tmp_path / "none")


def test_a_file_under_another_name_is_refused(tmp_path: Path) -> None:
    """One session cannot be passed off as another of the same user."""
    with pytest.raises(IntegrityError, match="it was written as one"):
        read(tmp_path / "two.session", written(header()), name="two")


@pytest.mark.parametrize("state", [STATE[:-1], STATE + b"\0", STATE[:PIECE]])
def test_a_state_of_another_size_is_not_written(state: bytes) -> None:
    """The engine's description and its state must agree."""
    with pytest.raises(EngineFailed, match=r"of its state|another state"):
        written(header(), state)


@pytest.mark.parametrize(
    ("origin", "plan", "why"),
    [
        ({}, {}, ""),
        ({}, {"threads": 7, "repack": True, "batch_tokens": 64}, ""),
        ({"sha256": ("b" * 64,)}, {}, "another model"),
        ({"adapters": (("c" * 64, 1.0),)}, {}, "other adapters"),
        ({"engine": "the engine 2"}, {}, "build of the engine"),
        ({}, {"kv_type": "q8_0"}, "in another way"),
        ({}, {"flash_attention": False}, "in another way"),
        ({}, {"context_tokens": 1024}, "a context of 512 tokens"),
    ],
)
def test_a_state_serves_what_it_was_made_with(origin: dict[str, object], plan: dict[str, object], why: str) -> None:
    """Model, adapters, engine, context, cache; how fast it computes does not matter."""
    found = header().mismatch(msgspec.structs.replace(ORIGIN, **origin), msgspec.structs.replace(PLAN, **plan))
    assert (why in found) if why else found == ""
