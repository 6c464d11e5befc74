"""Large files in ranges: several at a time, gone on with after a break or a kill, hashed on the way."""

import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Final

import msgspec
import pytest

from deploy.catalog.model import Artifact, HubOrigin
from deploy.commands.install import InstallRequest, install
from deploy.errors import IntegrityError, Unreachable
from deploy.sources import ranges
from deploy.sources.base import Source
from deploy.sources.hub import Hub
from deploy.sources.package_index import PackageIndex
from deploy.sources.pip_settings import read_settings
from deploy.sources.web import Mirror
from deploy.sources.wheel_links import client_of, find_wheel
from tests.deploy.sources.kit import COMMIT, Index, Listener, Quiet, artifact_of, packaged, served
from tests.support.world import TINY, model, world

ROOM: Final = Path(__file__).parents[3]
BODY: Final = random.Random(5).randbytes(3_000_000)  # noqa: S311 - bytes for a test
RANGE: Final = 64 << 10
BOUND_BYTES: Final = 64 << 20
"""What a kill may cost at most."""
FETCH: Final = """
import os, sys, msgspec
from pathlib import Path
from deploy.catalog.model import Artifact
from deploy.sources.{module} import {name}
def told(progress):
    print(progress.done_bytes, flush=True)
artifact = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Artifact)
{name}({arguments}).fetch(artifact, Path(sys.argv[2]), told)
"""


@lru_cache(maxsize=2)
def digest_of(body: bytes) -> str:
    """The hash of a large body, which is asked for with every answer."""
    return hashlib.sha256(body).hexdigest()


@dataclass
class Depot:
    """A server of one file that gives ranges, and can be made to misbehave."""

    url: str = ""
    body: bytes = BODY
    asked: list[tuple[int, int]] = field(default_factory=list)
    sent_bytes: int = 0
    at_once: int = 0
    most_at_once: int = 0
    ranges: bool = True
    cut_after: int | None = None
    """Break every answer off after so many bytes."""
    statuses: list[int] = field(default_factory=list)
    pace_s: float = 0.0
    """Wait so long with every answer, so that several are under way."""
    before_answer: Callable[[int], None] = lambda _: None
    lock: threading.Lock = field(default_factory=threading.Lock)
    project: str = ""
    """What this package index lists, as JSON; empty for none."""

    @property
    def version(self) -> str:
        """Strong ETag."""
        return f'"{digest_of(self.body)}"'

    def count(self, sent_bytes: int) -> None:
        """Note what goes out, several answers at once."""
        with self.lock:
            self.sent_bytes += sent_bytes


class DepotHandler(Quiet, BaseHTTPRequestHandler):
    """Speaks ranges, and enough of a hub and of a package index."""

    def do_HEAD(self) -> None:
        """Describe the file as a hub does."""
        depot: Depot = self.server.world
        self.send_response(200)
        self.send_header("Content-Length", str(len(depot.body)))
        self.send_header("ETag", depot.version)
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()

    def do_GET(self) -> None:
        """Send a range, or everything."""
        depot: Depot = self.server.world
        if self.path.startswith("/simple/"):
            self.answer(depot.project.encode(), "application/vnd.pypi.simple.v1+json")
            return
        with depot.lock:
            depot.at_once += 1
            depot.most_at_once = max(depot.most_at_once, depot.at_once)
        time.sleep(depot.pace_s)
        with depot.lock:  # before the answer: who has it may ask again at once
            depot.at_once -= 1
        self._send(depot)

    def _send(self, depot: Depot) -> None:
        if depot.statuses:
            self.send_error(depot.statuses.pop(0))
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"] or "")
        depot.before_answer(len(depot.asked))
        body = depot.body
        if asked is None or not depot.ranges or self.headers["If-Range"] not in {None, depot.version}:
            depot.count(len(body))
            self.answer(body)
            return
        start, end = int(asked[1]), int(asked[2]) + 1
        depot.asked.append((start, end))
        self.send_response(206)
        self.send_header("Content-Length", str(end - start))
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(body)}")
        self.send_header("ETag", depot.version)
        self.end_headers()
        sent = body[start:end] if depot.cut_after is None else body[start:end][: depot.cut_after]
        depot.count(len(sent))
        self.wfile.write(sent)
        self.close_connection = True


@pytest.fixture
def tmp_path(memory_path: Path) -> Path:
    """In memory: the files are large."""
    return memory_path


