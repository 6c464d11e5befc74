"""Fetches one large file of known length in ranges, several at a time, and goes on where an earlier try stopped.

Where the server does not give ranges, `NoRanges` says so before a second byte is asked for. What is there is written
down after every range, so that a process that is killed loses at most the ranges that were under way.
"""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import msgspec

from deploy.errors import LandfastError
from deploy.sources.seen import Tail

if TYPE_CHECKING:
    import httpx2

LEAST_BYTES: Final = 64 << 20
"""Smaller files come in one go: nobody minds fetching them again."""
RANGE_BYTES: Final = 8 << 20
LANES: Final = 4
"""Connections at once; with the size of a range this bounds what a kill loses: 32 MiB."""
TRIES: Final = 5
"""Tries in a row that bring no byte before the server counts as unreachable."""
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that pass."""
STOP_WAIT_S: Final = 2.0
CONNECT_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 30.0
"""The longest silence in mid-transfer."""
CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class NoRanges(Exception):
    """The server gives the whole file or nothing."""


class Changed(Exception):
    """The server has another file now than the one that was begun."""


class _Stopped(Exception):
    """Another lane has failed."""


class Retry(Exception):
    """The transfer stopped before its end."""

    def __init__(self, reason: str, pause_s: float | None = None) -> None:
        """With the pause that the server asks for; None where it asks for none."""
        super().__init__(reason)
        self.reason = reason
        self.pause_s = pause_s


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """Which ranges of which file are there; it lies beside the bytes."""

    url: str
    size_bytes: int
    version: str | None = None
    """Strong ETag or date of last change; None before the first answer, or where the server gives neither."""
    done: tuple[int, ...] = ()


@dataclass(frozen=True)
class Order:
    """What to fetch, and how to talk to the server about it."""

    client: "httpx2.Client"
    url: str
    path: Path
    size_bytes: int
    tell: Callable[[int], None]
    """Hears how many bytes are there, from any thread, one at a time."""
    refused: Callable[[int], Exception]
    """The error for a status that is no file."""
    silent: Callable[[str], LandfastError]
    """The error for a server that does not answer as it should."""
    rest: Callable[[float], None]
    """Waits before the next try."""
    headers: Mapping[str, str] = field(default_factory=dict)


def fetch(order: Order) -> str | None:
    """Fetch the file to its path; gives its SHA-256, hashed meanwhile.

    Raises NoRanges, and what the order makes of the server's refusals. What came stays for the next call.
    """
    for _ in range(2):
        job = _Job(order)
        try:
            return job.run()
        except Changed:
            job.forget()
        except NoRanges:
            job.forget()
            raise
    raise order.silent("its file changes again and again")


class _Job:
    """One try at a file; it ends when the file is there, changes on the server, or cannot be had."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._parts = order.path.with_name(order.path.name + ".parts")
        self._paper = order.path.with_name(order.path.name + ".ranges")
        self._count = -(-order.size_bytes // RANGE_BYTES)
        self._ledger = self._read_ledger()
        self._done = set(self._ledger.done)
        self._came_bytes = sum(self._length(number) for number in self._done)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._failure: BaseException | None = None

    def run(self) -> str | None:
        """Fetch what is missing: the first range alone, since it shows whether there are ranges at all."""
        missing = iter([number for number in range(self._count) if number not in self._done])
        self._make_parts()
        with Tail(self._parts) as tail, self._parts.open("r+b") as file:
            lane = _Lane(self, file, tail)
            self._order.tell(self._came_bytes)
            tail.advance(self.whole_bytes)
            if (first := next(missing, None)) is not None:
                lane.bring(first)
            self._in_lanes(lane, missing)
            file.flush()
            digest = tail.hexdigest()
        self._parts.replace(self._order.path)
        self._paper.unlink(missing_ok=True)
        return digest

    def forget(self) -> None:
        """What is there belongs to another file."""
        self._parts.unlink(missing_ok=True)
        self._paper.unlink(missing_ok=True)

    @property
    def order(self) -> Order:
        """What is fetched."""
        return self._order

    @property
    def is_new(self) -> bool:
        """Whether nothing has come yet: the way in one go then has the better words for what is wrong."""
        return self._came_bytes == 0

    @property
    def version(self) -> str | None:
        """What the server says by which the file can be told from a later one."""
        return self._ledger.version

    @property
    def whole_bytes(self) -> int:
        """How much is there without a gap from the beginning."""
        number = next((number for number in range(self._count) if number not in self._done), self._count)
        return min(number * RANGE_BYTES, self._order.size_bytes)

    def bounds(self, number: int) -> tuple[int, int]:
        """First byte of a range, and the first byte after it."""
        return number * RANGE_BYTES, number * RANGE_BYTES + self._length(number)

    def put(self, file: BinaryIO, at: int, block: bytes) -> None:
        """Write bytes that have come, and tell of them. Raises what the listener raises."""
        with self._lock:
            if self._stop.is_set():
                raise _Stopped
            file.seek(at)
            file.write(block)
            self._came_bytes += len(block)
            self._order.tell(self._came_bytes)

    def agree(self, version: str | None) -> None:
        """All ranges must be of one file. Raises Changed."""
        with self._lock:
            if self._ledger.version is None and not self._done:
                self._ledger = msgspec.structs.replace(self._ledger, version=version)
            if self._ledger.version != version:
                raise Changed

    def finish(self, number: int, file: BinaryIO, tail: Tail) -> None:
        """Write down that a range is there."""
        with self._lock:
            file.flush()
            self._done.add(number)
            self._ledger = msgspec.structs.replace(self._ledger, done=tuple(sorted(self._done)))
            fresh = self._paper.with_name(self._paper.name + ".new")
            fresh.write_bytes(msgspec.json.encode(self._ledger))
            fresh.replace(self._paper)
            tail.advance(self.whole_bytes)

    def work(self, lane: "_Lane", missing: Iterator[int]) -> None:
        """Bring one range after the other until none is left or something fails."""
        try:
            while (number := self._next(missing)) is not None:
                lane.bring(number)
        except _Stopped:
            return
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
            with self._lock:
                self._failure = self._failure or error
            self._stop.set()

    def _in_lanes(self, lane: "_Lane", missing: Iterator[int]) -> None:
        threads = [
            threading.Thread(target=self.work, args=(lane, missing), daemon=True, name="landfast-range")
            for _ in range(LANES)
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(STOP_WAIT_S)
        if self._failure is not None:
            raise self._failure

    def _next(self, missing: Iterator[int]) -> int | None:
        with self._lock:
            return None if self._stop.is_set() else next(missing, None)

    def _length(self, number: int) -> int:
        return min(RANGE_BYTES, self._order.size_bytes - number * RANGE_BYTES)

    def _read_ledger(self) -> Ledger:
        """What an earlier call wrote down of the same file; nothing where its bytes are gone."""
        anew = Ledger(url=self._order.url, size_bytes=self._order.size_bytes)
        with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
            found = msgspec.json.decode(self._paper.read_bytes(), type=Ledger)
            same = (found.url, found.size_bytes) == (anew.url, anew.size_bytes)
            if same and self._parts.stat().st_size == anew.size_bytes and set(found.done) <= set(range(self._count)):
                return found
        return anew

    def _make_parts(self) -> None:
        if not self._done:
            self.forget()
            with self._parts.open("wb") as file:
                file.truncate(self._order.size_bytes)


@dataclass(frozen=True)
class _Lane:
    """One connection's way of bringing ranges."""

    job: _Job
    file: BinaryIO
    tail: Tail

    def bring(self, number: int) -> None:
        """Bring one range, over as many requests as it takes."""
        at, end = self.job.bounds(number)
        idle = 0
        while at < end:
            before = at
            try:
                for block in self._blocks(at, end):
                    self.job.put(self.file, at, block)
                    at += len(block)
            except Retry as stop:
                idle = 0 if at > before else idle + 1
                if idle >= TRIES:
                    raise self.job.order.silent(stop.reason) from stop
                self.job.order.rest(min(stop.pause_s or FIRST_PAUSE_S * 2**idle, LONGEST_PAUSE_S))
        self.job.finish(number, self.file, self.tail)

    def _blocks(self, at: int, end: int) -> Iterator[bytes]:
        """What the server sends of a range, never more than was asked for. Raises Retry where it stops early."""
        import httpx2

        order = self.job.order
        version = self.job.version
        headers = {**order.headers, "Range": f"bytes={at}-{end - 1}", "Accept-Encoding": "identity"}
        if version is not None:
            headers["If-Range"] = version
        waiting = httpx2.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        try:
            with order.client.stream("GET", order.url, headers=headers, timeout=waiting) as answer:
                self._judge(answer, at)
                for block in answer.iter_raw():
                    yield block[: end - at]
                    at += len(block)
                    if at > end:
                        return
        except httpx2.RequestError as error:
            if self.job.is_new:
                raise NoRanges from error
            raise Retry(str(error) or type(error).__name__) from error
        if at < end:
            raise Retry(f"it stopped sending {end - at:,} bytes too early")

    def _judge(self, answer: "httpx2.Response", at: int) -> None:
        """Whether the answer is the range that was asked for."""
        status = answer.status_code
        if status == HTTPStatus.OK and self.job.version is None:
            raise NoRanges
        if status in {HTTPStatus.OK, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}:
            raise Changed
        if status in AGAIN:
            raise retry_after(answer)
        if status != HTTPStatus.PARTIAL_CONTENT:
            raise self.job.order.refused(status)
        found = CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
        if found is None or int(found[1]) != at or int(found[3]) != self.job.order.size_bytes:
            raise Changed
        self.job.agree(version_of(answer))


def retry_after(answer: "httpx2.Response") -> Retry:
    """Another try of what the server refuses for now, after the pause that it asks for."""
    pause = answer.headers.get("retry-after", "")
    return Retry(f"status {answer.status_code}", float(pause) if pause.isdecimal() else None)


def version_of(answer: "httpx2.Response") -> str | None:
    """What the server says by which the file can be told from a later one; a weak ETag does not."""
    etag = answer.headers.get("etag", "")
    return etag if etag.startswith('"') else answer.headers.get("last-modified")
