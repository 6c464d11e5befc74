"""A plain web server as a source: ranges, breaks, changes and lies, on loopback."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from deploy.catalog.model import Artifact
from deploy.errors import IntegrityError, NotFound, Unreachable, UsageError
from deploy.sources.base import NoOffer, Progress
from deploy.sources.ranges import TRIES
from deploy.sources.rate import limited
from deploy.sources.web import Mirror
from tests.deploy.sources.kit import Listener, Quiet, artifact_of, served, set_proxy

BODY = bytes(range(256)) * 8192
OTHER = bytes(reversed(range(256))) * 8192
FILES = {"tiny.gguf": BODY}


@dataclass
class Web:
    """A web server as the tests see it: its files, how it misbehaves, and what was asked of it."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)
    """Range and If-Range of every request for a file."""
    cut_after: int | None = None
    """Break the connection after so many bytes of each answer."""
    ranges: bool = True
    conditions: bool = True
    """Whether If-Range is understood."""
    versions: bool = True
    extra: bytes = b""
    """Sent after the end of the file, and not promised."""
    claim_bytes: int | None = None
    """A length that is promised and is not that of the file."""
    statuses: list[int] = field(default_factory=list)
    """Answers before the first good one."""
    before_answer: Callable[[], None] = lambda: None
    sent_bytes: int = 0


class WebHandler(Quiet, BaseHTTPRequestHandler):
    """Speaks the part of HTTP that static servers speak."""

    def do_HEAD(self) -> None:
        """Answer to whoever asks whether there is a server."""
        self.answer(b"")

    def do_GET(self) -> None:
        """Send a file or the rest of it."""
        web: Web = self.server.world
        self.close_connection = True
        if web.statuses:
            return self.send_error(web.statuses.pop(0))
        web.asked.append((self.headers["Range"], self.headers["If-Range"]))
        web.before_answer()
        body = web.files.get(self.path.removeprefix("/"))
        return self.send_error(404) if body is None else self._send(web, body)

    def _send(self, web: Web, body: bytes) -> None:
        version = f'"{hash(body)}"'
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        condition = self.headers["If-Range"]
        partial = asked is not None and web.ranges and (not web.conditions or condition in (None, version))
        start = int(asked[1]) if asked is not None and partial else 0
        if partial and start >= len(body):
            return self.send_error(416)
        length = len(body) - start if web.claim_bytes is None else web.claim_bytes
        self.send_response(206 if partial else 200)
        if not web.extra:
            self.send_header("Content-Length", str(length))
        if partial:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if web.versions:
            self.send_header("ETag", version)
        self.end_headers()
        end = len(body) if web.cut_after is None else start + web.cut_after
        rest = body[start:end] + web.extra
        web.sent_bytes += len(rest)
        self.wfile.write(rest)
        return None


@pytest.fixture
def web() -> Iterator[Web]:
    """A web server of the test's own on loopback."""
    world = Web(files=dict(FILES))
    with served(WebHandler, world) as url:
        world.url = url
        yield world


@pytest.fixture
def pauses() -> list[float]:
    """The pauses that a mirror took; it takes them in no time."""
    return []


@pytest.fixture
def mirror(web: Web, pauses: list[float]) -> Mirror:
    """The server as a source."""
    return Mirror(web.url, {}, pauses.append)


def pinned(files: dict[str, bytes] = FILES) -> Artifact:
    """What the catalogue promises of the files."""
    return artifact_of(files)


def quiet(_: Progress) -> None:
    """Hear nothing."""


def test_a_whole_file_comes_in_one_request(mirror: Mirror, web: Web, tmp_path: Path) -> None:
    """The usual case: no Range, the bytes as they are, and progress up to the end."""
    listener = Listener()
    (path,) = mirror.fetch(pinned(), tmp_path, listener)
    assert path.read_bytes() == BODY
    assert web.asked == [(None, None)]
    assert listener.heard[-1].done_bytes == listener.heard[-1].total_bytes == len(BODY)


def test_several_files_come_in_their_order(mirror: Mirror, web: Web, tmp_path: Path) -> None:
    """A split model; progress runs over all parts."""
    files = {"a b.gguf": BODY, "b.gguf": OTHER}
    web.files = {"a%20b.gguf": BODY, "b.gguf": OTHER}
    listener = Listener()
    paths = mirror.fetch(pinned(files), tmp_path, listener)
    assert [path.read_bytes() for path in paths] == [BODY, OTHER]
    assert listener.heard[-1].done_bytes == 2 * len(BODY)