@pytest.fixture
def depot() -> Iterator[Depot]:
    """The server on loopback."""
    world = Depot()
    with served(DepotHandler, world) as url:
        world.url = url
        yield world


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges of a size at which a small file has many."""
    monkeypatch.setattr(ranges, "RANGE_BYTES", RANGE)
    monkeypatch.setattr(ranges, "FIRST_PAUSE_S", 0.0)
    for source in ("web", "hub", "package_index"):
        monkeypatch.setattr(f"deploy.sources.{source}.LEAST_BYTES", RANGE)


def artifact(body: bytes = BODY) -> Artifact:
    """The file, pinned, on a mirror and on a hub."""
    origin = HubOrigin(repository="some/model", revision=None, paths=("m.gguf",))
    return artifact_of({"m.gguf": body}, hub=origin)


def mirror(depot: Depot) -> Mirror:
    """The server as a mirror that never rests."""
    return Mirror(depot.url, {}, lambda _: None)


SOURCES: Final[dict[str, Callable[[Depot], Source]]] = {
    "mirror": mirror,
    "hub": lambda depot: Hub({**os.environ, "HF_ENDPOINT": depot.url}),
}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", SOURCES)
def test_a_large_file_comes_in_several_ranges_at_once_and_is_hashed_on_the_way(
    depot: Depot, tmp_path: Path, kind: str
) -> None:
    """Every byte once, over several connections; progress never goes back, and the store need not read it again."""
    depot.pace_s = 0.01
    source = SOURCES[kind](depot)
    listener = Listener()
    (path,) = source.fetch(artifact(), tmp_path, listener)
    assert path.read_bytes() == BODY
    assert depot.most_at_once == ranges.LANES
    assert depot.sent_bytes == len(BODY)
    done = [progress.done_bytes for progress in listener.heard]
    assert done == sorted(done)
    assert done[-1] == len(BODY)
    assert source.seen[path].sha256 == hashlib.sha256(BODY).hexdigest()  # type: ignore[attr-defined]
    assert source.seen[path].is_still(path)  # type: ignore[attr-defined]
    assert [found.name for found in path.parent.iterdir()] == ["m.gguf"]


def test_the_hub_tells_which_commit_it_was(depot: Depot, tmp_path: Path) -> None:
    """The lock file has it as the revision."""
    source = Hub({**os.environ, "HF_ENDPOINT": depot.url})
    source.fetch(artifact(), tmp_path, Listener())
    assert source.revision == COMMIT


@pytest.mark.usefixtures("small")
def test_a_file_beyond_what_a_hub_sends_in_one_go_comes_in_ranges(
    depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit of 50 GB is one for single answers."""
    monkeypatch.setattr("huggingface_hub.constants.MAX_HTTP_DOWNLOAD_SIZE", len(BODY) - 1)
    (path,) = Hub({**os.environ, "HF_ENDPOINT": depot.url}).fetch(artifact(), tmp_path, Listener())
    assert path.read_bytes() == BODY


@pytest.mark.usefixtures("small")
def test_a_server_that_breaks_off_is_gone_on_with_inside_the_range(depot: Depot, tmp_path: Path) -> None:
    """Each answer brings a third of what was promised, and no byte is asked for twice."""
    depot.cut_after = RANGE // 3
    (path,) = mirror(depot).fetch(artifact(), tmp_path, Listener())
    assert path.read_bytes() == BODY
    assert depot.sent_bytes == len(BODY)


@pytest.mark.usefixtures("small")
def test_a_busy_server_is_asked_again(depot: Depot, tmp_path: Path) -> None:
    """Statuses that pass do not end the transfer."""
    depot.statuses = [503, 429, 500]
    (path,) = mirror(depot).fetch(artifact(), tmp_path, Listener())
    assert path.read_bytes() == BODY


@pytest.mark.usefixtures("small")
def test_a_server_without_ranges_sends_the_file_in_one_go(depot: Depot, tmp_path: Path) -> None:
    """Nothing is lost by having asked, and it is hashed on the way all the same."""
    depot.ranges = False
    source = mirror(depot)
    (path,) = source.fetch(artifact(), tmp_path, Listener())
    assert path.read_bytes() == BODY
    assert source.seen[path].is_still(path)


