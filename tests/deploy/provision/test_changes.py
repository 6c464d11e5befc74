"""What changes on hosts over time: versions of models, keys, rules of bundles, and two administrators at once."""

import contextlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from deploy.bundle.manifest import MANIFEST
from deploy.commands.bundle import CreateRequest, create
from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from deploy.commands.keys import export, list_keys
from deploy.errors import PolicyRefused
from deploy.keys import PRIVATE_NAME, PUBLIC_NAME
from deploy.provision.apply import LOCK_NAME
from deploy.provision.lock import lock_path, read_lock
from deploy.sources.base import Progress
from deploy.store.locks import hold
from tests.deploy.provision.kit import MODELS, SHELF, applied, host, outcome, site, states
from tests.support.eyes import projector
from tests.support.world import FakeSource, artifact, machine, sighted

OWN = "[[models]]\nname = 'own:Q4_0'\n[sources]\nbundle = 'bundle'\ntrusted_keys = ['site.pub']\n"
ONE = "[[models]]\nname = 'one:Q4_0'\n[sources]\nbundle = 'bundle'\ntrusted_keys = ['site.pub']\n"
AWAY = FakeSource(reachable=False)


def bundle_of_own(maker: Context, etc: Path, body: bytes) -> None:
    """A bundle with a model of the site's own of these bytes, beside the site file."""
    file = etc / "own.gguf"
    file.write_bytes(body)
    install(maker, InstallRequest(model=str(file)))
    with contextlib.suppress(FileNotFoundError):
        (etc / "bundle").rename(etc / f"bundle-{len(list(etc.iterdir()))}")
    create(maker, CreateRequest(out=str(etc / "bundle"), part_bytes=1 << 20))
    write_key(maker, etc)


def write_key(maker: Context, etc: Path) -> str:
    """The maker's public key beside the site file; gives its fingerprint."""
    exported = export(maker).data
    assert exported is not None
    (etc / "site.pub").write_text(exported.pem)
    return exported.fingerprint


def bytes_of(context: Context) -> bytes:
    """What would be loaded of the one installed model."""
    (record,) = context.store.installed()
    return context.store.open_files(record, context.report)[0].read_bytes()


def test_a_new_version_comes_with_a_new_lock_and_the_old_lock_goes_back_without_a_source(tmp_path: Path) -> None:
    """The former version is kept; what choosing anew finds in the bundle counts, not what lies here."""
    maker, here = host(tmp_path / "maker"), host(tmp_path / "home", sources=(AWAY,))
    path = site(tmp_path / "etc", OWN)
    lock = lock_path(Path(path), None)
    bundle_of_own(maker, tmp_path / "etc", SHELF["one.gguf"])
    applied(here, path)
    old = lock.read_bytes()
    bundle_of_own(maker, tmp_path / "etc", SHELF["two.gguf"])
    lock.unlink()
    assert states(applied(here, path))["model own:Q4_0"] == "changed"
    assert bytes_of(here) == SHELF["two.gguf"]
    assert applied(here, path).changed == 0
    lock.write_bytes(old)
    (tmp_path / "etc" / "bundle").rename(tmp_path / "gone")
    assert applied(here, path, locked=True, check=True).changed == 1
    assert applied(here, path, locked=True).changed == 1
    assert bytes_of(here) == SHELF["one.gguf"]
    assert applied(here, path, locked=True).changed == 0


def test_former_versions_are_kept_as_many_as_the_file_says(tmp_path: Path) -> None:
    """A small disk does not fill with them; without a number all stay."""
    maker, here = host(tmp_path / "maker"), host(tmp_path / "home", sources=(AWAY,))
    path = site(tmp_path / "etc", OWN + "[retention]\nold_models = 1\n")
    for size in (64, 32, 128):
        bundle_of_own(maker, tmp_path / "etc", SHELF["one.gguf"] + bytes(size))
        lock_path(Path(path), None).unlink(missing_ok=True)
        applied(here, path)
    assert [former.serial for former in here.store.former("own:Q4_0")] == [2]
    assert applied(here, path).changed == 0


