"""A catalogue that promises other bytes: both versions are kept, and either can be taken into use."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from deploy.checksum import checksummed
from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from deploy.commands.models import list_models, remove, show, verify
from deploy.commands.upkeep import collect, rubbish
from deploy.commands.versions import rollback, switch
from deploy.errors import ExitCode, IntegrityError, NotFound
from deploy.store.records import Installed
from tests.support.gguf import text, tiny_model
from tests.support.world import TINY, FakeSource, artifact, model, world


def variant(name: str) -> bytes:
    """Another file of the same model."""
    file = tiny_model()
    file.settings["general.name"] = text(name)
    return file.build()


NEW, NEWEST = variant("Tiny, mended"), variant("Tiny, mended twice")
ID = "tiny:Q4_0"


def at(home: Path, body: bytes) -> Context:
    """A world whose catalogue and source know these bytes."""
    return world(home, model("tiny", artifact("Q4_0", body=body)), sources=(FakeSource(files={"tiny.gguf": body}),))


@pytest.fixture
def here(tmp_path: Path) -> Context:
    """A model in its third version."""
    for body in (TINY, NEW, NEWEST):
        install(at(tmp_path, body), InstallRequest(model="tiny"))
    return at(tmp_path, NEWEST)


def loads(context: Context) -> bytes:
    """What an engine would read now."""
    (record,) = context.store.installed()
    (path,) = context.store.open_files(record, context.report)
    return path.read_bytes()


def record_of(context: Context) -> Installed:
    """The version in use."""
    (record,) = context.store.installed()
    return record


def test_a_newer_catalogue_brings_the_newer_version_and_keeps_the_former(tmp_path: Path) -> None:
    """The user is told how to go back, and the same install again changes nothing."""
    install(at(tmp_path, TINY), InstallRequest(model="tiny"))
    result = install(at(tmp_path, NEW), InstallRequest(model="tiny"))
    assert result.changed
    assert "landfast models rollback tiny:Q4_0" in result.messages[-1].text
    assert loads(at(tmp_path, NEW)) == NEW
    assert [one.serial for one in at(tmp_path, NEW).store.former(ID)] == [1]
    assert not install(at(tmp_path, NEW), InstallRequest(model="tiny")).changed


def test_rollback_goes_one_version_back_each_time(here: Context) -> None:
    """From the third to the second to the first, and then there is none."""
    assert rollback(here, "tiny").data.installed.serial == 2  # type: ignore[union-attr]
    assert loads(here) == NEW
    rollback(here, "tiny")
    assert loads(here) == TINY
    with pytest.raises(NotFound, match="no former version"):
        rollback(here, "tiny")
    assert [one.serial for one in here.store.former(ID)] == [3, 2]


@pytest.mark.parametrize("version", ["1", "#1", "hash"])
def test_a_version_is_chosen_by_number_or_hash(here: Context, version: str) -> None:
    """And the way forward is open too."""
    first = here.store.former(ID)[-1]
    switch(here, "tiny", first.hashes[0][:8] if version == "hash" else version)
    assert loads(here) == TINY
    switch(here, "tiny", "3")
    assert loads(here) == NEWEST
    assert not switch(here, "tiny", "3").changed


def test_a_version_that_is_not_there_is_named_with_those_that_are(here: Context) -> None:
    """The hint lists numbers and hashes."""
    with pytest.raises(NotFound, match="no former version 9") as caught:
        switch(here, "tiny", "9")
    assert f"2 ({here.store.former(ID)[0].hashes[0][:12]})" in caught.value.hint


def test_an_altered_former_version_is_not_taken_into_use(here: Context) -> None:
    """The store is as before, and verify names the version."""
    former = here.store.former(ID)[0]
    blob = here.paths.store / "blobs" / "sha256" / former.hashes[0]
    blob.write_bytes(b"x" * len(NEW))
    with pytest.raises(IntegrityError):
        switch(here, "tiny", "2")
    assert loads(here) == NEWEST
    result = verify(here, None)
    assert result.exit_code == ExitCode.INTEGRITY
    assert [found.id for found in result.data.models if not found.whole] == ["tiny:Q4_0#2"]  # type: ignore[union-attr]


def test_a_damaged_lock_file_of_a_former_version_is_named_and_removed(here: Context) -> None:
    """It does not hurt the others."""
    path = here.paths.store / "versions" / "tiny@Q4_0" / "2.json"
    path.write_bytes(path.read_bytes().replace(b"tiny", b"tyny"))
    assert [one.id for one in here.store.damaged()] == ["tiny:Q4_0#2"]
    remove(here, "tiny:Q4_0#2")
    assert here.store.damaged() == ()
    assert rollback(here, "tiny").data.installed.serial == 1  # type: ignore[union-attr]


def test_gc_keeps_former_versions_unless_asked(here: Context) -> None:
    """It shows them first, with what each takes."""
    assert rubbish(here).data.rubbish == ()  # type: ignore[union-attr]
    shown = rubbish(here, former=True).data.rubbish  # type: ignore[union-attr]
    assert [(one.name, one.size_bytes) for one in shown] == [("tiny:Q4_0#2", len(NEW)), ("tiny:Q4_0#1", len(TINY))]
    assert collect(here).data.freed_bytes == 0  # type: ignore[union-attr]
    assert list_models(here).data.former_bytes == len(NEW) + len(TINY)  # type: ignore[union-attr]
    assert collect(here, former=True).data.freed_bytes == len(NEW) + len(TINY)  # type: ignore[union-attr]
    assert here.store.former(ID) == ()
    assert loads(here) == NEWEST


def test_one_former_version_is_removed_alone(here: Context) -> None:
    """By its name; the model itself stays."""
    assert remove(here, "tiny#1").data.freed_bytes == len(TINY)  # type: ignore[union-attr]
    assert [one.serial for one in here.store.former(ID)] == [2]
    assert loads(here) == NEWEST


def test_removing_a_model_removes_its_former_versions(here: Context) -> None:
    """A later install of it begins anew."""
    remove(here, "tiny")
    assert not [path for path in (here.paths.store / "blobs").rglob("*") if path.is_file()]
    install(here, InstallRequest(model="tiny"))
    assert here.store.former(ID) == ()


def test_the_bytes_of_a_former_version_come_back_without_two_copies(here: Context, tmp_path: Path) -> None:
    """Installing what was there before is the newest version again, and the copy in the past is forgotten."""
    install(at(tmp_path, TINY), InstallRequest(model="tiny"))
    assert loads(here) == TINY
    assert [one.hashes for one in here.store.former(ID)].count(record_of(here).hashes) == 0


def test_the_lock_file_says_who_accepted_and_what_was_foretold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Licence, account and time; plan and forecast at install time."""
    monkeypatch.setenv("SUDO_USER", "anna")
    here = at(tmp_path, TINY)
    install(here, InstallRequest(model="tiny"))
    record = record_of(here)
    assert record.accepted is not None
    assert (record.accepted.licence, record.accepted.by[:4]) == ("Apache-2.0", "anna")
    assert record.accepted.at == record.installed_at
    assert record.promise is not None
    assert record.promise.peak_bytes > 0
    assert record.promise.plan["context_tokens"] > 0
    assert show(here, "tiny").data.installed == record  # type: ignore[union-attr]