@pytest.mark.usefixtures("small")
def test_a_file_that_changes_in_the_middle_is_begun_anew(depot: Depot, tmp_path: Path) -> None:
    """Ranges of two versions never meet: the pinned one comes in the end, or nothing."""
    other = bytes(reversed(BODY))
    depot.body = other

    def mend(answers: int) -> None:
        depot.body = BODY if answers >= 5 else other

    depot.before_answer = mend
    (path,) = mirror(depot).fetch(artifact(), tmp_path, Listener())
    assert path.read_bytes() == BODY


@pytest.mark.usefixtures("small")
def test_a_file_that_changes_all_the_time_is_told(depot: Depot, tmp_path: Path) -> None:
    """After the second time nobody waits for a third."""

    def change(answers: int) -> None:
        depot.body = bytes([answers % 251]) * len(BODY)

    depot.before_answer = change
    with pytest.raises(Unreachable, match="changes again and again"):
        mirror(depot).fetch(artifact(), tmp_path, Listener())


@pytest.mark.usefixtures("small")
def test_a_server_that_lies_about_the_length_is_not_believed(depot: Depot, tmp_path: Path) -> None:
    """A file of another length than the pinned one never becomes the file."""
    depot.body = BODY + b"more"
    with pytest.raises((Unreachable, IntegrityError)):
        mirror(depot).fetch(artifact(), tmp_path, Listener())
    assert not list(tmp_path.rglob("m.gguf"))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", SOURCES)