def test_a_bundle_with_other_bytes_than_the_lock_is_told_as_that(tmp_path: Path) -> None:
    """Nothing comes from it."""
    maker = host(tmp_path / "maker")
    path = site(tmp_path / "etc", OWN)
    bundle_of_own(maker, tmp_path / "etc", SHELF["one.gguf"])
    applied(host(tmp_path / "first", sources=(AWAY,)), path)
    bundle_of_own(maker, tmp_path / "etc", SHELF["two.gguf"])
    second = host(tmp_path / "second", sources=(AWAY,))
    result = outcome(second, path, locked=True)
    assert result.exit_code == 6
    assert result.errors[0].message.startswith("The bundle holds own:Q4_0 with other bytes than the lock file promises")
    assert second.store.installed() == ()


def test_a_key_that_is_off_the_list_is_no_longer_trusted(tmp_path: Path) -> None:
    """The new one is trusted in the same run, and what the old one signed is refused before that."""
    maker, here = host(tmp_path / "maker"), host(tmp_path / "home", sources=(AWAY,))
    path = site(tmp_path / "etc", ONE)
    install(maker, InstallRequest(model="one:Q4_0"))
    create(maker, CreateRequest(out=str(tmp_path / "etc" / "bundle"), part_bytes=1 << 20))
    write_key(maker, tmp_path / "etc")
    applied(here, path)
    for name in (PRIVATE_NAME, PUBLIC_NAME):
        (maker.paths.keys / name).unlink()
    new = write_key(maker, tmp_path / "etc")
    here.store.remove("one:Q4_0")
    refused = outcome(here, path)
    assert refused.exit_code == PolicyRefused.exit_code
    assert "no longer lists" in refused.errors[0].message
    (tmp_path / "etc" / "bundle").rename(tmp_path / "old")
    create(maker, CreateRequest(out=str(tmp_path / "etc" / "bundle"), part_bytes=1 << 20))
    applied(here, path)
    assert [known.fingerprint for known in list_keys(here).data.trusted] == [new]  # type: ignore[union-attr]
    assert applied(here, path).changed == 0


def test_the_rules_of_a_bundle_hold_for_what_apply_takes_from_it(tmp_path: Path) -> None:
    """As they do for `landfast install --from`, also where a wish is chosen."""
    maker = host(tmp_path / "maker")
    path = site(tmp_path / "etc", ONE)
    (tmp_path / "rules.toml").write_text("[deny]\nmodel = ['one']\n")
    install(maker, InstallRequest(model="one:Q4_0"))
    request = CreateRequest(
        out=str(tmp_path / "etc" / "bundle"), part_bytes=1 << 20, policy=str(tmp_path / "rules.toml")
    )
    create(maker, request)
    write_key(maker, tmp_path / "etc")
    here = host(tmp_path / "home", sources=(AWAY,))
    result = outcome(here, path)
    assert result.exit_code == PolicyRefused.exit_code
    assert str(tmp_path / "etc" / "bundle") in result.errors[0].hint
    assert here.store.installed() == ()


def test_a_pinned_model_that_the_policy_now_forbids_is_told_with_both_cures(tmp_path: Path) -> None:
    """It stands in the site file, or only in the lock file."""
    path = site(tmp_path / "etc", "[[models]]\nbest = 'chat'\n")
    applied(host(tmp_path / "home"), path)
    site(tmp_path / "etc", "[[models]]\nbest = 'chat'\n[policy.deny]\nmodel = ['one']\n")
    result = outcome(host(tmp_path / "home"), path)
    assert result.exit_code == PolicyRefused.exit_code
    assert "lock file" in result.errors[0].hint


def test_a_lock_of_a_larger_host_is_carried_out_with_a_warning(tmp_path: Path) -> None:
    """The same bytes everywhere; but somebody is to know that they are too many here."""
    path = site(tmp_path / "etc", "[[models]]\nname = 'one'\n")
    assert outcome(host(tmp_path / "first"), path).messages == ()
    small = host(tmp_path / "second", on=machine(total_bytes=1 << 28))
    result = outcome(small, path, locked=True)
    assert result.exit_code == 0
    assert "one:Q4_0 does not fit this machine" in result.messages[0].text
    assert outcome(small, path, locked=True).messages == ()


