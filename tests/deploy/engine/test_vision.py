"""Images are looked at in the sealed engine: real models, with tiny projectors whose weights are random."""

import hashlib
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import pytest

from deploy.engine.client import LlamaEngine, LlamaSession
from deploy.engine.files import Projector
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import ChatMessage, Done, Generate, Sampling, Stats, Text
from deploy.engine.seal.planted import Planted
from deploy.errors import EngineFailed, IntegrityError
from tests.support.eyes import (
    GEMMA3_WIDTH,
    QWEN,
    TOKENS,
    as_qwen2vl,
    bomb,
    disc,
    png,
    png_of,
    projector,
    stripes,
    write_projector,
)
from tests.support.gguf import GgufFile, number
from tests.support.photo import exif, photo

pytestmark = pytest.mark.engine

PLAN: Final = LoadPlan(context_tokens=512, threads=1, speculation_tokens=3)
QUESTION: Final = "What is in this image?"
STRIPES, DISC = png(stripes, (200, 100)), png(disc)


def opened(model: Path, folder: Path, made: GgufFile | None = None, *, audit: bool = False) -> LlamaSession:
    """A model with a projector; the usual one where none is given."""
    path = write_projector(folder / "mmproj.gguf", made or projector())
    beside = Projector(path, hashlib.sha256(path.read_bytes()).hexdigest())
    return LlamaEngine(audit=audit).with_adapters((), beside).open([model], PLAN, lambda _: None)


def without(name: str) -> GgufFile:
    """The usual projector, less one tensor."""
    whole = projector()
    return GgufFile(whole.settings, [tensor for tensor in whole.tensors if tensor.name != name])


@pytest.fixture(scope="module", name="session")
def fixture_session(smollm2_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaSession]:
    """SmolLM2 with a projector."""
    with opened(smollm2_path, tmp_path_factory.mktemp("vision")) as session:
        yield session


def shown(*images: bytes) -> ChatMessage:
    """The question, with images before it."""
    return ChatMessage("user", QUESTION, images=images)


def answer(session: LlamaSession, *turns: ChatMessage, most: int = 12) -> tuple[str, Stats]:
    """The likeliest answer, with its figures."""
    request = Generate(messages=turns, max_tokens=most, sampling=Sampling(temperature=0))
    *events, done = session.generate(request)
    assert isinstance(done, Done)
    return "".join(event.text for event in events if isinstance(event, Text)), done.stats


def test_what_is_answered_depends_on_the_image(session: LlamaSession) -> None:
    """The same for the same image, another for another; its tokens are counted; the process is sealed."""
    assert session.loaded.sees
    assert session.ready.seal.level != "none"
    first, figures = answer(session, shown(STRIPES))
    second, _ = answer(session, shown(DISC))
    again, _ = answer(session, shown(STRIPES))
    assert first == again != second
    text = session.count_conversation([shown()])
    assert figures.image_tokens == TOKENS["mlp"]
    assert figures.prompt_tokens == session.count_conversation([shown(STRIPES)]) == text + TOKENS["mlp"]
    assert session.count_conversation([shown(STRIPES, DISC)]) == text + 2 * TOKENS["mlp"]


def test_no_image_is_taken_for_another(session: LlamaSession) -> None:
    """Text before an image is not read again, nor an image that stays; from the first other one on, all is."""
    told, begun = answer(session, shown(STRIPES))
    turns = (shown(STRIPES), ChatMessage("assistant", told), ChatMessage("user", "Why?"))
    _, went_on = answer(session, *turns)
    assert went_on.reused_tokens >= begun.prompt_tokens
    _, other = answer(session, shown(DISC), *turns[1:])
    assert other.reused_tokens < begun.prompt_tokens - TOKENS["mlp"]
    assert other.prompt_eval_tokens >= TOKENS["mlp"]


def test_text_after_an_image_is_answered_as_before_it(session: LlamaSession, smollm2_path: Path) -> None:
    """Nothing of an image stays where the conversation has none; guessing ahead is off only while there is one."""
    with LlamaEngine().open([smollm2_path], PLAN, lambda _: None) as blind:
        expected, _ = answer(blind, shown())
        with pytest.raises(EngineFailed, match="No projector is loaded"):
            answer(blind, shown(DISC))
    _, seeing = answer(session, shown(DISC))
    told, figures = answer(session, shown())
    assert told == expected
    assert figures.image_tokens == 0
    assert "images" in seeing.speculation.why_not
    assert "images" not in figures.speculation.why_not


def test_a_photo_is_looked_at_as_it_was_taken(session: LlamaSession) -> None:
    """The camera's note on how it was held is obeyed, and a photo that is stored as it is shown looks the same."""
    lying = ((0, 60, 120, 180), (30, 200, 90, 255))
    upright = tuple(zip(*reversed(lying), strict=True))
    turned, _ = answer(session, shown(photo(lying, exif(6))))
    assert turned == answer(session, shown(photo(upright)))[0]
    assert turned != answer(session, shown(photo(lying)))[0]


