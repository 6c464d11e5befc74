"""How fast files are hashed, against what SHA-256 reaches in memory; and what hashing beside the copy spares.

python -m scripts.bench.hashing [FOLDER]

The folder should lie on the disk that holds the store; about two gigabytes are written there for a minute.
"""

import atexit
import functools
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from unittest import mock

from deploy.bundle.manifest import Entry, Manifest, Part
from deploy.bundle.reading import Bundle, restore
from deploy.catalog.model import Artifact, CataloguedFile
from deploy.keys import Envelope
from deploy.sources import ranges
from deploy.sources.base import Progress
from deploy.sources.seen import Tail
from deploy.sources.web import Mirror
from deploy.store.files import sha256_of
from deploy.store.hashing import side_by_side
from scripts.bench.report import table, write_section

FILES: Final = 4
FILE_BYTES: Final = 256 << 20
BLOCK: Final = os.urandom(1 << 20)
ROUNDS: Final = 7
THREADS: Final = 2


SERVER: Final = """
import os, re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def log_message(self, *words): pass
    def do_GET(self):
        with open({path!r}, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            found = re.fullmatch(r"bytes=(\\d+)-(\\d+)", self.headers["Range"] or "")
            start, end = (int(found[1]), int(found[2]) + 1) if found else (0, size)
            self.send_response(206 if found else 200)
            self.send_header("Content-Length", str(end - start))
            self.send_header("Content-Range", f"bytes {{start}}-{{end - 1}}/{{size}}")
            self.send_header("ETag", '"one"')
            self.end_headers()
            self.wfile.flush()
            while start < end:
                start += os.sendfile(self.connection.fileno(), file.fileno(), start, end - start)
            self.close_connection = True
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def quiet(_: Progress) -> None:
    """Nobody watches."""


def in_memory(_: Path) -> None:
    """SHA-256 alone, without a file: the upper bound."""
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(_hash_memory, range(THREADS)))


def one_by_one(folder: Path) -> None:
    """Every file after the other."""
    for path in _files(folder):
        sha256_of(path, "", quiet)


def together(folder: Path) -> None:
    """As `models verify` does it."""
    side_by_side(_files(folder), lambda path, tell: sha256_of(path, "", tell), lambda _: FILE_BYTES, quiet, "")


def copied_then_hashed(folder: Path) -> None:
    """A bundle's file brought in, and hashed when it is there."""
    copied_and_hashed(folder)
    sha256_of(folder / "copy", "", quiet)


def copied_and_hashed(folder: Path) -> None:
    """A bundle's file brought in and hashed meanwhile, as `install --from` does it."""
    (folder / "copy").unlink(missing_ok=True)
    bundle, entry = _bundle(folder)
    restore(bundle, [entry], [folder / "copy"], quiet)


def fetched_then_hashed(folder: Path) -> None:
    """A file from a web server on this machine, and hashed when it is there."""
    with mock.patch.object(ranges, "Tail", Deaf):
        _fetch(folder)
    sha256_of(folder / "staging" / "web" / "file0", "", quiet)


def fetched_and_hashed(folder: Path) -> None:
    """A file from a web server on this machine in ranges, hashed meanwhile, as `install` does it."""
    source, path = _fetch(folder)
    if source.seen[path].sha256 != _file_sha256():
        raise SystemExit("the server sent something else")


class Deaf(Tail):
    """Hashes nothing."""

    def hexdigest(self) -> str | None:
        """No hash."""
        return None

    def _follow(self) -> None:
        """Nothing to follow."""


def _fetch(folder: Path) -> tuple[Mirror, Path]:
    shutil.rmtree(folder / "staging", ignore_errors=True)
    file = CataloguedFile(name="file0", size_bytes=FILE_BYTES, size_exact=True, sha256=_file_sha256())
    form = Artifact(quant="Q4_0", publisher="", files=(file,))
    source = Mirror(_server(folder), {})
    (path,) = source.fetch(form, folder / "staging", quiet)
    return source, path


WORKS: Final[dict[str, tuple[Callable[[Path], None], int]]] = {
    "SHA-256 in memory, two threads": (in_memory, THREADS * FILE_BYTES),
    "files, one by one": (one_by_one, FILES * FILE_BYTES),
    "files, several at a time": (together, FILES * FILE_BYTES),
    "bundle: copied, then hashed": (copied_then_hashed, FILE_BYTES),
    "bundle: hashed while copied": (copied_and_hashed, FILE_BYTES),
    "web: fetched, then hashed": (fetched_then_hashed, FILE_BYTES),
    "web: hashed while fetched": (fetched_and_hashed, FILE_BYTES),
}


def main(place: Path) -> None:
    """Do all in turn, several times, so that a slow minute hits each of them alike."""
    rates: dict[str, list[float]] = {name: [] for name in WORKS}
    _file_sha256()
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        folder = Path(scratch)
        for path in _files(folder):
            path.write_bytes(BLOCK * (FILE_BYTES // len(BLOCK)))
        for _ in range(ROUNDS):
            for name, (work, size_bytes) in WORKS.items():
                rates[name].append(size_bytes / _seconds(work, folder) / 1e6)
    middle = {name: statistics.median(found) for name, found in rates.items()}
    best = middle["SHA-256 in memory, two threads"]
    rows = [(name, f"{rate:,.0f}", f"{rate / best:.2f}") for name, rate in middle.items()]
    spared = middle["bundle: hashed while copied"] / middle["bundle: copied, then hashed"]
    beside = middle["web: hashed while fetched"] / middle["web: fetched, then hashed"]
    text = (
        f"## Hashing\n\n{table(('', 'MB/s', 'of two threads in memory'), rows)}\n\n"
        f"Medians of {ROUNDS} rounds on {os.cpu_count()} cores, files in the page cache. Hashing beside the copy "
        f"brings a bundle in {spared:.2f} times as fast, and a file from a web server on the same machine, which takes "
        f"its share of the cores, {beside:.2f} times. Written by `python -m scripts.bench.hashing`."
    )
    write_section("hashing", text)
    print(text)


def _seconds(work: Callable[[Path], None], folder: Path) -> float:
    begun_s = time.perf_counter()
    work(folder)
    return time.perf_counter() - begun_s


def _hash_memory(_: int) -> None:
    digest = hashlib.sha256()
    for _block in range(FILE_BYTES // len(BLOCK)):
        digest.update(BLOCK)


@functools.cache
def _server(folder: Path) -> str:
    """A web server on loopback, in a process of its own, that gives ranges of the first file."""
    program = SERVER.format(path=str(folder / "file0"))
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    atexit.register(process.kill)
    if process.stdout is None:
        raise SystemExit("no server")
    return f"http://127.0.0.1:{process.stdout.readline().strip()}"


def _files(folder: Path) -> list[Path]:
    return [folder / f"file{number}" for number in range(FILES)]


@functools.cache
def _file_sha256() -> str:
    whole = hashlib.sha256()
    for _ in range(FILE_BYTES // len(BLOCK)):
        whole.update(BLOCK)
    return whole.hexdigest()


def _bundle(folder: Path) -> tuple[Bundle, Entry]:
    """A bundle of the first file, whose signature nobody asks for here."""
    part = Part(path="file0", size_bytes=FILE_BYTES, sha256=_file_sha256())
    entry = Entry(path="file0", size_bytes=FILE_BYTES, sha256=part.sha256, parts=(part,))
    manifest = Manifest(landfast="0", part_bytes=FILE_BYTES, models=(), entries=(entry,))
    return Bundle(root=folder, manifest=manifest, raw=b"", signature=Envelope("", "", ())), entry


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.gettempdir()))