def test_a_repair_is_no_new_acceptance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who took the model stays who took it."""
    here = at(tmp_path, TINY)
    install(here, InstallRequest(model="tiny"))
    first = record_of(here)
    next((tmp_path / "data" / "store" / "blobs" / "sha256").iterdir()).write_bytes(b"x")
    monkeypatch.setenv("SUDO_USER", "somebody-else")
    assert install(here, InstallRequest(model="tiny")).changed
    assert record_of(here).accepted == first.accepted
    assert record_of(here).serial == first.serial


def test_lock_files_of_the_first_version_are_read_and_renewed(tmp_path: Path) -> None:
    """An upgrade of Landfast loses no model; the next change writes the new form."""
    here = at(tmp_path, TINY)
    install(here, InstallRequest(model="tiny"))
    path = here.paths.store / "models" / "tiny@Q4_0.json"
    fields = msgspec.json.decode(path.read_bytes())
    for name in ("serial", "revision", "accepted", "promise", "checksum", "sha256"):
        fields.pop(name, None)
    fields["schema"] = "landfast.installed/1"
    path.write_bytes(checksummed(msgspec.json.format(msgspec.json.encode(fields), indent=2)))
    record = record_of(here)
    assert (record.serial, record.accepted, loads(here)) == (1, None, TINY)
    assert verify(here, None).exit_code == ExitCode.DONE
    assert b"landfast.installed/2" in path.read_bytes()
    assert install(at(tmp_path, NEW), InstallRequest(model="tiny")).changed
    assert [one.serial for one in here.store.former(ID)] == [1]


def test_another_file_of_ones_own_under_the_same_name_is_another_version(tmp_path: Path) -> None:
    """What the user names is what is installed, and the same file again changes nothing."""
    path = tmp_path / "mine.gguf"
    here = replace(at(tmp_path / "home", TINY), sources=())
    for body in (TINY, NEW):
        path.write_bytes(body)
        assert install(here, InstallRequest(model=str(path))).changed
        assert not install(here, InstallRequest(model=str(path))).changed
    assert loads(here) == NEW
    assert len(here.store.former(record_of(here).id)) == 1


def test_a_file_of_another_form_is_refused_where_no_hash_is_known(tmp_path: Path) -> None:
    """The header of the file itself says what it is."""
    form = msgspec.structs.replace(
        artifact("F16"), files=(msgspec.structs.replace(artifact("F16").files[0], sha256=None, size_exact=False),)
    )
    path = tmp_path / "tiny.gguf"
    path.write_bytes(TINY)
    here = world(tmp_path / "home", model("tiny", form), sources=())
    with pytest.raises(IntegrityError, match=r"tiny:F16 was asked for") as caught:
        install(here, InstallRequest(model="tiny:F16", folder=str(path)))
    assert caught.value.hint
    assert here.store.installed() == ()