@dataclass
class Waiting:
    """Hears that another run is waited for, does its work, and lets it end."""

    held: contextlib.ExitStack
    other: Context
    path: str
    heard: list[Progress] = field(default_factory=list)

    def __call__(self, progress: Progress) -> None:
        """End the other run once somebody waits for it."""
        self.heard.append(progress)
        if "another Landfast process" in progress.text:
            self.held.close()
            applied(self.other, self.path)


def test_of_two_runs_at_once_the_second_waits_and_counts_what_the_first_did(tmp_path: Path) -> None:
    """Nothing is done twice, and neither fails."""
    path = site(tmp_path / "etc", "[policy.deny]\ncountry = ['XX']\n[[models]]\nname = 'one'\n")
    other = host(tmp_path / "home")
    held = contextlib.ExitStack()
    held.enter_context(hold(other.paths.state / LOCK_NAME, "applies a site file", other.report, 0))
    listener = Waiting(held, other, path)
    data = applied(replace(other, report=listener), path)
    assert data.changed == 0
    assert set(states(data).values()) == {"ok"}
    assert len(other.store.installed()) == 1


def test_a_named_model_for_images_comes_with_its_projector(tmp_path: Path) -> None:
    """By its name, as `landfast install MODEL --for vision`; the lock pins both."""
    eye = projector(width=32).build()
    known = sighted(MODELS[0], artifact("F16", "mmproj.gguf", eye))
    here = host(tmp_path / "home", known, sources=(FakeSource(files=SHELF | {"mmproj.gguf": eye}),))
    plain = site(tmp_path / "etc", "[[models]]\nname = 'one'\n")
    applied(here, plain)
    path = site(tmp_path / "etc", "[[models]]\nname = 'one'\nfor = 'vision'\n")
    assert states(applied(here, path))["model one:Q4_0"] == "changed"
    lock = read_lock(lock_path(Path(path), None))
    assert lock is not None
    assert lock.models[0].wish == "one, for vision, 8192 tokens, 6 tok/s"
    assert lock.models[0].projector is not None
    assert here.store.installed()[0].projector is not None
    assert applied(here, path, locked=True).changed == 0


def test_a_model_of_a_bundle_for_images_is_pinned_with_its_projector(tmp_path: Path) -> None:
    """Also where the catalogue knows neither."""
    eye = projector(width=32).build()
    maker = host(tmp_path / "maker")
    etc = tmp_path / "etc"
    path = site(etc, OWN.replace("[sources]", "for = 'vision'\n[sources]"))
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / "own.gguf").write_bytes(SHELF["one.gguf"])
    (stick / "mmproj.gguf").write_bytes(eye)
    install(maker, InstallRequest(model=str(stick / "own.gguf")))
    install(maker, InstallRequest(model="own:Q4_0", folder=str(stick / "mmproj.gguf")))
    create(maker, CreateRequest(out=str(etc / "bundle"), part_bytes=1 << 20))
    write_key(maker, etc)
    assert (etc / "bundle" / MANIFEST).exists()
    here = host(tmp_path / "home", sources=(AWAY,))
    applied(here, path)
    lock = read_lock(lock_path(Path(path), None))
    assert lock is not None
    assert lock.models[0].projector is not None
    assert applied(here, path, locked=True).changed == 0


@pytest.mark.parametrize("check", [True, False])
def test_keys_alone_are_taken_off_too(tmp_path: Path, *, check: bool) -> None:
    """With --check it is only said."""
    maker, here = host(tmp_path / "maker"), host(tmp_path / "home")
    path = site(tmp_path / "etc", "[sources]\ntrusted_keys = ['site.pub']\n")
    write_key(maker, tmp_path / "etc")
    applied(here, path)
    site(tmp_path / "etc", "")
    assert outcome(here, path, check=check).exit_code == (10 if check else 0)
    assert len(list_keys(here).data.trusted) == int(check)  # type: ignore[union-attr]