HOSTILE: Final = {
    "no image": (b"nothing", "neither PNG nor JPEG"),
    "a film": (b"\0\0\0\x18ftypmp42" + bytes(64), "neither PNG nor JPEG"),
    "cut": (STRIPES[: len(STRIPES) // 2], "cannot be decoded"),
    "a JPEG without pixels": (b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x08\x00\x08\x03" + bytes(40), "damaged|decoded"),
    "too many pixels": (bomb(20_000, 20_000), "20,000 x 20,000 pixels"),
    "more than it says": (
        png_of(struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0), zlib.compress(bytes(30 << 20))),
        "unpacks to more",
    ),
    "another depth": (png_of(struct.pack(">IIBBBBB", 64, 64, 7, 2, 0, 0, 0), zlib.compress(bytes(9))), "damaged"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_image_is_refused_and_the_engine_lives(session: LlamaSession, name: str) -> None:
    """The cause is named, and the same process answers the next question."""
    data, why = HOSTILE[name]
    with pytest.raises(EngineFailed, match=why):
        answer(session, shown(DISC, data))
    assert answer(session, shown(DISC), most=1)[1].image_tokens == TOKENS["mlp"]


def test_images_that_do_not_fit_are_told_before_they_are_read(session: LlamaSession) -> None:
    """With how many tokens they are."""
    turns = [shown(*[DISC] * 12)] * 3
    assert session.count_conversation(turns) > PLAN.context_tokens
    with pytest.raises(EngineFailed, match=f"{36 * TOKENS['mlp']} of them for images"):
        answer(session, *turns)


def test_a_place_of_an_image_cannot_be_written(session: LlamaSession) -> None:
    """Text that looks like the engine's own mark for media is text."""
    _, figures = answer(session, ChatMessage("user", "<__media__> and <image>", images=(DISC,)), most=1)
    assert figures.image_tokens == TOKENS["mlp"]


def test_an_image_is_read_by_a_model_with_windows(gemma3_path: Path, tmp_path: Path) -> None:
    """Gemma 3 looks at all of an image at once, and remembers only a window; it has no template."""
    with opened(gemma3_path, tmp_path, projector("gemma3", GEMMA3_WIDTH)) as session:
        first, figures = answer(session, shown(STRIPES))
        second, _ = answer(session, shown(DISC))
        assert figures.image_tokens == TOKENS["gemma3"]
        assert first != second
        assert answer(session, shown(STRIPES))[0] == first


def test_positions_of_two_dimensions_are_kept_apart_from_tokens(smollm2_path: Path, tmp_path: Path) -> None:
    """An image that is still in memory gives the answer that reading it again gives; so does another in its place."""
    model = as_qwen2vl(smollm2_path, tmp_path / "model.gguf")
    said = ChatMessage("assistant", "It is a disc."), ChatMessage("user", "Why?")
    fresh = {}
    for image in (STRIPES, DISC):
        with opened(model, tmp_path, projector(QWEN)) as session:
            fresh[image] = answer(session, shown(image), *said)[0]
    with opened(model, tmp_path, projector(QWEN)) as session:
        _, begun = answer(session, shown(DISC), most=1)
        kept, figures = answer(session, shown(DISC), *said)
        assert figures.reused_tokens >= begun.prompt_tokens > begun.image_tokens > 0
        other, figures = answer(session, shown(STRIPES), *said)
        assert figures.reused_tokens < begun.prompt_tokens - begun.image_tokens
        again, _ = answer(session, shown(DISC), *said)
    assert kept == again == fresh[DISC] != fresh[STRIPES] == other


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (projector(width=GEMMA3_WIDTH), "models of another width"),
        (projector("nonsense"), "unknown projector type"),
        (without("v.blk.0.attn_out.weight"), "unable to find tensor"),
    ],
)
def test_a_projector_of_another_model_is_refused(smollm2_path: Path, tmp_path: Path, made: GgufFile, why: str) -> None:
    """By the engine, where the header alone does not tell."""
    with pytest.raises(EngineFailed, match=rf"mmproj\.gguf.*{why}"):
        opened(smollm2_path, tmp_path, made).close()


def test_marks_that_the_model_does_not_know_are_told(smollm2_path: Path, tmp_path: Path) -> None:
    """A projector that puts special tokens around images belongs to models that have them."""
    with (
        opened(smollm2_path, tmp_path, projector("idefics3")) as session,
        pytest.raises(EngineFailed, match="marks that this projector puts around images"),
    ):
        answer(session, shown(DISC))


def test_a_projector_that_breaks_the_engine_breaks_nothing_else(smollm2_path: Path, tmp_path: Path) -> None:
    """Past the gate, as a hostile file would be: the process dies or refuses, and says so."""
    no_patch = projector()
    no_patch.settings["clip.vision.patch_size"] = number("u32", 0)
    for made in (no_patch, without("mm.2.bias")):
        with pytest.raises(EngineFailed, match="engine"):
            opened(smollm2_path, tmp_path, made).close()


def test_no_other_projector_is_loaded_than_the_one_that_was_judged(smollm2_path: Path, tmp_path: Path) -> None:
    """It is hashed as it is held."""
    path = write_projector(tmp_path / "mmproj.gguf", projector())
    engine = LlamaEngine().with_adapters((), Projector(path, "0" * 64))
    with pytest.raises(IntegrityError, match="not the file that was checked"):
        engine.open([smollm2_path], PLAN, lambda _: None)


@pytest.mark.skipif(sys.platform != "linux", reason="the battery is for Linux")
def test_no_attack_works_on_an_engine_that_sees(smollm2_path: Path, tmp_path: Path) -> None:
    """The whole battery, after an image was looked at."""
    with opened(smollm2_path, tmp_path, audit=True) as session, Planted() as planted:
        answer(session, shown(DISC), most=1)
        targets = msgspec.structs.replace(planted.targets, model_path=str(smollm2_path))
        attempts = session.attack(targets).attempts
        received = planted.received()
    assert [attempt.name for attempt in attempts if attempt.open] == []
    assert len(attempts) > 40
    assert received == ()