def test_a_server_that_breaks_off_is_asked_for_the_rest(mirror: Mirror, web: Web, tmp_path: Path) -> None:
    """Every answer ends after 300 kB: no byte is sent twice."""
    web.cut_after = 300_000
    (path,) = mirror.fetch(pinned(), tmp_path, quiet)
    assert path.read_bytes() == BODY
    assert web.asked[0] == (None, None)
    assert all(asked is not None and condition is not None for asked, condition in web.asked[1:])
    assert web.sent_bytes == len(BODY)


def test_a_later_run_goes_on_where_the_first_was_stopped(web: Web, tmp_path: Path) -> None:
    """The person at the keyboard stops it half way; the next run asks for the other half."""
    stop = Listener(lambda progress: progress.done_bytes >= len(BODY) // 2)
    with pytest.raises(KeyboardInterrupt):
        Mirror(web.url, {}).fetch(pinned(), tmp_path, stop)
    (path,) = Mirror(web.url, {}).fetch(pinned(), tmp_path, quiet)
    assert path.read_bytes() == BODY
    assert re.fullmatch(r"bytes=\d+-", web.asked[1][0] or "")


def test_a_server_without_ranges_sends_it_all_again(mirror: Mirror, web: Web, tmp_path: Path) -> None:
    """The first answer breaks off, the second begins at the first byte and is taken so."""
    web.cut_after, web.ranges = 300_000, False

    def mend() -> None:
        if len(web.asked) > 1:
            web.cut_after = None

    web.before_answer = mend
    (path,) = mirror.fetch(pinned(), tmp_path, quiet)
    assert path.read_bytes() == BODY


@pytest.mark.parametrize("conditions", [True, False], ids=["If-Range understood", "If-Range ignored"])
def test_a_file_that_changes_between_ranges_is_begun_anew(
    mirror: Mirror, web: Web, tmp_path: Path, *, conditions: bool
) -> None:
    """Bytes of two versions never meet in one file, also where the server does not look at the condition."""
    web.files, web.cut_after, web.conditions = {"tiny.gguf": OTHER}, 300_000, conditions

    def change() -> None:
        if len(web.asked) > 1:
            web.files, web.cut_after = {"tiny.gguf": BODY}, None

    web.before_answer = change
    (path,) = mirror.fetch(pinned(), tmp_path, quiet)
    assert path.read_bytes() == BODY


def test_a_server_without_versions_is_asked_for_the_rest_of_a_pinned_file(
    mirror: Mirror, web: Web, tmp_path: Path
) -> None:
    """The hash will show whether the halves belong together."""
    web.versions, web.cut_after = False, 700_000
    (path,) = mirror.fetch(pinned(), tmp_path, quiet)
    assert path.read_bytes() == BODY
    assert web.sent_bytes == len(BODY)


@pytest.mark.parametrize("claim_bytes", [len(BODY) - 1, len(BODY) + 1, 10**12])
def test_a_length_that_is_not_the_promised_one_is_refused_before_the_first_byte(
    mirror: Mirror, web: Web, tmp_path: Path, claim_bytes: int
) -> None:
    """The server says another length than the catalogue."""
    web.claim_bytes = claim_bytes
    with pytest.raises(IntegrityError, match="another file") as caught:
        mirror.fetch(pinned(), tmp_path, quiet)
    assert caught.value.hint
    assert not list(tmp_path.rglob("*.gguf"))


def test_a_server_that_sends_more_than_promised_is_cut_off(mirror: Mirror, web: Web, tmp_path: Path) -> None:
    """Without a length in the header only counting helps; what came is dropped."""
    web.extra = b"x" * (8 << 20)
    with pytest.raises(IntegrityError, match="more than"):
        mirror.fetch(pinned(), tmp_path, quiet)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.gguf")) == 0


def test_a_file_that_is_not_there_is_named(mirror: Mirror, web: Web, tmp_path: Path) -> None:
    """A mirror need not hold everything."""
    web.files.clear()
    with pytest.raises(NotFound, match=r"tiny\.gguf"):
        mirror.fetch(pinned(), tmp_path, quiet)


def test_a_busy_server_is_asked_again_after_growing_pauses(
    mirror: Mirror, web: Web, pauses: list[float], tmp_path: Path
) -> None:
    """Three refusals that pass, then the file."""
    web.statuses = [503, 500, 429]
    (path,) = mirror.fetch(pinned(), tmp_path, quiet)
    assert path.read_bytes() == BODY
    assert pauses == sorted(pauses)
    assert len(set(pauses)) == 3


def test_a_server_that_stays_busy_is_given_up(mirror: Mirror, web: Web, pauses: list[float], tmp_path: Path) -> None:
    """The user is not left waiting for ever, and learns the cause."""
    web.statuses = [503] * 100
    with pytest.raises(Unreachable, match="503"):
        mirror.fetch(pinned(), tmp_path, quiet)
    assert len(pauses) == TRIES


def test_a_server_that_is_not_there_is_unreachable(pauses: list[float], tmp_path: Path) -> None:
    """Nothing listens on that port."""
    with pytest.raises(Unreachable) as caught:
        Mirror("http://127.0.0.1:9/models", {}, pauses.append).fetch(pinned(), tmp_path, quiet)
    assert "LANDFAST_MIRROR" in caught.value.hint


@pytest.mark.parametrize("kind", ["absent", "unreadable"])
def test_certificates_that_cannot_be_used_are_named(web: Web, tmp_path: Path, kind: str) -> None:
    """With the variable that names them; the staging folder has nothing to do with it."""
    file = tmp_path / "company.pem"
    if kind == "unreadable":
        file.write_text("no certificate")
    mirror = Mirror(web.url, {"SSL_CERT_FILE": str(file)})
    with pytest.raises(UsageError, match=r"certificates in .*company\.pem cannot be used") as caught:
        mirror.fetch(pinned(), tmp_path / "staging", quiet)
    assert "SSL_CERT_FILE" in caught.value.hint


@pytest.mark.parametrize("url", ["http://[::1", "http://files.example:port"])
def test_what_is_no_address_is_told(url: str, tmp_path: Path) -> None:
    """When it is asked: a slip in LANDFAST_MIRROR does not keep anybody from commands that need no network."""
    mirror = Mirror(url, {})
    assert mirror.host in {None, "files.example"}
    with pytest.raises(Unreachable, match="not a web address"):
        mirror.fetch(pinned(), tmp_path, quiet)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "gopher://127.0.0.1:9", "http://[::1"])
