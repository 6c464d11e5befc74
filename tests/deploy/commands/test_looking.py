"""Images in a conversation: what a file is, what a conversation can hold, and which projector a chat is opened with."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from deploy.commands import looking
from deploy.commands.context import Context
from deploy.commands.conversations import message_of
from deploy.commands.install import InstallRequest, install
from deploy.commands.looking import Shown, file_from, image_tokens, open_to_look, path_in, require_room, shown_from
from deploy.commands.pictures import decoding_bytes
from deploy.commands.session import Opened, open_model
from deploy.conversations import Attachment, Picture, Talk, Turn, as_markdown
from deploy.engine.fake import FakeEngine
from deploy.engine.picture import IMAGES_LIMIT, TOGETHER_LIMIT_BYTES
from deploy.engine.protocol import ChatMessage
from deploy.errors import InvalidModel, LandfastError, NotEnoughMemory, NotFound, UsageError
from deploy.fit.fit import Workload
from tests.support.eyes import png, projector
from tests.support.gguf import tiny_model
from tests.support.world import TINY, FakeSource, artifact, model, sighted, world

EYE: Final = projector(width=32).build()
"""For the tiny model."""
KNOWN: Final = sighted(model("tiny", artifact("Q4_0")), artifact("F16", "mmproj-F16.gguf", EYE))
SHELF: Final = {"tiny.gguf": TINY, "mmproj-F16.gguf": EYE}
WORK: Final = Workload(min_decode_tok_s=0)
PHOTO: Final = png(size=(200, 100))
SEEN: Final = Picture("a.png", "1" * 64, len(PHOTO), 200, 100)


def here(home: Path, *, images: bool = True, engine: FakeEngine | None = None) -> Context:
    """A host with the tiny model, and its projector if that is wanted."""
    wanted = Workload(purpose="vision", min_decode_tok_s=0) if images else WORK
    context = world(home, KNOWN, sources=(FakeSource(files=SHELF),), engine=engine)
    install(context, InstallRequest(model="tiny", workload=wanted))
    return context


def opening(name: str | None) -> Callable[[Context], Opened]:
    """Open a model in whatever world."""
    return lambda context: open_model(context, name, WORK)


@pytest.mark.parametrize("name", ["tiny:Q4_0", None])
def test_a_chat_is_opened_with_the_projector_that_was_installed(tmp_path: Path, name: str | None) -> None:
    """Also where no model is named; the plan has room for images that nobody has chosen yet."""
    opened = open_to_look(here(tmp_path), name, WORK, None, opening(name))
    assert opened.session.loaded.sees
    assert opened.sight is not None
    plain = open_model(here(tmp_path / "other", images=False), "tiny", WORK)
    assert opened.plan.peak_bytes == plain.plan.peak_bytes + opened.sight.memory_bytes
    assert opened.sight.memory_bytes > looking.ROOM_BYTES
    assert not plain.session.loaded.sees


def test_without_a_projector_the_model_reads_text(tmp_path: Path) -> None:
    """As before, and without a word; one that is named is used."""
    context = here(tmp_path, images=False)
    opened = open_to_look(context, "tiny", WORK, None, opening("tiny"))
    assert opened.sight is None
    assert not any("Images" in sentence for sentence in opened.warnings)
    (tmp_path / "eye.gguf").write_bytes(EYE)
    assert open_to_look(context, "tiny", WORK, tmp_path / "eye.gguf", opening("tiny")).sight is not None
    with pytest.raises(NotFound):
        open_to_look(context, "tiny", WORK, tmp_path / "gone.gguf", opening("tiny"))


def test_a_chat_goes_on_without_images_where_they_cannot_be_had(tmp_path: Path) -> None:
    """There is no memory for them, or the installed projector is gone: a warning says which."""
    context = here(tmp_path)

    def crowded(world: Context) -> Opened:
        if world.sight is not None:
            raise NotEnoughMemory("It does not fit.")
        return opening("tiny")(world)

    opened = open_to_look(context, "tiny", WORK, None, crowded)
    assert (opened.sight, opened.warnings[-1]) == (
        None,
        "Images cannot be shown: there is not enough memory for them beside the model.",
    )
    (record,) = context.store.installed()
    assert record.projector is not None
    (context.paths.store / "blobs" / "sha256" / record.projector.sha256).unlink()
    opened = open_to_look(context, "tiny", WORK, None, opening("tiny"))
    assert opened.sight is None
    assert opened.warnings[-1].startswith("Images cannot be shown: ")
    (tmp_path / "eye.gguf").write_bytes(EYE)
    with pytest.raises(NotEnoughMemory):
        open_to_look(context, "tiny", WORK, tmp_path / "eye.gguf", crowded)


def test_a_file_is_what_its_first_bytes_say(tmp_path: Path) -> None:
    """Whatever it is called."""
    (tmp_path / "a.txt").write_bytes(PHOTO)
    (tmp_path / "b.png").write_text("words")
    (tmp_path / "c").write_bytes(EYE)
    tiny_model().write(tmp_path / "d.gguf")
    (tmp_path / "e.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    shown = file_from(str(tmp_path / "a.txt"))
    assert isinstance(shown, Shown)
    assert (shown.picture.name, shown.picture.width, shown.picture.height, shown.data) == ("a.txt", 200, 100, PHOTO)
    assert shown.words == "a.txt · 1 kB · 200 x 100"
    assert file_from(str(tmp_path / "b.png")) == Attachment("b.png", "words")
    assert file_from(str(tmp_path / "c")) == tmp_path / "c"
    with pytest.raises(InvalidModel, match="not a projector"):
        file_from(str(tmp_path / "d.gguf"))
    with pytest.raises(UsageError, match="neither PNG nor JPEG"):
        file_from(str(tmp_path / "e.HEIC"))
    with pytest.raises(NotFound):
        file_from(str(tmp_path / "gone"))
    with pytest.raises(UsageError, match="not a file"):
        file_from(str(tmp_path))


@pytest.mark.parametrize(("name", "told"), [("~no-such-user/a.png", "not known here"), ("a" * 300, "too long")])
def test_a_name_of_which_the_system_makes_nothing_is_told(name: str, told: str) -> None:
    """As every other mistake: a slip of the finger does not end a conversation."""
    for read in (shown_from, file_from):
        with pytest.raises(LandfastError, match=told):
            read(name)


def test_a_conversation_holds_what_was_planned_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images with one message, bytes together, and memory for decoding all of them."""
    require_room([PHOTO] * 20, [PHOTO] * (IMAGES_LIMIT - 1), PHOTO)
    with pytest.raises(UsageError, match=f"At most {IMAGES_LIMIT}"):
        require_room([], [PHOTO] * IMAGES_LIMIT, PHOTO)
    with pytest.raises(UsageError, match="together"):
        require_room([bytes(TOGETHER_LIMIT_BYTES)], [], PHOTO)
    monkeypatch.setattr(looking, "ROOM_BYTES", decoding_bytes([PHOTO] * 3))
    require_room([PHOTO], [PHOTO], PHOTO)
    with pytest.raises(UsageError, match="memory") as refused:
        require_room([PHOTO] * 2, [PHOTO], PHOTO)
    assert "new conversation" in refused.value.hint


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("'/a b/c.png' ", "/a b/c.png"),
        (r"/a\ b/c.png", "/a b/c.png"),
        ("file:///a%20b/c.png\n", "/a b/c.png"),
        ("/a b/c.png", "/a b/c.png"),
        ("it's.png", "it's.png"),
    ],
)
def test_a_dropped_path_is_read_as_terminals_write_it(written: str, path: str) -> None:
    """In quotes, with backslashes, as an address, or as it is."""
    assert path_in(written) == path


