"""scripts/install.sh on a bare host: from a bundle, from a mirror, and away again."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from deploy.bundle import wheels
from deploy.errors import ExitCode
from tests.support.bare_host import BARE_PATH, BASH, SCRIPT, Host, needs_overlay, sh

pytestmark = [pytest.mark.engine, pytest.mark.index, pytest.mark.timeout(600)]


@needs_overlay
def test_a_bare_host_is_set_up_from_a_bundle_and_left_as_it_was(host: Host, stick: Path) -> None:
    """No compiler, no network, nobody asked; users of the group run the model, others are refused; nothing stays."""
    options = ("--from", str(stick), "--key", str(stick / "landfast-bundle.pub"), "--model", "best")
    first = host.install(*options)
    assert first.returncode == 0, first.stderr
    group = host("sh", "-c", "getent group landfast | cut -d : -f 3").stdout.strip()
    member = f"--reuid=4321 --regid=4321 --groups={group}"
    answer = host("landfast", "run", "--max-tokens", "8", "Say hello.", user=member)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip()
    stranger = host("landfast", "run", "Say hello.", user="--reuid=4322 --regid=4322 --clear-groups")
    assert stranger.returncode == ExitCode.NOT_FOUND
    assert "group landfast" in stranger.stderr
    changed = host.changed
    again = host.install(*options)
    assert (again.returncode, host.changed) == (0, changed)
    assert "nothing was changed" in again.stderr
    gone = host.install("--uninstall")
    assert gone.returncode == 0, gone.stderr
    assert host.changed == {"var/log/landfast-uninstalled.txt"}
    assert (host.root / "etc/group").read_text() == Path("/etc/group").read_text()
    receipt = (host.root / "var/log/landfast-uninstalled.txt").read_text()
    assert "/usr/local/bin/landfast" in receipt
    assert "smollm2-135m-instruct" in receipt


@needs_overlay
@pytest.mark.parametrize(
    ("harm", "code"),
    [
        ("printf x >>{stick}/wheels/typer-*.whl", ExitCode.INTEGRITY),
        ("sed -i s/typer/tyger/ {stick}/landfast-bundle.json", ExitCode.INTEGRITY),
        ("rm {stick}/wheels/typer-*.whl", ExitCode.NOT_FOUND),
        ("openssl genpkey -algorithm ed25519 | openssl pkey -pubout >{stick}/other.pub", ExitCode.POLICY),
    ],
    ids=["altered wheel", "edited manifest", "missing part", "foreign key"],
)
def test_a_bundle_that_is_not_right_leaves_the_host_alone(
    host: Host, stick: Path, tmp_path: Path, harm: str, code: ExitCode
) -> None:
    """Nothing of it is run or installed before all of it was checked."""
    copy = tmp_path / "copy"
    shutil.copytree(stick, copy)
    sh(harm.format(stick=copy))
    key = copy / ("other.pub" if (copy / "other.pub").exists() else "landfast-bundle.pub")
    done = host.install("--from", str(copy), "--key", str(key))
    assert done.returncode == code, done.stderr
    assert [path for path in host.changed if path.startswith(("opt", "usr", "var/lib", "etc"))] == []


def test_one_user_installs_from_a_mirror_with_the_sites_own_engine(
    kept_wheels: Path, tmp_path: Path, mirror: str
) -> None:
    """Only the mirror is asked, every package is held against the lock, and --uninstall leaves the receipt alone.

    Of two runs at once one installs, and the other finds that done.
    """
    engine = next(kept_wheels.glob("*/llama_cpp_python-*.whl"))
    options = ("--user", "--index-url", mirror, "--engine-wheel", str(engine), "--engine-sha256")
    wrong = as_user(tmp_path, *options, "0" * 64)
    assert wrong.returncode == ExitCode.INTEGRITY, wrong.stderr
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda _: as_user(tmp_path, *options, wheels._sha256(engine)), range(2)))
    assert [done.returncode for done in both] == [0, 0], both
    assert ["is installed in" in done.stderr for done in both].count(True) == 1
    command = tmp_path / ".local/bin/landfast"
    version = subprocess.run([str(command), "version"], capture_output=True, text=True, check=False)
    assert version.returncode == 0, version.stderr
    assert f"index-url = {mirror}\n" in (command.resolve().parents[1] / "pip.conf").read_text()
    assert as_user(tmp_path, "--user", "--uninstall").returncode == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "landfast-uninstalled.txt"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--engine", "tpu"), ExitCode.USAGE),
        (("--frob",), ExitCode.USAGE),
        (("--from",), ExitCode.USAGE),
        (("--from", "/nowhere"), ExitCode.USAGE),
        (("--from", "/nowhere", "--key", "/nowhere"), ExitCode.NOT_FOUND),
    ],
)
def test_a_wrong_option_is_one_sentence(tmp_path: Path, options: tuple[str, ...], code: ExitCode) -> None:
    """Nothing is begun before all options are understood."""
    done = as_user(tmp_path, *options)
    assert done.returncode == code
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def mirror(kept_wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An index of this site's own: a folder for each package, on loopback."""
    root = tmp_path_factory.mktemp("mirror")
    for wheel in kept_wheels.glob("*/*.whl"):
        folder = root / wheel.name.partition("-")[0].replace("_", "-").lower()
        folder.mkdir(exist_ok=True)
        if not (folder / wheel.name).exists():
            (folder / wheel.name).symlink_to(wheel)
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(root)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def as_user(home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the script for one user, whose home this is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "XDG_", "LANDFAST_"))}
    return subprocess.run(
        [BASH, str(SCRIPT), *options],
        env={
            **kept,
            "PATH": BARE_PATH,
            "HOME": str(home),
            "PIP_CONFIG_FILE": os.devnull,
            "LANDFAST_PYTHON": sys._base_executable,  # type: ignore[attr-defined]
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