def test_a_proxy_that_cannot_be_used_is_named(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """With what to set in its place."""
    set_proxy(monkeypatch, proxy)
    with pytest.raises(Unreachable, match="proxy that is set here") as caught:
        mirror.fetch(pinned(), tmp_path, quiet)
    assert "ALL_PROXY" in caught.value.hint


class Circle(Quiet, BaseHTTPRequestHandler):
    """Sends whoever asks to where they are."""

    def do_GET(self) -> None:
        """Answer with the address that was asked."""
        self.send_response(302)
        self.send_header("Location", self.path)
        self.send_header("Content-Length", "0")
        self.end_headers()


def test_a_server_that_sends_us_on_for_ever_is_unreachable(pauses: list[float], tmp_path: Path) -> None:
    """At once: asked again it would say the same."""
    with served(Circle, None) as url, pytest.raises(Unreachable, match="again and again"):
        Mirror(url, {}, pauses.append).fetch(pinned(), tmp_path, quiet)
    assert pauses == []


def test_reach_tells_whether_it_answers(mirror: Mirror) -> None:
    """One short request; a password in the address is not repeated."""
    assert mirror.reach(5).reachable
    found = Mirror("http://user:secret@127.0.0.1:9/", {}).reach(1)
    assert not found.reachable
    assert "secret" not in found.source + found.reason


def test_without_https_only_files_of_known_hash_are_offered(mirror: Mirror, tmp_path: Path) -> None:
    """Nobody could tell what was put in on the way."""
    artifact = pinned()
    unknown = type(artifact)(
        quant=artifact.quant,
        publisher="the test",
        files=tuple(type(file)(name=file.name, size_bytes=file.size_bytes, size_exact=True) for file in artifact.files),
    )
    assert isinstance(mirror.offer(unknown), NoOffer)
    with pytest.raises(Unreachable, match="known hash"):
        mirror.fetch(unknown, tmp_path, quiet)
    assert not isinstance(Mirror("https://files.example", {}).offer(unknown), NoOffer)


def test_a_rate_is_kept() -> None:
    """Ten megabytes at one megabyte a second take ten seconds, of which the transfer itself took two."""
    clock = [0.0]

    def pause(pause_s: float) -> None:
        clock[0] += pause_s

    heard = Listener()
    tell = limited(heard, 1_000_000, lambda: clock[0], pause)
    for done_bytes in range(0, 10_000_001, 1_000_000):
        tell(Progress(step="download", text="download x", done_bytes=done_bytes, total_bytes=10_000_000))
        clock[0] += 0.2
    assert 10.0 <= clock[0] <= 10.5
    assert heard.heard[-1].done_bytes == 10_000_000


def test_a_rate_does_not_slow_what_is_not_transferred() -> None:
    """Hashing goes as fast as it can."""
    tell = limited(quiet, 1, lambda: 0.0, lambda _: pytest.fail("a pause"))
    tell(Progress(step="verify", text="verify x", done_bytes=10**9, total_bytes=10**9))