def test_an_image_is_counted_for_itself() -> None:
    """What a message takes more with it than without it."""

    class Counting:
        """A session that counts an image as seven tokens."""

        def count_conversation(self, messages: list[ChatMessage]) -> int:
            """Beside ten for the rest."""
            return 10 + sum(7 * len(message.images) for message in messages)

    assert image_tokens(Counting(), PHOTO) == 7  # type: ignore[arg-type]


def test_a_turn_is_read_with_its_images_or_with_a_word_for_them() -> None:
    """The text alone, where the image is not in memory any more; an export names it and says that it is not there."""
    turn = Turn(role="user", text="What?", time="2025-01-01T00:00:00Z", images=(SEEN,))
    assert message_of(turn, {SEEN.sha256: PHOTO}) == ChatMessage("user", "What?", images=(PHOTO,))
    assert message_of(turn, {}) == ChatMessage("user", "(The image a.png, 200 x 100 pixels, was shown here.)\n\nWhat?")
    silent = Turn(role="user", text="", time=turn.time, images=(SEEN,))
    assert message_of(silent, {}).content == "(The image a.png, 200 x 100 pixels, was shown here.)"
    talk = Talk(title="A", created=turn.time, changed=turn.time, turns=(turn,))
    assert f"(Image a.png, 200 x 100 pixels, SHA-256 {SEEN.sha256}. It is not in this file.)" in as_markdown(talk)
