"""The projector of a model for images: it comes with it, belongs to it, and every rule for models holds for it."""

import dataclasses
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import pytest

from deploy.catalog.model import Artifact
from deploy.commands.adopt import adopt, look
from deploy.commands.bundle import CreateRequest, create
from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from deploy.commands.keys import trust_key
from deploy.commands.models import list_models, remove, show, verify
from deploy.commands.plan import plan
from deploy.commands.select import select
from deploy.commands.upkeep import repair
from deploy.errors import IntegrityError, InvalidModel, LandfastError, NotFound, PolicyRefused, Unreachable, UsageError
from deploy.fit.fit import Workload
from deploy.gguf.projector import inspect_projector
from deploy.policy.document import parse
from deploy.policy.policy import Policy
from deploy.sources.base import Report
from deploy.store.records import Installed
from tests.support.eyes import projector
from tests.support.world import TINY, FakeSource, artifact, model, sighted, world

WIDTH: Final = 32
"""Of the tiny model."""
EYE: Final = projector(width=WIDTH).build()
OTHER_EYE: Final = projector("gemma3", WIDTH).build()
MMPROJ: Final = "mmproj-F16.gguf"
FORM: Final = artifact("F16", MMPROJ, EYE)
KNOWN: Final = sighted(model("tiny", artifact("Q4_0")), FORM)
IMAGES: Final = Workload(purpose="vision", min_decode_tok_s=0)
ASKED: Final = InstallRequest(model="tiny", workload=IMAGES)
SHELF: Final = {"tiny.gguf": TINY, MMPROJ: EYE}


@dataclass
class Failing(FakeSource):
    """A shelf from which some files do not come."""

    fails: set[str] = field(default_factory=set)

    def fetch(self, artifact: Artifact, staging: Path, report: Report) -> tuple[Path, ...]:
        """Break off before one of them."""
        if self.fails & {file.name for file in artifact.files}:
            raise Unreachable("The test shelf broke off.", hint="Try again.")
        return super().fetch(artifact, staging, report)


def here(home: Path, *sources: FakeSource, known: object = KNOWN) -> Context:
    """A host that knows the tiny model and its projector."""
    return world(home, known, sources=sources or (FakeSource(files=SHELF),))  # type: ignore[arg-type]


def installed(context: Context) -> Installed:
    """The one installed model."""
    (record,) = context.store.installed()
    return record


def blob_of(context: Context, body: bytes) -> Path:
    """Where these bytes lie in the store."""
    return context.paths.store / "blobs" / "sha256" / hashlib.sha256(body).hexdigest()


def unpinned(form: Artifact) -> Artifact:
    """The same form, of which nobody promises a hash."""
    (file,) = form.files
    return msgspec.structs.replace(form, files=(msgspec.structs.replace(file, sha256=None),))


def test_for_images_the_projector_comes_too_and_belongs_to_the_model(tmp_path: Path) -> None:
    """The record names it with its hash; it counts, is shown, is no rubbish, and goes with the model."""
    context = here(tmp_path)
    install(context, ASKED)
    record = installed(context)
    assert record.projector is not None
    assert (record.projector.name, record.projector.pinned, record.projector.source) == (
        MMPROJ,
        "catalogue",
        "test shelf",
    )
    assert record.size_bytes == len(TINY) + len(EYE)
    listed = list_models(context).data
    assert listed is not None
    assert (listed.used_bytes, listed.staged_bytes) == (len(TINY) + len(EYE), 0)
    shown = show(context, "tiny").data
    assert shown is not None
    assert [Path(path).read_bytes() for path in shown.paths] == [TINY, EYE]
    assert remove(context, "tiny").data.freed_bytes == len(TINY) + len(EYE)  # type: ignore[union-attr]
    assert not blob_of(context, EYE).exists()


