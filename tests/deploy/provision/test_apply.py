"""Applying a site file makes a host what the file wants, says what it changed, and does no more."""

import dataclasses
import hashlib
from pathlib import Path

import msgspec
import pytest

from deploy.bundle.manifest import MANIFEST
from deploy.commands.bundle import CreateRequest, create
from deploy.commands.install import InstallRequest, install
from deploy.commands.keys import export
from deploy.commands.models import remove
from deploy.errors import IntegrityError, LandfastError, NotFound, PolicyRefused, UsageError
from deploy.journal import Journal
from deploy.policy.policy import in_force
from deploy.provision.lock import Lock, lock_path, read_lock
from tests.deploy.provision.kit import (
    BEST_AND_TWO,
    EVERYTHING,
    MODELS,
    SHELF,
    applied,
    host,
    outcome,
    site,
    snapshot,
    states,
    wanted_state,
)
from tests.support.eyes import projector
from tests.support.world import FakeSource, artifact, catalog, machine, model, sighted

GONE = FakeSource(reachable=False)


def lock_of(path: str) -> Lock:
    """The lock beside a site file."""
    lock = read_lock(lock_path(Path(path), None))
    assert lock is not None
    return lock


def test_the_first_time_everything_is_changed_and_the_second_nothing(tmp_path: Path) -> None:
    """Not a file, not a time: the second run leaves the host alone."""
    context, path = host(tmp_path / "home"), site(tmp_path / "etc", EVERYTHING)
    first = applied(context, path)
    assert first.changed == 5
    assert [r.id for r in context.store.installed()] == ["one:Q4_0", "two:Q4_0"]
    before = snapshot(tmp_path)
    second = outcome(context, path)
    assert second.data is not None
    assert (second.data.changed, second.changed, second.exit_code) == (0, False, 0)
    assert set(states(second.data).values()) == {"ok"}
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("locked", [False, True])
def test_check_touches_nothing_and_says_what_it_would(tmp_path: Path, *, locked: bool) -> None:
    """On a bare host not even a folder is made; the steps are those that are then taken."""
    context, path = host(tmp_path / "home"), site(tmp_path / "etc", EVERYTHING)
    if locked:
        applied(host(tmp_path / "other"), path)
    before = snapshot(tmp_path)
    result = outcome(context, path, check=True, locked=locked)
    assert (result.exit_code, result.changed, result.status) == (10, False, "success")
    assert snapshot(tmp_path) == before
    would = [step.name for step in result.data.steps if step.state == "would-change"] if result.data else []
    done = [step.name for step in applied(context, path, locked=locked).steps if step.state == "changed"]
    assert would == done
    assert outcome(context, path, check=True, locked=locked).exit_code == 0


def test_check_touches_nothing_of_a_host_that_drifted(tmp_path: Path) -> None:
    """A damaged model is told, and stays where it is for the apply that cures it."""
    context, path = host(tmp_path / "home"), site(tmp_path / "etc", EVERYTHING)
    applied(context, path)
    blob = next((context.paths.store / "blobs" / "sha256").iterdir())
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    (context.paths.config / "policy.toml").write_text("[deny]\ncountry = ['FR']\n")
    before = snapshot(tmp_path)
    found = outcome(context, path, check=True, locked=True)
    assert found.exit_code == 10
    changing = [name for name, state in states(found.data).items() if state == "would-change"]
    assert changing[0] == "policy"
    assert changing[1].startswith("model ")
    assert snapshot(tmp_path) == before
    assert applied(context, path, locked=True).changed == 2
    assert applied(context, path, locked=True).changed == 0


def test_a_change_tells_what_was_and_what_will_be(tmp_path: Path) -> None:
    """For --diff, and for whoever reads the JSON."""
    context = host(tmp_path / "home")
    applied(context, site(tmp_path, "[policy.deny]\ncountry = ['XX']\n"))
    data = applied(context, site(tmp_path, "[policy.deny]\ncountry = ['YY']\n"))
    step = data.steps[0]
    assert (step.before, step.after) == ("[deny]\ncountry = ['XX']\n", "[deny]\ncountry = ['YY']\n")


