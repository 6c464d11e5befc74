"""Images and a projector at the commands: what is judged here, what reaches the engine, and what is refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from deploy.commands.models import remove
from deploy.commands.pictures import decoding_bytes, projector_of
from deploy.commands.run import RunRequest, run
from deploy.engine.fake import FakeEngine, FakeSession
from deploy.engine.picture import IMAGES_LIMIT
from deploy.engine.protocol import Event
from deploy.errors import InvalidModel, NotFound, PolicyRefused, UsageError
from deploy.fit.fit import Workload
from deploy.gguf.projector import inspect_projector
from deploy.journal import Journal
from deploy.policy.document import parse
from deploy.policy.policy import Policy
from tests.support.cli import Landfast
from tests.support.eyes import bomb, png, projector, write_projector
from tests.support.gguf import tiny_model
from tests.support.world import GB, TINY, FakeSource, artifact, model, sighted, world


class Watched(FakeEngine):
    """A fake engine that keeps its last session."""

    session: FakeSession | None = None

    def open(self, *given: object) -> FakeSession:
        """Open like the fake engine, and remember."""
        self.session = super().open(*given)  # type: ignore[arg-type]
        return self.session


@pytest.fixture(name="engine")
def fixture_engine() -> Watched:
    """The engine of the world."""
    return Watched()


@pytest.fixture(name="here")
def fixture_here(tmp_path: Path, engine: Watched) -> Context:
    """A world with one installed model, an image and a projector."""
    install(world(tmp_path), InstallRequest(model="tiny"))
    (tmp_path / "a.png").write_bytes(png())
    projector().write(tmp_path / "mmproj.gguf")
    return world(tmp_path, engine=engine)


def unheard(_: Event) -> None:
    """Nobody watches."""


def request(folder: Path, *images: str, projector: str | None = "mmproj.gguf", **more: str) -> RunRequest:
    """A question with images of this folder."""
    return RunRequest(
        prompt="What is this?",
        model="tiny",
        images=tuple(folder / image for image in images),
        projector=None if projector is None else folder / projector,
        **more,  # type: ignore[arg-type]
    )


def test_the_engine_gets_the_bytes_of_the_image(here: Context, engine: Watched, tmp_path: Path) -> None:
    """Not a path; and exactly the projector that was judged, whose hash the journal and the result tell."""
    result = run(here, request(tmp_path, "a.png", "a.png"), unheard)
    assert engine.session is not None
    assert engine.projector is not None
    (asked,) = engine.session.requests
    assert asked.messages[-1].images == (png(), png())
    assert result.data is not None
    assert result.data.projector is not None
    assert result.data.projector.sha256 == engine.projector.sha256
    assert f"+vision:{engine.projector.sha256}".encode() in b"".join(Journal(here.paths).raw_lines())


def test_the_plan_holds_the_projector_and_the_decoding(here: Context, tmp_path: Path) -> None:
    """So that a run for which there is no memory is refused before it begins."""
    plain = run(here, request(tmp_path, projector=None), unheard).data
    seeing = run(here, request(tmp_path, "a.png"), unheard).data
    assert plain is not None
    assert seeing is not None
    more = inspect_projector(tmp_path / "mmproj.gguf").memory_bytes + decoding_bytes([png()])
    assert seeing.memory.planned_peak_bytes == plain.memory.planned_peak_bytes + more


@pytest.mark.parametrize(
    ("given", "error", "why"),
    [
        ((["a.png"], None), UsageError, "needs its projector"),
        ((["gone.png"], "mmproj.gguf"), NotFound, "gone.png"),
        ((["bomb.png"], "mmproj.gguf"), UsageError, "20,000 x 20,000 pixels"),
        ((["text.png"], "mmproj.gguf"), UsageError, "neither PNG nor JPEG"),
        ((["a.png"] * (IMAGES_LIMIT + 1), "mmproj.gguf"), UsageError, "too many"),
        ((["a.png"], "gone.gguf"), NotFound, "gone.gguf"),
        ((["a.png"], "model.gguf"), InvalidModel, "not a projector"),
        ((["a.png"], "a.png"), InvalidModel, "a.png"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_a_model_is_loaded(
    here: Context, tmp_path: Path, given: tuple[list[str], str | None], error: type, why: str
) -> None:
    """With its cause; the engine is not started."""
    (tmp_path / "bomb.png").write_bytes(bomb(20_000, 20_000))
    (tmp_path / "text.png").write_text("no image")
    tiny_model().write(tmp_path / "model.gguf")
    with pytest.raises(error, match=why):
        run(here, request(tmp_path, *given[0], projector=given[1]), unheard)
    assert isinstance(here.engine, Watched)
    assert here.engine.opened == []


@pytest.mark.parametrize("option", ["keep", "resume"])
def test_a_session_with_images_is_not_kept(here: Context, tmp_path: Path, option: str) -> None:
    """Its state would hold what no list of tokens can tell."""
    with pytest.raises(UsageError, match="cannot be kept"):
        run(here, request(tmp_path, "a.png", **{option: "talk"}), unheard)


@pytest.fixture(name="eyed")
def fixture_eyed(tmp_path: Path, engine: Watched) -> Context:
    """A world with a model that was installed with its projector, one for text alone, and an image."""
    eye = projector(width=32).build()
    known = sighted(model("tiny", artifact("Q4_0")), artifact("F16", "mmproj-F16.gguf", eye))
    shelf = FakeSource(files={"tiny.gguf": TINY, "mmproj-F16.gguf": eye})
    context = world(tmp_path, known, model("text", artifact("Q4_0"), parameters=9 * GB), sources=(shelf,))
    install(context, InstallRequest(model="tiny", workload=Workload(purpose="vision")))
    install(context, InstallRequest(model="text"))
    (tmp_path / "a.png").write_bytes(png())
    return replace(context, engine=engine)


@pytest.mark.parametrize("name", ["tiny", None])
def test_the_installed_projector_is_used(eyed: Context, engine: Watched, tmp_path: Path, name: str | None) -> None:
    """Of the named model; without a name, of the best model that has one."""
    asked = msgspec.structs.replace(request(tmp_path, "a.png", projector=None), model=name)
    seen = run(eyed, asked, unheard).data
    assert seen is not None
    assert seen.projector is not None
    assert engine.projector is not None
    assert seen.model == "tiny:Q4_0"
    assert ("have a projector" in seen.why) == (name is None)
    assert seen.projector.file == "mmproj-F16.gguf"
    assert seen.projector.sha256 == engine.projector.sha256
    assert projector_of(eyed, "tiny") == engine.projector.path
    assert projector_of(eyed, "text") is None


def test_where_no_projector_is_installed_the_command_that_brings_it_is_told(eyed: Context, tmp_path: Path) -> None:
    """For the model that was named, and for the best one where none was."""
    asked = request(tmp_path, "a.png", projector=None)
    with pytest.raises(UsageError, match="needs its projector"):
        run(eyed, msgspec.structs.replace(asked, model="text"), unheard)
    remove(eyed, "tiny")
    with pytest.raises(NotFound) as caught:
        run(eyed, msgspec.structs.replace(asked, model=None), unheard)
    assert "`landfast install --for vision`" in caught.value.hint
    install(eyed, InstallRequest(model="tiny"))
    with pytest.raises(NotFound) as caught:
        run(eyed, asked, unheard)
    assert "`landfast install tiny:Q4_0 --for vision`" in caught.value.hint


@pytest.mark.parametrize("rules", ["[require]\npinned = true", '[allow]\nquantiser = ["the test"]'])
def test_the_policy_holds_for_what_a_model_looks_with(eyed: Context, tmp_path: Path, rules: str) -> None:
    """The installed one is promised and of a known publisher; of a file of one's own nothing is known."""
    projector(width=32, blocks=2).write(tmp_path / "mmproj.gguf")
    strict = replace(eyed, policy=Policy((parse(rules, Path("test.toml")),)))
    assert run(strict, request(tmp_path, "a.png", projector=None), unheard).data is not None
    with pytest.raises(PolicyRefused, match="projector"):
        run(strict, request(tmp_path, "a.png"), unheard)