def test_without_being_asked_for_it_does_not_come_and_can_be_added(tmp_path: Path) -> None:
    """Then it alone is fetched; the model stays the same version of itself, and nothing is left to do."""
    shelf = FakeSource(files=SHELF)
    context = here(tmp_path, shelf)
    install(context, InstallRequest(model="tiny"))
    assert installed(context).projector is None
    before = installed(context)
    added = install(context, ASKED)
    assert (added.changed, shelf.fetched) == (True, ["tiny.gguf", MMPROJ])
    assert installed(context).serial == before.serial
    assert context.store.former("tiny:Q4_0") == ()
    again = install(context, ASKED)
    assert (again.changed, len(shelf.fetched)) == (False, 2)


def test_an_altered_projector_is_found_set_aside_and_repaired_alone(tmp_path: Path) -> None:
    """As a model's file is, also where nobody asks for images."""
    shelf = FakeSource(files=SHELF)
    context = here(tmp_path, shelf)
    install(context, ASKED)
    blob = blob_of(context, EYE)
    blob.chmod(0o644)
    blob.write_bytes(EYE[:-1] + b"\xff")
    with pytest.raises(IntegrityError, match=MMPROJ):
        context.store.open_projector(installed(context), context.report)
    assert verify(context, None).exit_code == IntegrityError.exit_code
    mended = repair(context, None, None)
    assert mended.data is not None
    assert (mended.data.repaired, mended.exit_code) == (("tiny:Q4_0",), 0)
    assert shelf.fetched == ["tiny.gguf", MMPROJ, MMPROJ]
    assert blob.read_bytes() == EYE


@pytest.mark.parametrize("wrong", [EYE[:-1] + b"\xff", TINY], ids=["altered", "a model"])
def test_a_wrong_projector_is_refused_and_the_model_is_as_it_was(tmp_path: Path, wrong: bytes) -> None:
    """Nothing of it stays, and the right one can come later."""
    shelf = FakeSource(files=SHELF | {MMPROJ: wrong})
    context = here(tmp_path, shelf)
    with pytest.raises(IntegrityError):
        install(context, ASKED)
    assert installed(context).projector is None
    assert context.store.staged_bytes() == 0
    shelf.files = SHELF
    assert install(context, ASKED).changed
    assert installed(context).projector is not None


def test_where_it_breaks_off_the_next_try_brings_the_rest(tmp_path: Path) -> None:
    """The model is there and reads text, which the error says."""
    shelf = Failing(files=SHELF, fails={MMPROJ})
    context = here(tmp_path, shelf)
    with pytest.raises(Unreachable, match="tiny:Q4_0 is installed, but its projector could not be fetched"):
        install(context, ASKED)
    shelf.fails = set()
    install(context, ASKED)
    assert shelf.fetched == ["tiny.gguf", MMPROJ]
    assert installed(context).projector is not None


@pytest.mark.parametrize(
    ("known", "shelf", "error", "why"),
    [
        (model("tiny", artifact("Q4_0")), SHELF, NotFound, "cannot look at images"),
        (sighted(model("tiny", artifact("Q4_0"))), SHELF, NotFound, "no known publisher has the projector"),
        (KNOWN, {"tiny.gguf": TINY}, Unreachable, "No source offers the projector"),
    ],
)
def test_what_cannot_see_is_refused_before_a_byte_comes(
    tmp_path: Path, known: object, shelf: dict[str, bytes], error: type[LandfastError], why: str
) -> None:
    """Made for text, without a known projector, or with one that nobody here has."""
    source = FakeSource(files=shelf)
    with pytest.raises(error, match=why):
        install(here(tmp_path, source, known=known), ASKED)
    assert source.fetched == []


