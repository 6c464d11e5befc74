"""Installed models: listed, shown, verified and removed."""

from pathlib import Path

import pytest

from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from deploy.commands.models import list_models, remove, show, verify
from deploy.errors import ExitCode, IntegrityError, NotFound
from tests.support.gguf import tiny_model
from tests.support.world import TINY, FakeSource, artifact, model, world

OTHER_FILE = tiny_model()
OTHER_FILE.settings["general.name"] = OTHER_FILE.settings["tokenizer.ggml.model"]
OTHER = OTHER_FILE.build()


@pytest.fixture
def here(tmp_path: Path) -> Context:
    """Two installed models with different files."""
    context = world(
        tmp_path,
        model("tiny", artifact("Q4_0")),
        model("other", artifact("Q4_0", "other.gguf", OTHER)),
        sources=(FakeSource(files={"tiny.gguf": TINY, "other.gguf": OTHER}),),
    )
    for name in ("tiny", "other"):
        install(context, InstallRequest(model=name))
    return context


def damage(context: Context, name: str) -> None:
    """Alter the file of a model in the store."""
    path = Path(show(context, name).data.paths[0])  # type: ignore[union-attr]
    path.write_bytes(b"x" * path.stat().st_size)


def test_an_empty_store_is_listed_as_empty(tmp_path: Path) -> None:
    """Looking makes nothing."""
    context = world(tmp_path)
    data = list_models(context).data
    assert data is not None
    assert (data.installed, data.used_bytes, data.staged_bytes) == ((), 0, 0)
    assert not context.paths.store.exists()


def test_models_are_listed_with_what_they_take(here: Context) -> None:
    """Each distinct file counts once."""
    result = list_models(here)
    assert result.data is not None
    assert [record.id for record in result.data.installed] == ["other:Q4_0", "tiny:Q4_0"]
    assert result.data.used_bytes == len(TINY) + len(OTHER)
    assert not result.changed


def test_a_damaged_record_is_told_and_can_be_removed(here: Context) -> None:
    """The others are listed as before."""
    (here.paths.store / "models" / "tiny@Q4_0.json").write_bytes(b"{")
    result = list_models(here)
    assert result.data is not None
    assert [record.id for record in result.data.installed] == ["other:Q4_0"]
    assert [record.id for record in result.data.damaged] == ["tiny:Q4_0"]
    assert result.messages[0].level == "warning"
    assert remove(here, "TINY:q4_0").changed
    assert list_models(here).data.damaged == ()  # type: ignore[union-attr]


def test_one_model_is_shown_with_its_catalogue_entry(here: Context) -> None:
    """By its id or by its name, in any case, with the one form that is installed."""
    for name in ("tiny", "TINY:Q4_0"):
        data = show(here, name).data
        assert data is not None
        assert data.installed.id == "tiny:Q4_0"
        assert data.model is not None
        assert [form.quant for form in data.model.artifacts] == ["Q4_0"]
        assert Path(data.paths[0]).read_bytes() == TINY


def test_what_is_not_installed_is_answered_with_what_is(here: Context) -> None:
    """Show, verify and remove alike."""
    for command in (show, verify, remove):
        with pytest.raises(NotFound, match="nothing-such is not installed") as caught:
            command(here, "nothing-such")
        assert caught.value.hint == "Installed: other:Q4_0, tiny:Q4_0."


def test_a_name_of_two_forms_is_not_guessed(tmp_path: Path) -> None:
    """Removing the wrong one would be worse than asking."""
    forms = model("tiny", artifact("Q4_0"), artifact("Q8_0", "other.gguf", OTHER))
    context = world(tmp_path, forms, sources=(FakeSource(files={"tiny.gguf": TINY, "other.gguf": OTHER}),))
    for name in ("tiny:Q4_0", "tiny:Q8_0"):
        install(context, InstallRequest(model=name))
    with pytest.raises(NotFound, match="several forms") as caught:
        remove(context, "tiny")
    assert "tiny:Q4_0, tiny:Q8_0" in caught.value.hint


def test_whole_models_are_verified(here: Context) -> None:
    """All of them, or the one that was named."""
    result = verify(here, None)
    assert (result.status, result.exit_code) == ("success", ExitCode.DONE)
    assert result.data is not None
    assert [(found.id, found.whole) for found in result.data.models] == [("other:Q4_0", True), ("tiny:Q4_0", True)]
    one = verify(here, "tiny").data
    assert one is not None
    assert [found.id for found in one.models] == ["tiny:Q4_0"]


def test_an_altered_model_is_set_aside_and_named(here: Context) -> None:
    """The other one is whole, so the result is partial; the bad file can no longer be loaded."""
    damage(here, "tiny")
    result = verify(here, None)
    assert (result.status, result.changed, result.exit_code) == ("partial", True, ExitCode.INTEGRITY)
    assert [problem.code for problem in result.errors] == ["integrity"]
    assert "tiny.gguf" in result.errors[0].message
    assert "tiny:Q4_0" in result.errors[0].hint
    with pytest.raises(NotFound):
        show(here, "tiny")
    assert install(here, InstallRequest(model="tiny")).changed
    assert verify(here, None).status == "success"


def test_every_bad_model_is_told_its_own_cure(here: Context) -> None:
    """The hint names the model whose file is bad."""
    damage(here, "tiny")
    damage(here, "other")
    result = verify(here, None)
    assert result.status == "error"
    told = [(problem.message.partition(" ")[0], problem.hint) for problem in result.errors]
    assert [file for file, _ in told] == ["other.gguf", "tiny.gguf"]
    assert all(file.replace(".gguf", ":Q4_0") in hint for file, hint in told)


def test_loading_an_altered_model_is_refused(here: Context) -> None:
    """A file that changed after the install is found without being asked to verify."""
    damage(here, "tiny")
    with pytest.raises(IntegrityError, match=r"tiny\.gguf was altered"):
        show(here, "tiny")


def test_a_removed_model_is_gone(here: Context) -> None:
    """Its bytes are freed, the other one stays."""
    result = remove(here, "tiny")
    assert result.changed
    assert result.data is not None
    assert (result.data.id, result.data.freed_bytes) == ("tiny:Q4_0", len(TINY))
    assert [record.id for record in here.store.installed()] == ["other:Q4_0"]