def test_the_policy_of_the_file_is_in_force_afterwards(tmp_path: Path) -> None:
    """For every command of this user."""
    context = host(tmp_path / "home")
    applied(context, site(tmp_path, "[policy.allow]\nlicence = ['Apache-2.0']\n"))
    policy = in_force(context.paths, {}, system=tmp_path / "none")
    assert [document.rules for document in policy.documents] == [{"allow.licence": ("Apache-2.0",)}]


def test_the_policy_of_the_file_holds_for_its_own_wishes(tmp_path: Path) -> None:
    """Also with --check, when it is not in force yet; nothing is changed for a wish that it forbids."""
    context = host(tmp_path / "home")
    path = site(tmp_path / "etc", "[policy.deny]\nmodel = ['one']\n[[models]]\nbest = 'chat'\n")
    assert applied(context, path).models == ("two:Q4_0",)
    forbidden = site(tmp_path / "etc2", "[policy.deny]\nmodel = ['one']\n[[models]]\nname = 'one:Q4_0'\n")
    assert outcome(context, forbidden, check=True).exit_code == 4
    assert states(outcome(context, forbidden).data)["model one:Q4_0"] == "failed"
    assert context.store.get("one:Q4_0") is None


def test_what_best_came_to_is_pinned_with_hashes(tmp_path: Path) -> None:
    """In words that a reviewer understands."""
    path = site(tmp_path, BEST_AND_TWO)
    applied(host(tmp_path / "home"), path)
    best, two = lock_of(path).models
    assert (best.wish, best.id) == ("best chat, 8192 tokens, 6 tok/s", "one:Q4_0")
    assert "highest expected quality" in best.why
    assert [file.sha256 for file in best.files] == [MODELS[0].artifacts[0].files[0].sha256]
    assert (two.id, two.licence, two.catalogue) == ("two:Q4_0", "Apache-2.0", "2025-06-01")


def test_a_lock_gives_another_host_the_same(tmp_path: Path) -> None:
    """One on which the ranking would choose something else, or nothing."""
    path = site(tmp_path / "etc", BEST_AND_TWO)
    applied(host(tmp_path / "first"), path)
    before = snapshot(tmp_path / "etc")
    small = host(tmp_path / "second", on=machine(total_bytes=1 << 20))
    assert applied(small, path, locked=True).models == ("one:Q4_0", "two:Q4_0")
    assert snapshot(tmp_path / "etc") == before
    assert wanted_state(small) == wanted_state(host(tmp_path / "first"))


def test_what_is_pinned_is_not_chosen_anew(tmp_path: Path) -> None:
    """A better model in the catalogue changes nothing until the lock is made anew."""
    path = site(tmp_path, BEST_AND_TWO)
    applied(host(tmp_path / "home"), path)
    better = model("better", artifact("Q4_0", "one.gguf", SHELF["one.gguf"]), parameters=4 * 10**9)
    context = host(tmp_path / "home", better, *MODELS)
    assert applied(context, path).changed == 0
    lock_path(Path(path), None).unlink()
    assert applied(context, path).models == ("better:Q4_0", "two:Q4_0")


def test_locked_without_a_lock_is_refused(tmp_path: Path) -> None:
    """And nothing is touched."""
    path = site(tmp_path / "etc", BEST_AND_TWO)
    before = snapshot(tmp_path)
    with pytest.raises(NotFound, match="no lock file"):
        outcome(host(tmp_path / "home"), path, locked=True)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("text", ["[[models]]\nname = 'one'\n", "", "[[models]]\nbest = 'chat'\ncontext = '16k'\n"])
def test_a_lock_of_other_wishes_is_refused_with_locked(tmp_path: Path, text: str) -> None:
    """One too many or one too few: it is not this file's."""
    path = site(tmp_path, BEST_AND_TWO)
    applied(host(tmp_path / "home"), path)
    site(tmp_path, text)
    with pytest.raises(UsageError, match="not that of this site file"):
        outcome(host(tmp_path / "home"), path, locked=True)


def test_a_spoilt_lock_is_refused(tmp_path: Path) -> None:
    """An unknown key counts as spoilt."""
    path = site(tmp_path, BEST_AND_TWO)
    lock_path(Path(path), None).write_text('{"schema": "landfast.lock/1", "modles": []}')
    with pytest.raises(IntegrityError, match="cannot be used"):
        outcome(host(tmp_path / "home"), path)


