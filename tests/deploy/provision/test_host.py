"""A whole host: group, accounts, members, the store's folder and the units, under a root of the test's own."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from deploy.commands.context import Context
from deploy.errors import UsageError
from deploy.paths import SYSTEM_ROOT, system_paths
from deploy.provision.accounts import Accounts
from deploy.provision.site_file import read_site
from deploy.provision.units import NAMES, TIMER, Units
from deploy.store.checks import is_unchanged
from deploy.store.layout import Layout
from deploy.store.store import Store
from tests.deploy.provision.kit import applied, host, outcome, site, snapshot, states

SITE = """
[[models]]
best = "chat"

[store]
scope = "system"

[users]
group = "readers"
members = ["anna"]
service_account = "watcher"

[policy.allow]
licence = ["Apache-2.0"]

[drift]
timer = "daily"
"""
PASSWD = "root:x:0:0:root:/root:/bin/sh\nanna:x:1000:1000::/home/anna:/bin/sh\n"  # noqa: S105 - a table
GROUP = "root:x:0:\nanna:x:1000:\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a host with one user, which is being prepared."""
    if os.geteuid() != 0 or shutil.which("useradd") is None:
        pytest.skip("needs root and useradd")
    etc = tmp_path / "root" / "etc"
    etc.mkdir(parents=True)
    (etc / "passwd").write_text(PASSWD)
    (etc / "group").write_text(GROUP)
    (etc / "shadow").write_text("root:*:19000:0:99999:7:::\nanna:*:19000:0:99999:7:::\n")
    (etc / "gshadow").write_text("root:*::\nanna:!::\n")
    monkeypatch.setenv(SYSTEM_ROOT, str(tmp_path / "root"))
    monkeypatch.setattr("deploy.provision.units.HOMES", ())
    return tmp_path / "root"


def bare(tmp_path: Path) -> Context:
    """Whoever applies the file has nothing of their own."""
    return host(tmp_path / "home")


@pytest.mark.root
def test_a_host_becomes_what_the_file_wants_and_stays_so(tmp_path: Path, root: Path) -> None:
    """Group, account, member, store, policy, model and units; then nothing."""
    path = site(tmp_path / "site", SITE)
    before = snapshot(tmp_path)
    told = outcome(bare(tmp_path), path, check=True)
    assert told.exit_code == 10
    assert snapshot(tmp_path) == before
    first = states(applied(bare(tmp_path), path))
    assert [name for name, state in first.items() if state != "changed"] == [
        "member watcher",
        "left over",
        "timer running",
    ]
    assert {n: s.replace("would-change", "changed") for n, s in states(told.data).items()} == first
    accounts = Accounts(root)
    assert accounts.members("readers") == {"anna", "watcher"}
    shell = next(line for line in (root / "etc" / "passwd").read_text().splitlines() if line.startswith("watcher:"))
    assert shell.endswith(":/nonexistent:/usr/sbin/nologin")
    paths = system_paths(os.environ)
    status = paths.store.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o2750, accounts.group_number("readers"))
    assert [record.id for record in Store(paths.store, shared=True).installed()] == ["one:Q4_0"]
    assert (root / "etc" / "landfast" / "policy.toml").exists()
    units = root / "etc" / "systemd" / "system"
    assert {path.name for path in units.glob("landfast*")} == set(NAMES)
    assert (units / "timers.target.wants" / TIMER).resolve() == units / TIMER
    assert not (tmp_path / "home").exists()
    after = snapshot(tmp_path)
    assert applied(bare(tmp_path), path).changed == 0
    assert applied(bare(tmp_path), path, locked=True, check=True).changed == 0
    assert snapshot(tmp_path) == after


@pytest.mark.root
def test_without_the_wish_for_checks_no_unit_is_left(tmp_path: Path, root: Path) -> None:
    """As on a host that never had them."""
    applied(bare(tmp_path), site(tmp_path / "site", SITE))
    path = site(tmp_path / "site", SITE.partition("[drift]")[0])
    assert applied(bare(tmp_path), path).changed == len(NAMES) + 1
    assert list((root / "etc" / "systemd" / "system").rglob("landfast*")) == []
    assert applied(bare(tmp_path), path).changed == 0