def test_the_policy_looks_at_the_projectors_publisher_and_hash(tmp_path: Path) -> None:
    """The first that it admits is taken; where it admits none, nothing comes."""
    trusted = msgspec.structs.replace(artifact("BF16", "mmproj-BF16.gguf", OTHER_EYE), publisher="trusted")
    known = sighted(model("tiny", artifact("Q4_0")), unpinned(FORM), trusted)
    source = FakeSource(files=SHELF | {"mmproj-BF16.gguf": OTHER_EYE})
    plain = here(tmp_path, source, known=known)

    def under(text: str) -> Context:
        return dataclasses.replace(plain, policy=Policy((parse(text, Path("test.toml")),)))

    with pytest.raises(PolicyRefused, match="the projector of tiny:Q4_0"):
        install(under('[allow]\nquantiser = ["the test"]\n[require]\npinned = true'), ASKED)
    assert source.fetched == []
    install(under('[require]\npinned = true\n[allow]\nquantisation = ["Q4_0"]'), ASKED)
    record = installed(plain)
    assert record.projector is not None
    assert (record.projector.publisher, record.projector.name) == ("trusted", "mmproj-BF16.gguf")


class TestFromAFolder:
    """A stick, a download folder, or the file itself."""

    def stick(self, tmp_path: Path, **eyes: bytes) -> Path:
        """A model with files beside it."""
        folder = tmp_path / "stick"
        folder.mkdir()
        (folder / "tiny.gguf").write_bytes(TINY)
        for name, body in eyes.items():
            (folder / f"{name}.gguf").write_bytes(body)
        return folder

    def took(self, tmp_path: Path, **asked: str) -> Installed:
        """What a host without sources then has."""
        context = here(tmp_path / "host", FakeSource(files={"tiny.gguf": TINY}))
        install(context, InstallRequest(workload=IMAGES, **asked))  # type: ignore[arg-type]
        return installed(context)

    def test_the_one_that_the_catalogue_names_is_taken_there(self, tmp_path: Path) -> None:
        """By its name, and by its promised hash."""
        folder = self.stick(tmp_path, **{"mmproj-F16": EYE, "mmproj-other": OTHER_EYE})
        record = self.took(tmp_path, model="tiny", folder=str(folder))
        assert record.projector is not None
        assert (record.projector.name, record.projector.pinned) == (MMPROJ, "catalogue")

    def test_an_own_model_takes_the_one_beside_it(self, tmp_path: Path) -> None:
        """Pinned on first use, and of no known publisher."""
        folder = self.stick(tmp_path, my_mmproj=EYE)
        record = self.took(tmp_path, model=str(folder / "tiny.gguf"))
        assert record.projector is not None
        assert (record.publisher, record.projector.publisher, record.projector.pinned) == (
            "own file",
            "own file",
            "first-use",
        )

    def test_the_file_itself_can_be_named(self, tmp_path: Path) -> None:
        """The model then comes from where it always comes; without a model it is a usage error."""
        folder = self.stick(tmp_path, my_mmproj=EYE)
        record = self.took(tmp_path, model="tiny", folder=str(folder / "my_mmproj.gguf"))
        assert record.projector is not None
        assert (record.source, record.projector.name) == ("test shelf", "my_mmproj.gguf")
        with pytest.raises(UsageError, match="belongs to a model"):
            self.took(tmp_path, folder=str(folder / "my_mmproj.gguf"))

    def test_two_of_ones_own_are_a_question(self, tmp_path: Path) -> None:
        """Which nobody guesses an answer to."""
        folder = self.stick(tmp_path, mmproj_a=EYE, mmproj_b=OTHER_EYE)
        with pytest.raises(NotFound, match="mmproj"):
            self.took(tmp_path, model="tiny", folder=str(folder))

    def test_one_of_another_model_is_refused(self, tmp_path: Path) -> None:
        """By its width, where no hash says that it is the right one."""
        folder = self.stick(tmp_path, mmproj=projector(width=WIDTH + 1).build())
        with pytest.raises(InvalidModel, match="width 33"):
            self.took(tmp_path, model=str(folder / "tiny.gguf"))


