"""A bundle with wheels brings the script that installs from it; the script uses nothing that it has not checked."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.bundle import wheels
from deploy.bundle.manifest import INSTALLER, PUBLIC_KEY
from deploy.commands.bundle import CreateRequest, create, inspect
from deploy.errors import ExitCode
from tests.deploy.bundle.kit import maker, taker
from tests.support.bare_host import BARE_PATH, BASH, SCRIPT

pytestmark = pytest.mark.skipif(not BASH or os.name == "nt", reason="The script is for bash.")
WHOLE_PART_BYTES = 10**6


@pytest.fixture
def stick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle whose only wheel is a file of that name."""
    wheel = tmp_path / "landfast-9.9-py3-none-any.whl"
    wheel.write_bytes(b"a wheel")
    monkeypatch.setattr(wheels, "collect", lambda *_: (wheel,))
    request = CreateRequest(out=str(tmp_path / "stick"), models=("tiny",), part_bytes=WHOLE_PART_BYTES, wheels=True)
    create(maker(tmp_path / "maker"), request)
    return tmp_path / "stick"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of a user who has nothing yet."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def script(
    home: Path, *options: str, place: Path = SCRIPT, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the script for one user with these options."""
    return subprocess.run(
        [BASH, str(place), "--user", *options],
        env={"PATH": BARE_PATH, "HOME": str(home), "LANDFAST_PYTHON": sys.executable},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def at_work(place: Path) -> int:
    """What a run of the script that fills this folder holds open."""
    import fcntl  # not on Windows

    opened = os.open(place, os.O_RDONLY)
    fcntl.flock(opened, fcntl.LOCK_EX)
    return opened


def waiting(home: Path, *options: str) -> "subprocess.Popen[str]":
    """The script for one user with these options, once it has said that it waits."""
    started = subprocess.Popen(
        [BASH, str(SCRIPT), "--user", *options],
        env={"PATH": BARE_PATH, "HOME": str(home), "LANDFAST_PYTHON": sys.executable},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stderr is not None
    assert "waiting for it" in started.stderr.readline()
    return started


def test_the_bundles_own_script_installs_from_it(stick: Path, home: Path) -> None:
    """It is the script of this version, and would install the wheels that were signed with it."""
    assert (stick / INSTALLER).read_bytes() == SCRIPT.read_bytes()
    options = ("--from", str(stick), "--key", str(stick / PUBLIC_KEY), "--dry-run")
    done = script(home, *options, place=stick / INSTALLER)
    assert done.returncode == 0, done.stderr
    assert "Would install Landfast 9.9-" in done.stderr
    assert list(home.iterdir()) == []


def test_an_altered_script_is_told_by_whoever_has_landfast(stick: Path, tmp_path: Path) -> None:
    """The manifest covers it like every other file."""
    assert inspect(taker(tmp_path / "taker"), str(stick), full=True).exit_code == ExitCode.DONE
    (stick / INSTALLER).write_bytes(SCRIPT.read_bytes().replace(b"set -eu", b"set +eu"))
    assert inspect(taker(tmp_path / "taker"), str(stick), full=True).exit_code == ExitCode.INTEGRITY


def test_nothing_is_imported_from_the_folder_that_the_script_is_called_in(stick: Path, home: Path) -> None:
    """Run with sudo on a foreign stick, a module lying there would be root's."""
    for module in ("base64", "ctypes", "hashlib", "json", "sysconfig"):
        (stick / f"{module}.py").write_text("open('was-run', 'w')\n")
    done = script(home, "--from", ".", "--key", PUBLIC_KEY, "--dry-run", cwd=stick)
    assert done.returncode == 0, done.stderr
    assert not (stick / "was-run").exists()


def test_a_file_that_holds_no_key_is_a_wrong_option(stick: Path, home: Path, tmp_path: Path) -> None:
    """It does not say that the bundle was altered."""
    (tmp_path / "key").write_text("-----BEGIN PUBLIC KEY-----\nnotakey\n")
    assert script(home, "--from", str(stick), "--key", str(tmp_path / "key")).returncode == ExitCode.USAGE


def test_a_command_of_that_name_from_elsewhere_is_never_taken_away(stick: Path, home: Path) -> None:
    """Installing is refused before anything is written, and uninstalling leaves it."""
    foreign = home / ".local/bin/landfast"
    foreign.parent.mkdir(parents=True)
    foreign.symlink_to("/nowhere")
    done = script(home, "--from", str(stick), "--key", str(stick / PUBLIC_KEY))
    assert done.returncode == ExitCode.POLICY, done.stderr
    assert not (home / ".local/lib").exists()
    assert "nothing was changed" in script(home, "--uninstall").stderr
    assert foreign.is_symlink()


@pytest.mark.skipif(not shutil.which("flock"), reason="nobody waits where there is no flock")
@pytest.mark.parametrize("action", ["install", "--uninstall", "--rollback"])
def test_a_second_run_waits_for_the_first(stick: Path, home: Path, action: str) -> None:
    """It says so, touches nothing meanwhile, and goes on when the first has ended, however that ended."""
    place = home / ".local/lib/landfast"
    (place / "versions").mkdir(parents=True)
    options = ("--from", str(stick), "--key", str(stick / PUBLIC_KEY)) if action == "install" else (action,)
    first = at_work(place)
    second = waiting(home, *options)
    assert list(home.rglob("*")) == [home / ".local", place.parent, place, place / "versions"]
    os.close(first)
    _, said = second.communicate(timeout=60)
    assert {"install": "Installing from the bundle", "--uninstall": "is removed", "--rollback": "no version"}[
        action
    ] in said


@pytest.mark.skipif(not shutil.which("flock"), reason="nobody waits where there is no flock")
def test_a_run_that_waited_for_an_uninstall_begins_anew(stick: Path, home: Path) -> None:
    """The folder that it waited for is gone, so it takes the one that is there now."""
    place = home / ".local/lib/landfast"
    place.mkdir(parents=True)
    first = at_work(place)
    second = waiting(home, "--from", str(stick), "--key", str(stick / PUBLIC_KEY))
    place.rmdir()
    os.close(first)
    _, said = second.communicate(timeout=60)
    assert "Installing from the bundle" in said
    assert place.is_dir()


@pytest.mark.root
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_a_home_of_somebody_else_is_not_installed_in(home: Path) -> None:
    """`sudo` without --system would leave root's files there."""
    os.chown(home, 4321, 4321)
    done = script(home, "--uninstall")
    assert (done.returncode, done.stderr.count("\n")) == (ExitCode.USAGE, 1)