def test_a_lock_and_a_catalogue_that_promise_different_bytes_are_refused(tmp_path: Path) -> None:
    """Neither is believed over the other."""
    path = site(tmp_path, BEST_AND_TWO)
    applied(host(tmp_path / "home"), path)
    other = model("one", artifact("Q4_0", "one.gguf", b"other"), parameters=2 * 10**9)
    context = host(tmp_path / "second", other, MODELS[1])
    result = outcome(context, path, locked=True)
    assert result.exit_code == 6
    assert "different bytes" in result.errors[0].message
    assert context.store.installed() == ()


def test_a_hash_that_nobody_promised_is_pinned_by_the_first_host(tmp_path: Path) -> None:
    """And the second host refuses other bytes."""
    known = catalog(*MODELS).models[0]
    file = msgspec.structs.replace(known.artifacts[0].files[0], sha256=None)
    loose = msgspec.structs.replace(known, artifacts=(msgspec.structs.replace(known.artifacts[0], files=(file,)),))
    path = site(tmp_path / "etc", "[[models]]\nname = 'one:Q4_0'\n")
    first = host(tmp_path / "home", loose)
    applied(first, path)
    assert applied(first, path).changed == 0
    assert lock_of(path).models[0].files[0].sha256 == MODELS[0].artifacts[0].files[0].sha256
    evil = bytearray(SHELF["one.gguf"])
    evil[-1] ^= 1
    second = host(tmp_path / "second", loose, sources=(FakeSource(files={"one.gguf": bytes(evil)}),))
    result = outcome(second, path, locked=True)
    assert result.exit_code == 6
    assert second.store.installed() == ()


def test_other_bytes_under_a_pinned_name_are_refused(tmp_path: Path) -> None:
    """What lies there is not replaced without a person."""
    path = site(tmp_path / "etc", "[[models]]\nname = 'one:Q4_0'\n")
    applied(host(tmp_path / "home"), path)
    other = model("one", artifact("Q4_0", "one.gguf", SHELF["two.gguf"]))
    second = host(tmp_path / "second", other, sources=(FakeSource(files={"one.gguf": SHELF["two.gguf"]}),))
    install(second, InstallRequest(model="one:Q4_0"))
    known = catalog(*MODELS)
    result = outcome(dataclasses.replace(second, catalog=lambda: known), path, locked=True)
    assert (result.exit_code, "other bytes" in result.errors[0].message) == (6, True)


def test_a_step_that_fails_leaves_the_host_as_it_was_and_says_how_to_go_on(tmp_path: Path) -> None:
    """What comes after it is not reached; the next run goes on."""
    path = site(tmp_path / "etc", EVERYTHING)
    context = host(tmp_path / "home", sources=(FakeSource(files={"one.gguf": SHELF["one.gguf"]}),))
    result = outcome(context, path)
    assert (result.status, result.exit_code, result.changed) == ("partial", 5, True)
    assert "it continues here" in result.errors[0].hint
    found = states(result.data)
    assert (found["model one:Q4_0"], found["model two:Q4_0"], found["journal"]) == ("changed", "failed", "not-reached")
    assert [record.id for record in context.store.installed()] == ["one:Q4_0"]
    assert context.store.rubbish() == ()
    whole = host(tmp_path / "home")
    assert applied(whole, path).changed == 1
    assert applied(whole, path).changed == 0