@pytest.mark.root
def test_a_member_without_account_is_refused_and_named(tmp_path: Path, root: Path) -> None:
    """Landfast makes no accounts for people."""
    path = site(tmp_path / "site", SITE.replace('"anna"', '"ghost"'))
    result = outcome(bare(tmp_path), path)
    assert states(result.data)["member ghost"] == "failed"
    assert "no account ghost" in result.errors[0].message
    assert result.exit_code == 13


@pytest.mark.root
def test_a_store_of_another_group_is_given_to_the_right_one(tmp_path: Path, root: Path) -> None:
    """With its rights."""
    path = site(tmp_path / "site", SITE)
    applied(bare(tmp_path), path)
    store = system_paths(os.environ).store
    os.chown(store, -1, 0)
    store.chmod(0o700)
    assert states(applied(bare(tmp_path), path))["store"] == "changed"
    assert stat.S_IMODE(store.stat().st_mode) == 0o2750


@pytest.mark.root
def test_another_group_gets_all_that_is_to_be_read(tmp_path: Path, root: Path) -> None:
    """Not the folder alone; and what was only given to another group is not hashed again by every reader."""
    applied(bare(tmp_path), site(tmp_path / "site", SITE))
    path = site(tmp_path / "site", SITE.replace('"readers"', '"thinkers"'))
    assert states(applied(bare(tmp_path), path))["store"] == "changed"
    store = Store(system_paths(os.environ).store, shared=True)
    number = Accounts(root).group_number("thinkers")
    read = [path for name in ("blobs", "models", "versions") for path in (store.root / name).rglob("*")]
    assert {path.stat().st_gid for path in (store.root, *read)} == {number}
    (record,) = store.installed()
    assert all(is_unchanged(Layout(store.root, shared=True), file) for file in record.files)
    assert applied(bare(tmp_path), path).changed == 0


@pytest.mark.root
def test_what_a_service_account_may_not_see_is_said_and_is_no_drift(tmp_path: Path, root: Path) -> None:
    """The checks run without the rights of root."""
    path = site(tmp_path / "site", SITE + "[retention]\njournal_days = 9\n[sources]\ntrusted_keys = []\n")
    applied(bare(tmp_path), path)
    watcher = next(
        int(line.split(":")[2])
        for line in (root / "etc" / "passwd").read_text().splitlines()
        if line.startswith("watcher:")
    )
    readers = Accounts(root).group_number("readers")
    assert readers is not None
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and str(folder).startswith("/tmp/"):  # noqa: S108 - pytest's own folders
            folder.chmod(0o755)
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(readers)
        os.setuid(watcher)
        result = outcome(bare(tmp_path), path, check=True, locked=True)
        found = states(result.data)
        fine = result.exit_code == 0 and found["journal"] == "unseen" and found["model one:Q4_0"] == "ok"
        os._exit(0 if fine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_units_that_could_not_see_what_they_need_are_refused(tmp_path: Path) -> None:
    """A site file or a program in a home is hidden from a hardened unit."""
    file = read_site(Path(site(tmp_path, SITE)))
    at_home = Units(
        root=Path("/"), program=Path("/home/anna/bin/landfast"), file=file, lock=file.path.with_suffix(".lock")
    )
    with pytest.raises(UsageError, match=r"The command /home/anna/bin/landfast is in somebody's home"):
        at_home.text("landfast-check.service")


def test_a_path_is_written_as_systemd_reads_it(tmp_path: Path) -> None:
    """With spaces, percent signs, quotes and dollars."""
    file = read_site(Path(site(tmp_path, SITE)))
    units = Units(
        root=Path("/"), program=Path('/opt/a b/50%/"$x"/landfast'), file=file, lock=file.path.with_suffix(".lock")
    )
    assert '"/opt/a b/50%%/\\"$$x\\"/landfast" models verify' in units.text("landfast-verify.service").decode()


def test_an_account_that_exists_only_while_it_runs_is_the_default(tmp_path: Path) -> None:
    """Where no service account is named."""
    file = read_site(Path(site(tmp_path, SITE.replace('service_account = "watcher"\n', ""))))
    text = (
        Units(root=Path("/"), program=Path("/opt/landfast"), file=file, lock=file.path.with_suffix(".lock"))
        .text("landfast-check.service")
        .decode()
    )
    assert "DynamicUser=yes\nSupplementaryGroups=readers\n" in text
    assert "User=watcher" not in text.splitlines()
