"""Installing: every byte as promised, or nothing at all."""

from pathlib import Path

import pytest

from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from deploy.errors import (
    Incomplete,
    IntegrityError,
    InvalidModel,
    LandfastError,
    NotFound,
    NothingFits,
    Unreachable,
)
from tests.support.world import GB, TINY, FakeSource, artifact, model, sized, world

TINY_FORM = model("tiny", artifact("Q4_0"))


def blob_paths(context: Context) -> list[Path]:
    """All files that the store could load."""
    return [path for path in (context.paths.store / "blobs").rglob("*") if path.is_file()]


def blobs(context: Context) -> list[bytes]:
    """Everything that the store could load."""
    return [path.read_bytes() for path in blob_paths(context)]


def unchanged(context: Context) -> bool:
    """Whether nothing is installed and nothing half-installed could be loaded."""
    return context.store.installed() == () and blobs(context) == []


def test_a_named_model_is_installed_with_its_hash_checked(tmp_path: Path) -> None:
    """The record says what it is, where it came from, and that the catalogue promised its hash."""
    here = world(tmp_path)
    result = install(here, InstallRequest(model="tiny"))
    assert (result.status, result.changed) == ("success", True)
    assert result.data is not None
    record = result.data.installed
    assert (record.id, record.source, record.licence) == ("tiny:Q4_0", "test shelf", "Apache-2.0")
    assert record.files[0].pinned == "catalogue"
    assert record.chat_template_sha256 is not None
    assert here.store.installed() == (record,)
    assert blobs(here) == [TINY]
    assert here.store.staged_bytes() == 0


def test_without_a_name_the_best_model_is_chosen_and_its_reason_kept(tmp_path: Path) -> None:
    """The same choice and words as those of select."""
    here = world(tmp_path, TINY_FORM, model("large", sized("Q4_0", 2 * GB)))
    result = install(here, InstallRequest())
    assert result.data is not None
    assert result.data.installed.id == "tiny:Q4_0"
    assert "can be installed from here" in result.data.reason


def test_nothing_to_choose_is_refused(tmp_path: Path) -> None:
    """With the sentence of select."""
    with pytest.raises(NothingFits, match="no source in reach"):
        install(world(tmp_path, sources=()), InstallRequest())


def test_a_second_install_changes_nothing(tmp_path: Path) -> None:
    """It is found whole and nothing is fetched again."""
    source = FakeSource()
    here = world(tmp_path, sources=(source,))
    install(here, InstallRequest(model="tiny"))
    result = install(here, InstallRequest(model="tiny"))
    assert (result.status, result.changed) == ("success", False)
    assert "installed already" in result.messages[0].text
    assert source.fetched == ["tiny.gguf"]


@pytest.mark.parametrize("damage", [b"", TINY[:-1], b"x" * len(TINY)], ids=["emptied", "cut", "altered"])
def test_a_damaged_model_is_installed_again(tmp_path: Path, damage: bytes) -> None:
    """Whatever happened to the file in the store, the next install ends with the right one."""
    source = FakeSource()
    here = world(tmp_path, sources=(source,))
    install(here, InstallRequest(model="tiny"))
    blob_paths(here)[0].write_bytes(damage)
    assert install(here, InstallRequest(model="tiny")).changed
    assert blobs(here) == [TINY]
    assert source.fetched == ["tiny.gguf", "tiny.gguf"]


