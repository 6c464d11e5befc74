"""The hub source against olah, a real mirror server of its own: good, altered, killed, slow, and a full disk."""

import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec
import pytest
from filelock import FileLock

from deploy.catalog.model import Artifact, HubOrigin
from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from deploy.errors import IntegrityError, NotEnoughSpace, NotFound, Unreachable
from deploy.sources.answers import http_answers
from deploy.sources.base import Progress
from deploy.sources.hub import Hub
from tests.deploy.sources.kit import Listener, artifact_of
from tests.support.world import TINY, model, world

pytestmark = pytest.mark.index

ROOM: Final = Path(__file__).parents[3]
BODY: Final = TINY + random.Random(7).randbytes(72 << 20)  # noqa: S311 - bytes for a test
"""A valid model with more bytes behind it: large enough for ranges, where the mirror gives them."""

OLAH = "olah==0.5.4"


@pytest.fixture(scope="session")
def olah_program(test_cache: Path) -> Path:
    """A real hub mirror in an environment of its own, kept between runs: it shares no package with Landfast."""
    folder = test_cache / OLAH.replace("==", "-")
    program, ready = folder / "bin" / "olah-cli", folder / "ready"
    with FileLock(f"{folder}.lock"):
        if not ready.exists():
            venv.create(folder, with_pip=True, clear=True)
            install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", OLAH]
            done = subprocess.run(install, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"needs the package index for {OLAH}: {done.stderr.strip().splitlines()[-1]}")
            ready.touch()
    return program


def lfs_repository(folder: Path, name: str, body: bytes) -> str:
    """Make a git repository that holds a file the way large files lie on a hub, and give its commit."""
    digest = hashlib.sha256(body).hexdigest()
    blob = folder / ".git" / "lfs" / "objects" / digest[:2] / digest[2:4] / digest
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t.invalid"]
    folder.mkdir(parents=True)
    subprocess.run([*git, "init", "--quiet", "--initial-branch=main"], check=True)
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(body)}\n"
    (folder / name).write_text(pointer, encoding="utf-8")
    subprocess.run([*git, "add", name], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "model"], check=True)
    blob.parent.mkdir(parents=True)
    blob.write_bytes(body)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


def wait_for(url: str) -> None:
    """Wait until a server answers."""
    end = time.monotonic() + 60
    while not http_answers(url, 1).reachable:
        assert time.monotonic() < end, f"nothing answers at {url}"


@pytest.fixture
def tmp_path(memory_path: Path) -> Path:
    """In memory: the files are large, and written three times."""
    return memory_path