@pytest.mark.engine
def test_a_model_and_its_projector_from_a_folder_look_at_an_image(smollm2_path: Path, tmp_path: Path) -> None:
    """Installed with one command, and used by the next without naming either of them."""
    stick = tmp_path / "stick"
    stick.mkdir()
    shutil.copyfile(smollm2_path, stick / "seeing.gguf")
    write_projector(stick / "mmproj-seeing.gguf", projector())
    (tmp_path / "a.png").write_bytes(png())
    landfast = Landfast(tmp_path / "home")
    words = ["run", "--image", str(tmp_path / "a.png"), "What is this?", "--max-tokens", "4"]
    put = landfast.json("install", str(stick / "seeing.gguf"), "--for", "vision", schema="install")
    kept = put["data"]["installed"]["projector"]
    told = landfast.json(*words, schema="run")
    assert told["data"]["model"] == put["data"]["installed"]["id"]
    assert told["data"]["stats"]["image_tokens"] > 0
    assert told["data"]["projector"]["sha256"] == kept["sha256"]
    assert told["data"]["sealed"]


@pytest.mark.engine
def test_an_image_at_the_command_line(smollm2_path: Path, tmp_path: Path) -> None:
    """One command, JSON as ever; a text model alone is refused with the usage code."""
    path = write_projector(tmp_path / "mmproj.gguf", projector())
    (tmp_path / "a.png").write_bytes(png())
    landfast = Landfast(tmp_path / "home")
    words = ["run", str(smollm2_path), "--image", str(tmp_path / "a.png"), "What is this?", "--max-tokens", "4"]
    told = landfast.json(*words, "--projector", str(path), schema="run")
    assert told["data"]["stats"]["image_tokens"] > 0
    assert told["data"]["projector"]["kind"] == "mlp"
    assert told["data"]["sealed"]
    assert landfast(*words).returncode == UsageError.exit_code