def test_ctrl_c_loses_only_the_ranges_that_were_under_way(depot: Depot, tmp_path: Path, kind: str) -> None:
    """The interrupt passes through from whichever thread it was heard in, and the next call fetches the rest."""
    with pytest.raises(KeyboardInterrupt):
        SOURCES[kind](depot).fetch(artifact(), tmp_path, Listener(lambda told: told.done_bytes > len(BODY) // 2))
    before = depot.sent_bytes
    listener = Listener()
    (path,) = SOURCES[kind](depot).fetch(artifact(), tmp_path, listener)
    assert path.read_bytes() == BODY
    assert depot.sent_bytes - before < len(BODY) // 2 + 2 * ranges.LANES * RANGE
    assert listener.heard[0].done_bytes > len(BODY) // 4


@pytest.mark.usefixtures("small")
def test_ranges_that_were_altered_here_are_refused_and_the_next_try_is_clean(depot: Depot, tmp_path: Path) -> None:
    """What an interrupted install left is changed on this disk: the store refuses the whole, and keeps none of it."""
    depot.body = TINY + BODY
    known = model("tiny", artifact(depot.body))
    host = world(tmp_path, known, sources=(mirror(depot),))
    half = Listener(lambda told: told.step == "download" and told.done_bytes > len(BODY) // 2)
    with pytest.raises(KeyboardInterrupt):
        install(replace(host, report=half), InstallRequest(model="tiny"))
    (parts,) = host.store.root.rglob("*.parts")
    with parts.open("r+b") as file:
        file.seek(len(TINY) + 100)
        file.write(b"altered")
    with pytest.raises(IntegrityError, match="not the file that the catalogue promises"):
        install(host, InstallRequest(model="tiny"))
    assert (host.store.installed(), host.store.staged_bytes()) == ((), 0)
    assert install(host, InstallRequest(model="tiny")).changed


@pytest.mark.usefixtures("small")
def test_a_large_wheel_is_found_by_its_hash_and_comes_in_ranges(depot: Depot, tmp_path: Path) -> None:
    """The index's page names it; pip is not asked, and the member is hashed while it is unpacked."""
    packed, source = packaged_on(depot, tmp_path, BODY)
    (path,) = source.fetch(packed, tmp_path / "staging", Listener())
    assert path.read_bytes() == BODY
    assert len(depot.asked) > 10
    assert source.seen[path].is_still(path)
    assert source.revision == "tiny-model-part1 1.0"


@pytest.mark.usefixtures("small")
def test_an_altered_large_wheel_is_refused(depot: Depot, tmp_path: Path) -> None:
    """The index says the right hash and hands out other bytes of the same length."""
    packed, source = packaged_on(depot, tmp_path, BODY)
    depot.body = depot.body[:-1] + bytes([depot.body[-1] ^ 1])
    with pytest.raises(IntegrityError, match="other bytes than the promised ones"):
        source.fetch(packed, tmp_path / "staging", Listener())
    assert not list((tmp_path / "staging").rglob("*.whl*"))


@pytest.mark.usefixtures("small")
def test_an_index_that_fails_for_a_while_costs_no_range_that_has_come(depot: Depot, tmp_path: Path) -> None:
    """Neither does pip, which was asked meanwhile and failed too."""
    packed, source = packaged_on(depot, tmp_path, BODY)
    assert packed.package is not None
    half = packed.package.pieces[0].wheel_bytes // 2
    with pytest.raises(KeyboardInterrupt):
        source.fetch(packed, tmp_path / "staging", Listener(stop_at=lambda progress: progress.done_bytes > half))
    page, depot.project = depot.project, '{"files": []}'
    with pytest.raises(Unreachable):
        source.fetch(packed, tmp_path / "staging", Listener())
    depot.project, before = page, depot.sent_bytes
    (path,) = source.fetch(packed, tmp_path / "staging", Listener())
    assert path.read_bytes() == BODY
    assert depot.sent_bytes - before < len(depot.body) * 0.7


def test_a_link_that_is_no_address_is_passed_over(depot: Depot, tmp_path: Path) -> None:
    """The file beside it is still found."""
    packed, _ = packaged_on(depot, tmp_path, BODY)
    page = msgspec.json.decode(depot.project)
    page["files"].insert(0, {**page["files"][0], "url": "http://[broken"})
    depot.project = msgspec.json.encode(page).decode()
    settings = read_settings(Index(url=depot.url).environment())
    assert packed.package is not None
    with client_of(settings) as client:
        assert str(find_wheel(client, settings, packed.package.pieces[0])).startswith(depot.url)


@pytest.mark.usefixtures("small")
def test_pip_brings_what_cannot_be_had_in_ranges(index: Index, tmp_path: Path) -> None:
    """An index that gives the whole file or nothing serves as before."""
    packed = packaged(index, tmp_path, [BODY])
    (path,) = PackageIndex(index.environment()).fetch(packed, tmp_path / "staging", Listener())
    assert path.read_bytes() == BODY


def packaged_on(depot: Depot, folder: Path, body: bytes) -> tuple[Artifact, PackageIndex]:
    """Publish a file in one wheel on the depot."""
    shelf = Index(url=depot.url)
    packed = packaged(shelf, folder, [body])
    ((name, depot.body),) = shelf.wheels.items()
    page = {"files": [{"filename": name, "url": f"../../{name}", "hashes": {"sha256": depot.version.strip('"')}}]}
    depot.project = msgspec.json.encode(page).decode()
    return packed, PackageIndex(shelf.environment())


@pytest.mark.no_cover
@pytest.mark.parametrize("kind", ["mirror", "hub", "wheel"])
def test_a_kill_costs_at_most_64_mib(depot: Depot, tmp_path: Path, kind: str) -> None:
    """A process is killed with signal 9 in the middle of 160 MB; what is fetched again is counted at the server."""
    body = random.Random(6).randbytes(160 << 20)  # noqa: S311 - bytes for a test
    environment = {**os.environ, "HF_ENDPOINT": depot.url, "NO_PROXY": "127.0.0.1", "PYTHONPATH": str(ROOM)}
    if kind == "wheel":
        known, _ = packaged_on(depot, tmp_path, body)
        environment = {**Index(url=depot.url).environment(), "PYTHONPATH": str(ROOM)}
    else:
        depot.body, known = body, artifact(body)
    paper = tmp_path / "artifact.json"
    paper.write_bytes(msgspec.json.encode(known))
    fill = {
        "mirror": {"module": "web", "name": "Mirror", "arguments": f"{depot.url!r}, os.environ"},
        "hub": {"module": "hub", "name": "Hub", "arguments": "os.environ"},
        "wheel": {"module": "package_index", "name": "PackageIndex", "arguments": "os.environ"},
    }[kind]
    command = [sys.executable, "-P", "-c", FETCH.format(**fill), str(paper), str(tmp_path / "staging")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) > 90 << 20:
                child.send_signal(signal.SIGKILL)
                break
    had_bytes = 90 << 20
    before = depot.sent_bytes
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    (path,) = [path for path in (tmp_path / "staging").rglob("*.gguf") if path.is_file()]
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(body).digest()
    again = depot.sent_bytes - before - (len(depot.body) - had_bytes)
    assert again <= BOUND_BYTES