@dataclass
class Mirror:
    """A mirror server that serves one git repository with an LFS file."""

    program: Path
    folder: Path
    port: int
    commit: str
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Its address, the same after a restart."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def source(self) -> Hub:
        """The mirror as Landfast sees it."""
        return Hub({**os.environ, "HF_ENDPOINT": self.url, "NO_PROXY": "127.0.0.1"})

    @property
    def artifact(self) -> Artifact:
        """What the catalogue says of the file."""
        origin = HubOrigin(repository="some/model", revision=self.commit, paths=("m.gguf",))
        return artifact_of({"m.gguf": BODY}, hub=origin)

    @property
    def blob(self) -> Path:
        """The file on the mirror's own disk."""
        digest = hashlib.sha256(BODY).hexdigest()
        place = self.folder / "mirror" / "models" / "some" / "model" / ".git" / "lfs" / "objects"
        return place / digest[:2] / digest[2:4] / digest

    def start(self) -> None:
        """Run the server and wait until it answers."""
        (self.folder / "olah.toml").write_text(
            f'[basic]\nhost = "127.0.0.1"\nport = {self.port}\nrepos-path = "{self.folder / "repos"}"\n'
            f'mirrors-path = ["{self.folder / "mirror"}"]\n[accessibility]\noffline = true\n',
            encoding="utf-8",
        )
        command = [
            str(self.program),
            "--config",
            str(self.folder / "olah.toml"),
            "--log-path",
            str(self.folder / "log"),
        ]
        with (self.folder / "olah.out").open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, cwd=self.folder, start_new_session=True)
        wait_for(self.url)

    def send(self, number: int) -> None:
        """Send a signal to the server and all that it has started."""
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def stop(self) -> None:
        """End the server at once."""
        if self.process is not None:
            self.send(signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def mirror(olah_program: Path, tmp_path: Path) -> Iterator[Mirror]:
    """The mirror, running."""
    commit = lfs_repository(tmp_path / "mirror" / "models" / "some" / "model", "m.gguf", BODY)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Mirror(olah_program, tmp_path, port, commit)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def here(mirror: Mirror, home: Path) -> Context:
    """A host whose only source is the mirror."""
    return world(home, model("tiny", mirror.artifact), sources=(mirror.source,))


def fetched(context: Context) -> bytes:
    """Install the model and read what an engine would."""
    result = install(context, InstallRequest(model="tiny"))
    assert result.data is not None
    (path,) = context.store.open_files(result.data.installed, context.report)
    return path.read_bytes()


def at_half(progress: Progress) -> bool:
    """Whether half of the file is there."""
    return progress.step == "download" and progress.done_bytes > len(BODY) // 2


def test_a_good_file_is_installed_with_its_commit(mirror: Mirror, tmp_path: Path) -> None:
    """Hashed on the way, and the lock file says which commit it was."""
    host = here(mirror, tmp_path / "home")
    assert mirror.source.reach(5).reachable
    assert fetched(host) == BODY
    assert host.store.installed()[0].revision == mirror.commit


def test_a_file_that_the_mirror_does_not_have_is_told(mirror: Mirror, tmp_path: Path) -> None:
    """It is NotFound, and not a dead mirror."""
    known = mirror.artifact
    assert known.hub is not None
    other = msgspec.structs.replace(known, hub=msgspec.structs.replace(known.hub, paths=("other.gguf",)))
    with pytest.raises(NotFound):
        mirror.source.fetch(other, tmp_path / "staging", Listener())


def test_an_object_that_was_altered_on_the_mirror_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    """One bit of it: nothing is installed, nothing of it stays, and the mended mirror serves the next try."""
    good = mirror.blob.read_bytes()
    mirror.blob.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    host = here(mirror, tmp_path / "home")
    with pytest.raises(IntegrityError, match=r"m\.gguf"):
        fetched(host)
    assert (host.store.installed(), host.store.staged_bytes()) == ((), 0)
    mirror.stop()
    mirror.blob.write_bytes(good)
    mirror.start()
    assert fetched(host) == BODY


def test_a_beginning_that_was_altered_here_is_not_built_on_in_silence(mirror: Mirror, tmp_path: Path) -> None:
    """What an interrupted install left is changed on this disk: no byte of it ends in the store."""
    host = here(mirror, tmp_path / "home")
    with pytest.raises(KeyboardInterrupt):
        install(replace(host, report=Listener(at_half)), InstallRequest(model="tiny"))
    (part,) = [path for path in host.store.root.rglob("m.gguf*") if path.stat().st_size > len(BODY) // 4]
    with part.open("r+b") as file:
        file.seek(100)
        file.write(b"altered")
    assert fetched(host) == BODY


def test_a_mirror_that_is_killed_in_mid_transfer_is_gone_on_with(mirror: Mirror, tmp_path: Path) -> None:
    """Unreachable while it is down; when it is back the file comes whole."""
    host = here(mirror, tmp_path / "home")
    killed = threading.Event()

    def kill(progress: Progress) -> bool:
        if at_half(progress) and not killed.is_set():
            killed.set()
            mirror.stop()
        return False

    with pytest.raises(Unreachable):
        install(replace(host, report=Listener(kill)), InstallRequest(model="tiny"))
    assert killed.is_set()
    assert host.store.staged_bytes() > 0
    mirror.start()
    assert fetched(host) == BODY


def test_a_client_that_is_killed_in_mid_transfer_is_gone_on_with(mirror: Mirror, tmp_path: Path) -> None:
    """Signal 9 to a process that downloads: the next one ends with the right file."""
    program = (
        "import os, sys, msgspec; from pathlib import Path; from deploy.sources.hub import Hub;"
        "from deploy.catalog.model import Artifact; artifact = msgspec.json.decode(sys.argv[1], type=Artifact);"
        "Hub(os.environ).fetch(artifact, Path(sys.argv[2]), lambda told: print(told.done_bytes, flush=True))"
    )
    paper = msgspec.json.encode(mirror.artifact).decode()
    command = [sys.executable, "-P", "-c", program, paper, str(tmp_path / "staging")]
    environment = {**os.environ, "HF_ENDPOINT": mirror.url, "NO_PROXY": "127.0.0.1", "PYTHONPATH": str(ROOM)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        next(line for line in child.stdout if int(line) > len(BODY) // 2)
        child.kill()
    (path,) = mirror.source.fetch(mirror.artifact, tmp_path / "staging", Listener())
    assert path.read_bytes() == BODY


def test_a_mirror_that_stands_still_for_a_while_is_waited_for(mirror: Mirror, tmp_path: Path) -> None:
    """Stopped in the middle and let go on: slow is not broken."""
    host = here(mirror, tmp_path / "home")
    stopped = threading.Event()

    def pause(progress: Progress) -> bool:
        if at_half(progress) and not stopped.is_set():
            stopped.set()
            mirror.send(signal.SIGSTOP)
            threading.Timer(1.5, mirror.send, [signal.SIGCONT]).start()
        return False

    begun_s = time.monotonic()
    result = install(replace(host, report=Listener(pause)), InstallRequest(model="tiny"))
    assert result.changed
    assert stopped.is_set()
    assert time.monotonic() - begun_s > 1.5


@pytest.mark.root
def test_a_disk_that_fills_in_mid_transfer_is_told(mirror: Mirror, tmp_path: Path) -> None:
    """The sentence is about the disk; with room again the install goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(disk)], check=False).returncode:  # noqa: S607
        pytest.skip("mounting takes root")
    try:
        ballast = disk / "ballast"

        def fill(progress: Progress) -> bool:
            if at_half(progress) and not ballast.exists():
                ballast.write_bytes(b"x" * (55 << 20))
            return False

        host = here(mirror, disk / "home")
        with pytest.raises(NotEnoughSpace):
            install(replace(host, report=Listener(fill)), InstallRequest(model="tiny"))
        assert host.store.installed() == ()
        ballast.unlink()
        assert fetched(host) == BODY
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)  # noqa: S607