def test_a_bundle_carries_the_projector_with_its_model(tmp_path: Path) -> None:
    """Whoever takes the model from it gets both, vouched for by the signer."""
    maker = here(tmp_path / "maker")
    install(maker, ASKED)
    out = tmp_path / "bundle"
    create(maker, CreateRequest(out=str(out), part_bytes=50_000))
    taker = world(tmp_path / "taker", sources=())  # its catalogue knows no projector
    trust_key(taker, str(out / "landfast-bundle.pub"))
    install(taker, InstallRequest(model="tiny", folder=str(out)))
    record = installed(taker)
    assert record.projector is not None
    assert (record.projector.pinned, record.projector.publisher) == ("bundle", "the test")
    path = taker.store.open_projector(record, taker.report)
    assert path is not None
    assert path.read_bytes() == EYE


def test_a_projector_of_another_program_is_adopted_with_its_model(tmp_path: Path) -> None:
    """Both are known by their hashes, whatever they are called there."""
    folder = tmp_path / "program"
    folder.mkdir()
    (folder / "a.gguf").write_bytes(TINY)
    (folder / "b.gguf").write_bytes(EYE)
    context = here(tmp_path / "host", FakeSource(files={}))
    found = look(context, str(folder)).data
    assert found is not None
    assert found.others == ()
    assert adopt(context, found).status == "success"
    assert installed(context).projector is not None


def test_a_new_version_of_the_model_keeps_its_projector(tmp_path: Path) -> None:
    """And so does the former one that can be gone back to."""
    context = here(tmp_path)
    install(context, ASKED)
    newer = TINY + bytes(32)
    known = sighted(model("tiny", artifact("Q4_0", body=newer)), FORM)
    later = here(tmp_path, FakeSource(files=SHELF | {"tiny.gguf": newer}), known=known)
    install(later, InstallRequest(model="tiny"))
    record = installed(later)
    assert (record.serial, record.projector is not None) == (2, True)
    back = later.store.switch("tiny:Q4_0", 1, later.report)
    assert back.projector is not None


def test_what_nobody_here_has_the_eyes_of_is_not_chosen_for_images(tmp_path: Path) -> None:
    """The choice says how its projector comes, and what lacks one says so."""
    found = select(here(tmp_path), IMAGES)
    assert found.data is not None
    assert found.data.ranking.chosen is not None
    assert "landfast install tiny:Q4_0 --for vision" in found.messages[0].text
    blind = select(here(tmp_path, FakeSource(files={"tiny.gguf": TINY})), IMAGES)
    assert blind.data is not None
    assert blind.data.ranking.chosen is None
    assert "projector" in blind.data.ranking.refused[0].why


def test_a_plan_for_images_counts_what_is_known_of_the_projector(tmp_path: Path) -> None:
    """First its size and a bound, and once it is installed what its header says."""
    context = here(tmp_path)
    before = plan(context, "tiny", IMAGES)
    assert before.data is not None
    assert any(f"{MMPROJ} (F16 by the test" in message.text for message in before.messages)
    install(context, ASKED)
    after = plan(context, "tiny", IMAGES).data
    text = plan(context, "tiny", Workload(min_decode_tok_s=0)).data
    assert after is not None
    assert text is not None
    judged = inspect_projector(blob_of(context, EYE))
    assert after.peak_bytes - text.peak_bytes == judged.memory_bytes
    assert [term.bytes for term in before.data.memory.terms if term.name == "projector"] == [len(EYE)]


def test_a_projector_is_adopted_for_a_model_that_is_installed(tmp_path: Path) -> None:
    """It alone is taken in; the second look finds nothing left to do."""
    folder = tmp_path / "program"
    folder.mkdir()
    (folder / "a.gguf").write_bytes(TINY)
    (folder / "b.gguf").write_bytes(EYE)
    context = here(tmp_path / "host", FakeSource(files={"tiny.gguf": TINY}))
    install(context, InstallRequest(model="tiny"))
    found = look(context, str(folder)).data
    assert found is not None
    assert [(one.installed, one.lacks_projector) for one in found.found] == [(False, True)]
    assert adopt(context, found).changed
    assert installed(context).projector is not None
    again = look(context, str(folder)).data
    assert again is not None
    assert (again.found[0].installed, again.found[0].lacks_projector) == (True, False)
