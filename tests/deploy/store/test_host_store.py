"""The store of a whole host, with real users: two of its group, and one who is not."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from deploy.errors import NotWritable
from deploy.paths import resolve
from deploy.store import sharing
from deploy.store.store import Store
from deploy.store.stores import Stores
from tests.deploy.store.kit import KEY, ONE, OTHER, TWO, install, loaded, quiet, sha256
from tests.support.cli import PROGRAM, ROOT, refused

SHUT_OUT: Final = ("LANDFAST_", "XDG_", "PIP_", "COVERAGE_")
"""What a developer may have set. Other users cannot write down what they covered either."""

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="several users take root"),
]

GROUP: Final = 61100
ANNA, BEN, STRANGER = 61001, 61002, 61003
OPEN: Final = """
import os, sys
from deploy.paths import current
from deploy.store.stores import store_of
store = store_of(current())
for path in store.open_files(store.installed()[0], print):
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        print(status.st_dev, status.st_ino, len(file.read()))
"""


def tool(*command: str) -> bool:
    """Run a system tool and say whether it succeeded."""
    return subprocess.run(command, check=False).returncode == 0


@pytest.fixture(scope="module")
def doorway() -> Iterator[Path]:
    """Interpreter, libraries and checkout where every user can read them: they may lie in root's own folders."""
    folder = Path(tempfile.mkdtemp(prefix="landfast-doorway-"))
    folder.chmod(0o755)
    version = f"python3.{sys.version_info.minor}"
    libraries = folder / "lib" / version / "site-packages"
    places = {
        folder / "base": sys.base_prefix,
        libraries: sysconfig.get_path("purelib"),
        folder / "checkout": str(ROOT),
    }
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(folder / "base" / "bin" / version)
    (folder / "pyvenv.cfg").write_text(f"home = {folder / 'base' / 'bin'}\n")
    mounted: list[Path] = []
    try:
        for target, place in places.items():
            target.mkdir(parents=True)
            if not tool("mount", "-o", "bind,ro", place, str(target)):
                pytest.skip("mounting is not possible here")
            mounted.append(target)
        yield folder
    finally:
        for target in mounted:
            assert tool("umount", str(target))
        shutil.rmtree(folder)