def test_a_folder_that_was_made_for_a_file_goes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk at the first step leaves no empty folders of settings."""
    context = host(tmp_path / "home")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deploy.provision.files.write_durably", full)
    result = outcome(context, site(tmp_path, "[policy.deny]\ncountry = ['XX']\n"))
    assert (result.status, result.exit_code) == ("error", 7)
    assert not context.paths.config.exists()


@pytest.mark.parametrize("key", ["landfast", "engine"])
def test_a_version_that_is_too_old_is_refused_before_anything(tmp_path: Path, key: str) -> None:
    """With both versions."""
    path = site(tmp_path / "etc", f"[require]\n{key} = '99.0'\n[policy.deny]\ncountry = ['XX']\n")
    with pytest.raises(PolicyRefused, match=r"asks for .* 99\.0 or newer, and this host has"):
        outcome(host(tmp_path / "home"), path)
    assert not (tmp_path / "home").exists()


def test_nothing_that_fits_is_said_with_the_wish(tmp_path: Path) -> None:
    """Before anything is changed."""
    path = site(tmp_path / "etc", BEST_AND_TWO)
    with pytest.raises(LandfastError, match="best chat, 8192 tokens"):
        outcome(host(tmp_path / "home", on=machine(total_bytes=1 << 20)), path)
    assert not (tmp_path / "home").exists()


def test_every_change_is_in_the_journal_and_no_change_is_not(tmp_path: Path) -> None:
    """With the hash of the site file; the chain is whole."""
    context, path = host(tmp_path / "home"), site(tmp_path / "etc", BEST_AND_TWO)
    data = applied(context, path)
    applied(context, path)
    lines = [msgspec.json.decode(line)["event"] for line in Journal(context.paths).raw_lines()]
    assert [(line["kind"], line["outcome"]) for line in lines] == [("apply", "begun"), ("apply", "changed 4")]
    assert lines[0]["sha256"] == [data.site_sha256]
    assert Journal(context.paths).verify().whole


@pytest.mark.parametrize(("required", "exit_code"), [("true", 13), ("false", 0)])
def test_a_journal_that_is_required_is_written_first_or_nothing_is(
    tmp_path: Path, required: str, exit_code: int
) -> None:
    """Where it is not required, the failure is told."""
    context = host(tmp_path / "home")
    context.paths.state.mkdir(parents=True)
    (context.paths.journal).write_text("in its place")
    path = site(tmp_path / "etc", f"[journal]\nrequired = {required}\n[policy.deny]\ncountry = ['XX']\n")
    result = outcome(context, path)
    assert result.exit_code == exit_code
    assert (context.paths.config / "policy.toml").exists() == (exit_code == 0)
    assert bool(result.messages) == (exit_code == 0)


def test_an_old_journal_is_ended_and_the_new_one_names_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both chains are whole; an ended one is deleted when it is old in its turn."""
    context = host(tmp_path / "home")
    with monkeypatch.context() as long_ago:
        long_ago.setattr("deploy.journal._now", lambda: "2025-01-01T00:00:00.000+00:00")
        applied(context, site(tmp_path / "etc", "[policy.deny]\ncountry = ['XX']\n"))
    path = site(tmp_path / "etc", "[retention]\njournal_days = 2\n[policy.deny]\ncountry = ['XX']\n")
    old = Journal(context.paths).verify()
    assert states(applied(context, path))["journal"] == "changed"
    (ended,) = (context.paths.journal / "ended").iterdir()
    lines = ended.read_bytes().splitlines()
    assert len(lines) == old.lines + 1  # the apply that ended it has begun in it
    first = msgspec.json.decode(next(iter(Journal(context.paths).raw_lines())))
    assert (first["event"]["kind"], first["event"]["sha256"]) == ("begin", [hashlib.sha256(lines[-1]).hexdigest()])
    assert Journal(context.paths).verify().whole
    ended.rename(ended.with_name("journal-20200101-20200102-0123456789abcdef.jsonl"))
    assert states(applied(context, path))["journal"] == "changed"
    assert list((context.paths.journal / "ended").iterdir()) == []
    assert applied(context, path).changed == 0


def test_an_earlier_choice_is_kept_for_a_way_back_and_then_removed(tmp_path: Path) -> None:
    """Only what apply brought, and only after the new one is there."""
    context = host(tmp_path / "home")
    for text in ("name = 'one'", "name = 'two'"):
        applied(context, site(tmp_path / "etc", f"[retention]\nold_models = 1\n[[models]]\n{text}\n"))
    assert len(context.store.installed()) == 2
    path = site(tmp_path / "etc", "[retention]\nold_models = 0\n[[models]]\nname = 'two'\n")
    assert states(applied(context, path))["old model one:Q4_0"] == "changed"
    assert [record.id for record in context.store.installed()] == ["two:Q4_0"]
    assert applied(context, path).changed == 0