@pytest.mark.parametrize(
    ("delivered", "error"),
    [
        (TINY[:-1] + b"x", IntegrityError),
        (TINY[: len(TINY) // 2], Incomplete),
        (TINY + b"more", IntegrityError),
        (b"", Incomplete),
    ],
    ids=["altered", "cut", "longer", "empty"],
)
def test_wrong_bytes_leave_nothing(tmp_path: Path, delivered: bytes, error: type[LandfastError]) -> None:
    """Neither in the store nor staged: the next try begins clean and goes through."""
    here = world(tmp_path, sources=(FakeSource(files={"tiny.gguf": delivered}),))
    with pytest.raises(error) as caught:
        install(here, InstallRequest(model="tiny"))
    assert type(caught.value) is error
    assert caught.value.hint
    assert unchanged(here)
    assert here.store.staged_bytes() == 0
    assert install(world(tmp_path), InstallRequest(model="tiny")).changed


def test_promised_bytes_that_are_no_model_are_refused(tmp_path: Path) -> None:
    """A right hash does not make a model of them."""
    body = b"GGUF, or so it says"
    here = world(
        tmp_path,
        model("tiny", artifact("Q4_0", body=body)),
        sources=(FakeSource(files={"tiny.gguf": body}),),
    )
    with pytest.raises(LandfastError) as caught:
        install(here, InstallRequest(model="tiny"))
    assert isinstance(caught.value, (InvalidModel, Incomplete))
    assert unchanged(here)


def test_a_wrong_byte_is_final(tmp_path: Path) -> None:
    """The next source is not asked to cover up for one that sends wrong bytes."""
    spare = FakeSource(name="spare shelf")
    here = world(tmp_path, sources=(FakeSource(files={"tiny.gguf": b"x" * len(TINY)}), spare))
    with pytest.raises(IntegrityError):
        install(here, InstallRequest(model="tiny"))
    assert spare.fetched == []


def test_a_source_that_does_not_answer_is_passed_over(tmp_path: Path) -> None:
    """The second one delivers, and the first one's silence is told."""
    sources = (FakeSource(name="away", reachable=False), FakeSource(name="spare shelf"))
    result = install(world(tmp_path, sources=sources), InstallRequest(model="tiny"))
    assert result.data is not None
    assert result.data.installed.source == "spare shelf"
    assert result.messages[0].text == "The away does not answer."


def test_when_no_source_answers_all_are_named(tmp_path: Path) -> None:
    """One error with what each of them said."""
    sources = tuple(FakeSource(name=name, reachable=False) for name in ("first shelf", "second shelf"))
    here = world(tmp_path, sources=sources)
    with pytest.raises(Unreachable, match=r"first shelf.*second shelf"):
        install(here, InstallRequest(model="tiny"))
    assert unchanged(here)


@pytest.mark.parametrize("sources", [(), (FakeSource(files={}),)], ids=["offline", "not on the shelf"])
def test_when_no_source_has_it_that_is_told(tmp_path: Path, sources: tuple[FakeSource, ...]) -> None:
    """With the way out by a folder."""
    with pytest.raises(Unreachable, match="No source offers tiny:Q4_0") as caught:
        install(world(tmp_path, sources=sources), InstallRequest(model="tiny:Q4_0"))
    assert "--from" in caught.value.hint


def test_an_own_file_is_installed_under_its_own_name(tmp_path: Path) -> None:
    """Pinned by its first use, and the id is one that the store takes."""
    file = tmp_path / "My model (new).gguf"
    file.write_bytes(TINY)
    here = world(tmp_path, sources=())
    result = install(here, InstallRequest(model=str(file)))
    assert result.data is not None
    assert result.data.installed.id == "my-model--new:Q4_0"
    assert result.data.installed.files[0].pinned == "first-use"
    assert not install(here, InstallRequest(model=str(file))).changed


def test_an_own_file_that_the_catalogue_knows_is_told_its_name(tmp_path: Path) -> None:
    """By its hash, with the command that installs it with its licence; one that nobody knows is told nothing."""
    file = tmp_path / "own.gguf"
    file.write_bytes(TINY)
    (note,) = install(world(tmp_path / "a", sources=()), InstallRequest(model=str(file))).messages
    assert f"`landfast install tiny:Q4_0 --from {file}`" in note.text
    strange = world(tmp_path / "b", model("other", artifact("Q4_0", "other.gguf", b"else")), sources=())
    assert install(strange, InstallRequest(model=str(file))).messages == ()


def test_a_damaged_file_of_ones_own_says_how_to_get_it_back(tmp_path: Path) -> None:
    """No source has it: the file itself must be named again."""
    file = tmp_path / "own.gguf"
    file.write_bytes(TINY)
    here = world(tmp_path, sources=())
    install(here, InstallRequest(model=str(file)))
    blob_paths(here)[0].write_bytes(b"x")
    with pytest.raises(Unreachable, match="own:Q4_0 is damaged") as caught:
        install(here, InstallRequest(model="own"))
    assert "landfast install" in caught.value.hint
    assert install(here, InstallRequest(model=str(file))).changed


class TestFromAFolder:
    """`--from`: the files come from there and from nowhere else."""

    FORMS = model("tiny", artifact("Q8_0", "tiny-Q8_0.gguf", b"other"), artifact("Q4_0", "tiny-Q4_0.gguf"))

    @pytest.fixture
    def stick(self, tmp_path: Path) -> Path:
        """A folder that holds one form of the model."""
        (tmp_path / "stick").mkdir()
        (tmp_path / "stick" / "tiny-Q4_0.gguf").write_bytes(TINY)
        return tmp_path / "stick"

    def installed(self, tmp_path: Path, *, folder: str, model: str | None = None) -> str:
        """Install in a world without other sources and give the id and the source."""
        result = install(world(tmp_path, self.FORMS, sources=()), InstallRequest(model=model, folder=folder))
        assert result.data is not None
        return f"{result.data.installed.id} {result.data.installed.source.partition(' ')[0]}"

    def test_a_model_is_taken_in_the_form_that_the_folder_holds(self, tmp_path: Path, stick: Path) -> None:
        """The better form is not there, so it is not the one that is meant."""
        assert self.installed(tmp_path, model="tiny", folder=str(stick)) == "tiny:Q4_0 folder"

    def test_without_a_model_the_best_of_the_folder_is_chosen(self, tmp_path: Path, stick: Path) -> None:
        """A stick that was brought to a machine without a network is enough."""
        assert self.installed(tmp_path, folder=str(stick)) == "tiny:Q4_0 folder"

    def test_a_file_decides_the_form(self, tmp_path: Path, stick: Path) -> None:
        """A Q4_0 file is never installed under the name of another form."""
        file = (stick / "tiny-Q4_0.gguf").rename(stick / "renamed.gguf")
        assert self.installed(tmp_path, model="tiny", folder=str(file)) == "tiny:Q4_0 file"

    def test_a_file_alone_is_installed_as_ones_own(self, tmp_path: Path, stick: Path) -> None:
        """As if it had been named in the model's place."""
        assert self.installed(tmp_path, folder=str(stick / "tiny-Q4_0.gguf")) == "tiny-q4_0:Q4_0 file"

    def test_a_folder_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        """By its path."""
        with pytest.raises(NotFound, match="nowhere"):
            self.installed(tmp_path, model="tiny:Q4_0", folder=str(tmp_path / "nowhere"))

    def test_a_folder_without_the_file_names_what_was_looked_for(self, tmp_path: Path, stick: Path) -> None:
        """So that a wrongly named file can be found."""
        with pytest.raises(NotFound, match=r"tiny-Q8_0\.gguf"):
            self.installed(tmp_path, model="tiny:Q8_0", folder=str(stick))