@dataclass(frozen=True)
class Host:
    """A host of its own: system folders and homes below one folder."""

    root: Path
    doorway: Path

    @property
    def store(self) -> Store:
        """What its users share, as its owner has it."""
        return Store(self.root / "var" / "lib" / "landfast" / "store", shared=True)

    def home(self, user: int) -> Path:
        """A user's own folder."""
        home = self.root / "home" / str(user)
        if not home.exists():
            home.mkdir(parents=True)
            os.chown(home, user, user)
        return home

    def run(self, user: int, code: str, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a program as a user; all but the stranger are in the group."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(SHUT_OUT)}
        home = str(self.home(user))
        return subprocess.run(
            [str(self.doorway / "bin" / "python"), "-P", "-c", code, *words],
            cwd=home,
            env={
                **kept,
                "HOME": home,
                "PYTHONPATH": str(self.doorway / "checkout"),
                "LD_LIBRARY_PATH": str(self.doorway / "base" / "lib"),
                "PYTHONDONTWRITEBYTECODE": "1",
                "LANDFAST_SYSTEM_ROOT": str(self.root),
            },
            user=user,
            group=user,
            extra_groups=[] if user == STRANGER else [GROUP],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def landfast(self, user: int, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run the command line as a user."""
        return self.run(user, PROGRAM, *words)

    def json(self, user: int, *words: str) -> dict[str, Any]:
        """The envelope that a user gets."""
        done = self.landfast(user, *words, "--json")
        assert done.stdout, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture
def host(doorway: Path) -> Iterator[Host]:
    """A host with one shared model. The tests' usual folder is closed to other users."""
    root = Path(tempfile.mkdtemp(prefix="landfast-host-"))
    try:
        root.chmod(0o755)
        store = root / "var" / "lib" / "landfast" / "store"
        store.mkdir(parents=True)
        os.chown(store, 0, GROUP)
        store.chmod(0o2750)
        made = Host(root, doorway)
        install(made.store, ONE)
        yield made
    finally:
        shutil.rmtree(root)


def state(root: Path) -> dict[str, tuple[int, int, int]]:
    """Every file and folder with its rights and times: to see that nothing was even tried."""
    return {
        str(path): (status.st_mode, status.st_mtime_ns, status.st_ctime_ns)
        for path in (root, *root.rglob("*"))
        for status in (path.lstat(),)
    }


def blob(host: Host) -> Path:
    """The shared model's one file."""
    return host.store.root / "blobs" / "sha256" / sha256(ONE["tiny.gguf"])


def test_everything_belongs_to_the_group_and_nobody_else_may_look(host: Host) -> None:
    """Folders 2750, files 0440 and 0640; what is staged, locked or set aside is the owner's alone."""
    root = host.store.root
    blob(host).write_bytes(b"x" * len(ONE["tiny.gguf"]))
    host.store.verify(host.store.installed()[0], quiet)
    install(host.store, ONE)
    modes = {path.relative_to(root).as_posix(): path.stat().st_mode & 0o7777 for path in (root, *root.rglob("*"))}
    private = {name for name in modes if name.split("/")[0] in {"staging", "locks", "quarantine"}}
    assert {name: modes[name] for name in private if "/" not in name} == dict.fromkeys(
        ("staging", "locks", "quarantine"), 0o2700
    )
    assert {name: mode for name, mode in modes.items() if name not in private} == {
        ".": 0o2750,
        "blobs": 0o2750,
        "blobs/sha256": 0o2750,
        "models": 0o2750,
        "versions": 0o2750,
        f"blobs/sha256/{blob(host).name}": 0o440,
        "models/tiny@Q4_K_M.json": 0o640,
    }
    assert {path.stat().st_gid for path in root.rglob("*")} == {GROUP}


def test_users_of_the_group_read_the_very_same_file(host: Host) -> None:
    """One inode: the kernel keeps the weights in memory once for all of them. Nothing is written for it."""
    before = state(host.store.root)
    seen = {host.run(user, OPEN).stdout for user in (ANNA, BEN)}
    status = blob(host).stat()
    assert seen == {f"{status.st_dev} {status.st_ino} {status.st_size}\n"}
    assert state(host.store.root) == before


def test_what_the_host_has_is_listed_beside_ones_own(host: Host) -> None:
    """Of a model that is in both, one's own counts, and the other users keep the host's."""
    own = Stores(host.home(ANNA) / ".local" / "share" / "landfast" / "store", host.store.root)
    install(own, TWO, OTHER)
    assert [record.id for record in own.installed()] == [OTHER, KEY]
    assert loaded(own) is None
    install(own, TWO)
    assert own.open_files(own.installed()[1], quiet)[0].read_bytes() == TWO["tiny.gguf"]
    assert tool("chown", "-R", str(ANNA), str(host.home(ANNA)))
    assert host.json(ANNA, "models")["data"]["of_host"] == []
    assert host.json(BEN, "models")["data"]["of_host"] == [KEY]


def test_someone_who_is_not_of_the_group_is_told_so(host: Host) -> None:
    """With one sentence; one's own models stay in reach."""
    told = refused(host.landfast(STRANGER, "--system", "models"), 4)
    assert f"The models of this host are for the group {GROUP}" in told
    assert "usermod -aG" in told
    envelope = host.json(STRANGER, "models")
    assert (envelope["exit_code"], envelope["data"]["installed"]) == (0, [])
    assert "are for the group" in envelope["messages"][0]["text"]
    assert "are for the group" in refused(host.landfast(STRANGER, "run", "Hello there"), 9)


def test_a_user_finds_an_altered_file_and_moves_nothing(host: Host) -> None:
    """Verify tells it, and whom to tell; quarantine is the owner's, who then does it."""
    blob(host).write_bytes(b"x" * len(ONE["tiny.gguf"]))
    before = state(host.store.root)
    envelope = host.json(ANNA, "models", "verify")
    assert (envelope["exit_code"], envelope["changed"]) == (6, False)
    (found,) = envelope["data"]["models"][0]["files"]
    assert (found["verdict"], found["moved_to"]) == ("altered", None)
    assert "was altered" in host.run(ANNA, OPEN).stderr
    assert state(host.store.root) == before
    assert host.store.verify(host.store.installed()[0], quiet)[0].moved_to is not None


@pytest.mark.parametrize(
    "words",
    [("models", "remove", KEY, "--yes"), ("models", "gc", "--yes"), ("install", "smollm2-135m-instruct")],
    ids=["remove", "gc", "install"],
)
def test_a_user_of_the_group_changes_nothing(host: Host, words: tuple[str, ...]) -> None:
    """The refusal names who may, and comes before any file is made."""
    before = state(host.store.root)
    assert "Only root may change the models of this host." in refused(host.landfast(ANNA, "--system", *words), 13)
    assert state(host.store.root) == before


def test_a_model_of_the_host_is_not_removed_by_a_user(host: Host) -> None:
    """Without --system a user removes what is one's own."""
    assert "belongs to the host" in refused(host.landfast(ANNA, "models", "remove", KEY, "--yes"), 13)
    assert loaded(host.store) == ONE


def test_a_store_that_its_readers_could_change_is_not_used(host: Host) -> None:
    """Whoever may write there could put other weights and another hash in place for everybody."""
    host.store.root.chmod(0o2770)
    envelope = host.json(ANNA, "models")
    assert envelope["data"]["installed"] == []
    assert "can change the models of this host" in envelope["messages"][0]["text"]


def test_a_host_without_the_group_is_told_how_to_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is made before it is known who may read it."""
    monkeypatch.setattr(sharing, "GROUP", "no-such-group-here")
    root = tmp_path / "var" / "store"
    with pytest.raises(NotWritable, match="no group no-such-group-here") as caught:
        install(Store(root, shared=True), ONE)
    assert "groupadd --system" in caught.value.hint
    assert not root.parent.exists()


def test_a_home_of_ones_own_does_not_look_at_the_host(host: Host) -> None:
    """LANDFAST_HOME is one folder for everything."""
    assert resolve({"LANDFAST_HOME": "/somewhere", "LANDFAST_SYSTEM_ROOT": str(host.root)}).host is None


@pytest.mark.engine
def test_two_users_run_the_hosts_model_sealed(host: Host, smollm2_path: Path) -> None:
    """The owner installs it once; both get an answer, from files that neither could have written."""
    words = ("--system", "install", "smollm2-135m-instruct", "--from", str(smollm2_path))
    done = host.landfast(0, *words)
    assert done.returncode == 0, done.stderr
    for user in (ANNA, BEN):
        answer = host.json(user, "run", "smollm2-135m-instruct", "Say hello.", "--max-tokens", "4")
        assert answer["errors"] == [], str(answer["errors"])
        assert answer["data"]["sealed"]