def test_what_others_brought_stays_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    """A user's own model is not apply's to take away."""
    context = host(tmp_path / "home")
    install(context, InstallRequest(model="two:Q4_0"))
    kept = site(tmp_path / "etc", "[retention]\nold_models = 0\n[[models]]\nname = 'one'\n")
    applied(context, kept)
    assert len(context.store.installed()) == 2
    removed = site(tmp_path / "etc", "[retention]\nunlisted = 'remove'\n[[models]]\nname = 'one'\n")
    assert states(applied(context, removed))["old model two:Q4_0"] == "changed"
    assert [record.id for record in context.store.installed()] == ["one:Q4_0"]
    assert applied(context, removed).changed == 0


def test_a_model_that_was_removed_comes_back(tmp_path: Path) -> None:
    """The wanted state is the wanted state."""
    context, path = host(tmp_path / "home"), site(tmp_path / "etc", BEST_AND_TWO)
    applied(context, path)
    remove(context, "one:Q4_0")
    assert applied(context, path).changed == 1
    assert len(context.store.installed()) == 2


def test_a_bundle_and_its_key_come_with_the_file(tmp_path: Path) -> None:
    """Check looks into the bundle of a key that is only to be trusted; the catalogue need not know the model."""
    maker = host(tmp_path / "maker")
    install(maker, InstallRequest(model="one:Q4_0"))
    etc = tmp_path / "etc"
    path = site(
        etc,
        "[[models]]\nname = 'one:Q4_0'\n[sources]\nbundle = 'bundle'\ntrusted_keys = ['site.pub']\n",
    )
    create(maker, CreateRequest(out=str(etc / "bundle"), part_bytes=1 << 20))
    exported = export(maker).data
    assert exported is not None
    (etc / "site.pub").write_text(exported.pem)
    assert (etc / "bundle" / MANIFEST).exists()
    stranger = model("other", artifact("Q4_0", "other.gguf", SHELF["two.gguf"]))
    context = host(tmp_path / "home", stranger, sources=(GONE,))
    before = snapshot(tmp_path)
    assert outcome(context, path, check=True).exit_code == 10
    assert snapshot(tmp_path) == before
    assert applied(context, path).changed == 4
    assert context.store.installed()[0].files[0].pinned in {"bundle", "catalogue"}
    (etc / "bundle").rename(tmp_path / "stick-is-gone")
    assert applied(context, path, locked=True).changed == 0


def test_a_bundle_of_a_stranger_is_refused(tmp_path: Path) -> None:
    """The file names the keys; without one nothing is taken in."""
    maker = host(tmp_path / "maker")
    install(maker, InstallRequest(model="one:Q4_0"))
    create(maker, CreateRequest(out=str(tmp_path / "bundle"), part_bytes=1 << 20))
    path = site(tmp_path, "[[models]]\nname = 'one:Q4_0'\n[sources]\nbundle = 'bundle'\n")
    with pytest.raises(PolicyRefused, match="not trusted here"):
        outcome(host(tmp_path / "home", sources=(GONE,)), path)
    assert not (tmp_path / "home").exists()


def test_only_the_places_of_the_file_are_asked(tmp_path: Path) -> None:
    """A source that every other command would ask is not."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / "one.gguf").write_bytes(SHELF["one.gguf"])
    source = FakeSource(files=SHELF)
    context = host(tmp_path / "home", sources=(source,))
    applied(context, site(tmp_path, "[[models]]\nname = 'one'\n[sources]\nfolder = 'shelf'\n"))
    assert source.fetched == []
    assert [record.id for record in context.store.installed()] == ["one:Q4_0"]


def test_the_best_model_for_images_comes_with_its_projector_as_pinned(tmp_path: Path) -> None:
    """The lock names its hash, so that every host gets the same; one that lacks it alone gets it alone."""
    eye = projector(width=32).build()
    known = sighted(MODELS[0], artifact("F16", "mmproj.gguf", eye))
    shelf = FakeSource(files=SHELF | {"mmproj.gguf": eye})
    context = host(tmp_path / "home", known, sources=(shelf,))
    path = site(tmp_path, "[[models]]\nbest = 'vision'\n")
    install(context, InstallRequest(model="one"))
    applied(context, path)
    (record,) = context.store.installed()
    (pinned,) = lock_of(path).models
    assert record.projector is not None
    assert pinned.projector is not None
    assert pinned.projector.sha256 == record.projector.sha256
    assert shelf.fetched == ["one.gguf", "mmproj.gguf"]
    assert applied(context, path, locked=True).changed == 0
