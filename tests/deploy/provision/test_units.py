"""The units by which systemd watches a host: well formed, shut in, and doing what they are for under a real systemd."""

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.provision.site_file import read_site
from deploy.provision.units import NAMES, Units, program_of
from tests.deploy.provision.kit import site

BOOT = Path(__file__).parent / "boot"
ROOM = Path(__file__).parents[3]
LEAST_SECURE = 15
"""Tenths of systemd's scale from 0, safe, to 10."""
NOT_HERE = 77
SITE = """
[[models]]
name = "smollm2-135m-instruct:Q4_1"

[store]
scope = "system"

[users]
members = ["daemon"]

[policy.allow]
licence = ["Apache-2.0"]

[sources]
folder = "models"

[drift]
timer = "daily"
"""
ACCOUNT = SITE.replace("members", 'service_account = "landfast"\nmembers')


@pytest.fixture(params=[SITE, ACCOUNT], ids=["dynamic", "account"])
def units(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with all units."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    file = read_site(Path(site(tmp_path, request.param)))
    made = Units(root=Path("/"), program=Path(sys.executable), file=file, lock=file.path.with_suffix(".lock"))
    for name in NAMES:
        (tmp_path / name).write_bytes(made.text(name).replace(b"/root/", b"/srv/"))
    return tmp_path


@pytest.fixture(autouse=True)
def _no_homes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may live in a home."""
    monkeypatch.setattr("deploy.provision.units.HOMES", ())


def test_the_units_call_the_command_by_a_path_that_outlives_an_upgrade(tmp_path: Path) -> None:
    """The folder of one version goes with a later one; the link to the version in use stays."""
    for version in ("1", "2"):
        (tmp_path / "versions" / version / "bin").mkdir(parents=True)
        (tmp_path / "versions" / version / "bin" / "landfast").touch()
    (tmp_path / "current").symlink_to("versions/2")
    lasting = tmp_path / "current" / "bin" / "landfast"
    assert program_of(str(tmp_path / "versions" / "2" / "bin" / "python3")) == lasting
    other = tmp_path / "versions" / "1" / "bin"
    assert program_of(str(other / "python3")) == other / "landfast"


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".service")])
def test_the_services_are_shut_in(units: Path, name: str) -> None:
    """By systemd's own measure, at most 1.5 of 10."""
    limit = f"--threshold={LEAST_SECURE}"
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", limit, str(units / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "Overall exposure level" in done.stdout
    command[command.index(limit)] = "--threshold=0"
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1, "the measure measures nothing"


def test_systemd_understands_every_line(units: Path) -> None:
    """And says so of a line that it does not."""
    command = ["systemd-analyze", "verify", "--man=no", *(str(units / name) for name in NAMES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    path = units / NAMES[0]
    path.write_text(path.read_text() + "ProtectEverything=yes\n")
    assert "ProtectEverything" in subprocess.run(command, capture_output=True, text=True, check=False).stderr


@pytest.fixture(scope="module")
def drill(smollm2_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What a host under systemd said while it was applied to, watched and spoilt."""
    etc = tmp_path_factory.mktemp("etc")
    (etc / "models").mkdir()
    shutil.copy(smollm2_path, etc / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf")
    shutil.copy(BOOT / "drill.sh", etc)
    site(etc, SITE)
    places = (tmp_path_factory.mktemp("root"), ROOM, sysconfig.get_path("purelib"), sys.base_prefix, etc)
    try:
        done = subprocess.run(
            [str(BOOT / "boot.sh"), *map(str, places)], capture_output=True, text=True, check=False, timeout=120
        )
    except FileNotFoundError:
        pytest.skip("needs bash")
    if done.returncode == NOT_HERE or not Path("/lib/systemd/systemd").exists():
        pytest.skip("needs root, namespaces, an overlay and systemd")
    assert "apply bare: " in done.stdout, done.stderr
    yield dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    shutil.rmtree(etc)


@pytest.mark.root
@pytest.mark.engine
def test_under_a_real_systemd_the_host_is_applied_once_and_watched(drill: dict[str, str]) -> None:
    """The second apply changes nothing; both checks pass inside of their seals; the timer runs."""
    assert drill["apply bare"] == "changed=12 ok=1 unseen=0 failed=0"
    assert drill["apply again"] == "changed=0 ok=13 unseen=0 failed=0"
    assert drill["timer bare"].strip() == "ActiveState=active"
    assert drill["check whole"].strip() == "ExecMainStatus=0 Result=success"
    assert drill["verify whole"].strip() == "ExecMainStatus=0 Result=success"


@pytest.mark.root
@pytest.mark.engine
def test_under_a_real_systemd_drift_and_damage_are_told_by_the_exit_code(drill: dict[str, str]) -> None:
    """10 for what would be changed, 6 for altered bytes; apply mends both, and the checks pass again."""
    assert drill["check drifted"].strip() == "ExecMainStatus=10 Result=exit-code"
    assert drill["verify drifted"].strip() == "ExecMainStatus=0 Result=success"
    assert drill["apply drifted"].startswith("changed=1 ")
    assert drill["check mended"].strip() == "ExecMainStatus=0 Result=success"
    assert drill["check damaged"].strip() == "ExecMainStatus=10 Result=exit-code"
    assert drill["verify damaged"].strip() == "ExecMainStatus=6 Result=exit-code"
    assert drill["apply damaged"].startswith("changed=1 ")
    assert drill["verify cured"].strip() == "ExecMainStatus=0 Result=success"


@pytest.mark.root
@pytest.mark.engine
def test_under_a_real_systemd_the_timer_is_started_again_and_taken_away(drill: dict[str, str]) -> None:
    """As the site file wants it."""
    assert drill["apply stopped"].startswith("changed=1 ")
    assert drill["timer stopped"].strip() == "ActiveState=active"
    assert drill["apply unwatched"].startswith("changed=5 ")
    assert drill["timer unwatched"].strip() == "ActiveState=inactive"
