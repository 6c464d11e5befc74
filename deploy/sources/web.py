"""Models on a plain web server: one folder of files, as any static server hands out.

Transfers go on from where they stopped, also in a later run, but only while the server says that the file is still
the one that was begun. What arrives is judged by the store; what cannot be right is refused before it is fetched.
"""

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

import msgspec

from deploy.catalog.model import Artifact, CataloguedFile
from deploy.errors import IntegrityError, LandfastError, NotFound, Unreachable, UsageError
from deploy.sources.base import NoOffer, Offer, Progress, Reach, Report
from deploy.sources.proxy import usable_proxy
from deploy.sources.ranges import (
    AGAIN,
    CONNECT_TIMEOUT_S,
    FIRST_PAUSE_S,
    LEAST_BYTES,
    LONGEST_PAUSE_S,
    READ_TIMEOUT_S,
    TRIES,
    Changed,
    NoRanges,
    Order,
    Retry,
    fetch,
    retry_after,
    version_of,
)
from deploy.sources.seen import Seen, Tail, identity
from deploy.sources.writing import writing_to

if TYPE_CHECKING:
    import ssl

    import httpx2

NOT_THERE: Final = frozenset({404, 410})
CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
HINT: Final = "Check the network, the proxy settings and the address (LANDFAST_MIRROR or --from)."
CERTIFICATES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
"""Variables that name a file with certificates, the first before the second."""
TRUST_HINT: Final = "Set SSL_CERT_FILE to the file with your organisation's certificates."
CLOCK: Final = {"not yet valid": "not valid yet", "has expired": "no longer valid"}
"""What OpenSSL says of a certificate's time, and how it is told."""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """What the server said of a file when its transfer began; it lies beside the bytes."""

    url: str
    version: str | None
    """Strong ETag or date of last change; None where the server gives neither."""


class Mirror:
    """One base address; the catalogue's file names are added to it."""

    name = "mirror"

    def __init__(self, url: str, environment: Mapping[str, str], pause: Callable[[float], None] = time.sleep) -> None:
        """Keep the address; nothing is asked yet."""
        self._url = url.rstrip("/") + "/"
        self._environment = environment
        self._pause = pause
        self.seen: dict[Path, Seen] = {}
        """What was hashed while it came."""
        self.revision: str | None = None
        """A plain server knows no versions."""

    @property
    def host(self) -> str | None:
        """The host that is asked; None for what is no address, as is told when it is asked."""
        try:
            return urlsplit(self._url).hostname
        except ValueError:
            return None

    def reach(self, timeout_s: float) -> Reach:
        """Send the base address one short request."""
        from deploy.sources.answers import http_answers

        answer = http_answers(self._url, timeout_s, certificates=self._certificates)
        return Reach(source=self._place, reachable=answer.reachable, reason=answer.reason)

    def offer(self, artifact: Artifact) -> Offer | NoOffer:
        """Offer everything over HTTPS; over plain HTTP only what the catalogue knows the hash of."""
        if not artifact.pinned and not self._url.lower().startswith("https://"):
            return NoOffer(source=self._place, reason="without HTTPS only files of known hash are taken")
        return Offer(source=self._place)

    def fetch(self, artifact: Artifact, staging: Path, report: Report) -> tuple[Path, ...]:
        """Transfer every file, each going on from the bytes that an earlier call left."""
        if isinstance(refused := self.offer(artifact), NoOffer):
            raise Unreachable(f"The {self._place} cannot be used: {refused.reason}.", hint="Use an https:// address.")
        work = staging.absolute() / "web"
        paths: list[Path] = []
        with self._client() as client, writing_to(staging):
            work.mkdir(parents=True, exist_ok=True)
            for file in artifact.files:
                path = work / Path(file.name).name
                before_bytes = sum(done.stat().st_size for done in paths)
                told = _teller(file, before_bytes, artifact.size_bytes, report)
                digest = _Transfer(self, client, file, path, told).run()
                if digest is not None:
                    self.seen[path] = Seen(sha256=digest, identity=identity(path))
                paths.append(path)
        return tuple(paths)

    def address(self, file: CataloguedFile) -> str:
        """Where a file lies."""
        return self._url + quote(Path(file.name).name)

    @property
    def place(self) -> str:
        """The mirror's name for people."""
        return self._place

    def rest(self, pause_s: float) -> None:
        """Wait before the next try."""
        self._pause(pause_s)

    @property
    def _place(self) -> str:
        from deploy.sources.answers import without_credentials

        return f"mirror at {without_credentials(self._url)}"

    @property
    def _certificates(self) -> str | None:
        """A company's own certificates, under the names that other programs read too; else the system's."""
        return next((self._environment[name] for name in CERTIFICATES if self._environment.get(name)), None)

    def _trust(self) -> "ssl.SSLContext":
        import ssl

        try:
            return ssl.create_default_context(cafile=self._certificates)
        except OSError as error:
            name = next((name for name in CERTIFICATES if self._environment.get(name)), CERTIFICATES[0])
            raise UsageError(
                f"The certificates in {self._certificates} cannot be used: {error.strerror or error}.",
                hint=f"{name} names that file: correct it, or unset it.",
            ) from error

    @contextmanager
    def _client(self) -> "Iterator[httpx2.Client]":
        import httpx2

        trust = self._trust()
        timeout = httpx2.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        with usable_proxy():
            client = httpx2.Client(
                verify=trust, timeout=timeout, follow_redirects=True, headers={"Accept-Encoding": "identity"}
            )
        try:
            with client:
                yield client
        except httpx2.InvalidURL as error:
            raise Unreachable(f"The {self._place} cannot be used: it is not a web address.", hint=HINT) from error


class _Transfer:
    """One file on its way, over as many connections as it takes."""

    def __init__(
        self, mirror: Mirror, client: "httpx2.Client", file: CataloguedFile, path: Path, tell: Callable[[int], None]
    ) -> None:
        self._mirror, self._client, self._file, self._path, self._tell = mirror, client, file, path, tell
        self._url = mirror.address(file)
        self._tail = Tail(path)
        self._note = path.with_name(path.name + ".begun")

    def run(self) -> str | None:
        """Bring the file, in ranges where it is large and the server gives them; its SHA-256, hashed meanwhile."""
        if (
            not self._have_bytes
            and self._file.size_exact
            and self._file.sha256
            and self._file.size_bytes >= LEAST_BYTES
        ):
            with contextlib.suppress(NoRanges):
                return fetch(self._order())
        with Tail(self._path) as tail:
            self._tail = tail
            self._in_one_go()
            return tail.hexdigest()

    def _order(self) -> Order:
        return Order(
            client=self._client,
            url=self._url,
            path=self._path,
            size_bytes=self._file.size_bytes,
            tell=self._tell,
            refused=self._refused,
            silent=self._silent,
            rest=self._mirror.rest,
        )

    def _in_one_go(self) -> None:
        """Try until the file is there, or until nothing more comes."""
        idle = 0
        while idle < TRIES:
            before_bytes = self._have_bytes
            try:
                self._once()
            except Changed:
                self._begin_anew()
                idle += 1
                reason = "its file changes again and again"
            except Retry as stop:
                idle = 0 if self._have_bytes > before_bytes else idle + 1
                reason = stop.reason
                self._mirror.rest(min(stop.pause_s or FIRST_PAUSE_S * 2**idle, LONGEST_PAUSE_S))
            else:
                self._note.unlink(missing_ok=True)
                return
        raise self._silent(reason)

    def _once(self) -> None:
        """One request, and what it brings."""
        import httpx2

        if self._file.size_exact and self._have_bytes == self._file.size_bytes and self._file.sha256:
            return
        try:
            with self._client.stream("GET", self._url, headers=self._range()) as answer:
                self._take(answer)
        except httpx2.UnsupportedProtocol as error:
            raise self._silent("it is not a web address") from error
        except httpx2.TooManyRedirects as error:
            raise self._silent("it sends us on again and again") from error
        except httpx2.TransportError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise self._silent(*_distrust(str(error))) from error
            raise Retry(str(error) or type(error).__name__) from error

    def _take(self, answer: "httpx2.Response") -> None:
        status = answer.status_code
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise Changed
        if status in AGAIN:
            raise retry_after(answer)
        if status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            raise self._refused(status)
        if self._file.sha256 is None and answer.url.scheme != "https":
            raise self._silent("it leads to an address without HTTPS")
        begun = Begun(url=self._url, version=version_of(answer))
        start, total_bytes = self._extent(answer, begun)
        self._check_length(total_bytes)
        self._note.write_bytes(msgspec.json.encode(begun))
        self._write(answer, start, total_bytes)

    def _extent(self, answer: "httpx2.Response", begun: Begun) -> tuple[int, int | None]:
        """Where the answer's bytes belong, and how many the whole file has. Raises Changed for another file."""
        if answer.status_code == HTTPStatus.OK:
            length = answer.headers.get("content-length")
            return 0, int(length) if length and length.isdecimal() else None
        found = CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
        earlier = self._begun()
        if found is None or int(found[1]) != self._have_bytes or (earlier is not None and earlier != begun):
            raise Changed
        return int(found[1]), None if found[2] == "*" else int(found[2])

    def _check_length(self, total_bytes: int | None) -> None:
        """What the pin rules out is not transferred."""
        if self._file.size_exact and total_bytes is not None and total_bytes != self._file.size_bytes:
            raise IntegrityError(
                f"The {self._mirror.place} has another file under the name {self._file.name}: "
                f"{total_bytes:,} bytes instead of {self._file.size_bytes:,}.",
                hint="Have the mirror updated, or use another source.",
            )

    def _write(self, answer: "httpx2.Response", start: int, total_bytes: int | None) -> None:
        """Append what comes. A body that is shorter than its own header is not the end of the file."""
        limit_bytes = self._file.size_bytes if self._file.size_exact else total_bytes
        with self._path.open("r+b" if self._path.exists() else "w+b") as file:
            file.truncate(start)
            file.seek(start)
            done_bytes = start
            self._come(done_bytes)
            for block in answer.iter_raw():
                done_bytes += len(block)
                if limit_bytes is not None and done_bytes > limit_bytes:
                    file.truncate(0)
                    raise self._too_long(limit_bytes)
                file.write(block)
                self._come(done_bytes)
        if limit_bytes is not None and done_bytes < limit_bytes:
            raise Retry(f"it stopped sending after {done_bytes:,} of {limit_bytes:,} bytes")

    def _come(self, done_bytes: int) -> None:
        self._tail.advance(done_bytes)
        self._tell(done_bytes)

    def _range(self) -> dict[str, str]:
        """Ask for the rest, and only if it is the rest of the same file."""
        begun = self._begun()
        if not self._have_bytes or begun is None or begun.url != self._url:
            return {}
        if begun.version is None:
            return {"Range": f"bytes={self._have_bytes}-"} if self._file.sha256 else {}
        return {"Range": f"bytes={self._have_bytes}-", "If-Range": begun.version}

    @property
    def _have_bytes(self) -> int:
        return self._path.stat().st_size if self._path.is_file() else 0

    def _begun(self) -> Begun | None:
        try:
            return msgspec.json.decode(self._note.read_bytes(), type=Begun)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def _begin_anew(self) -> None:
        self._path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def _refused(self, status: int) -> LandfastError:
        if status in NOT_THERE:
            return NotFound(
                f"The {self._mirror.place} does not have {self._file.name}.",
                hint="Have the file put there, or use another source.",
            )
        return self._silent(f"status {status}")

    def _too_long(self, limit_bytes: int) -> IntegrityError:
        return IntegrityError(
            f"The {self._mirror.place} sends more than the {limit_bytes:,} bytes of {self._file.name}.",
            hint="Use another source: this one has another file, or is broken.",
        )

    def _silent(self, reason: str, hint: str = HINT) -> Unreachable:
        return Unreachable(f"The {self._mirror.place} does not answer as it should: {reason}.", hint=hint)


def _distrust(said: str) -> tuple[str, str]:
    """Why a certificate is not accepted, and the cure: often it is the clock of this host that is wrong."""
    when = next((told for words, told in CLOCK.items() if words in said), None)
    if when is None:
        return "its certificate is not trusted here", TRUST_HINT
    now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    cure = "Set the clock of this host, or have the certificate renewed."
    return f"its certificate is {when} by the clock of this host ({now})", cure


def _teller(file: CataloguedFile, before_bytes: int, total_bytes: int, report: Report) -> Callable[[int], None]:
    def tell(done_bytes: int) -> None:
        report(
            Progress(
                step="download",
                text=f"download {Path(file.name).name}",
                done_bytes=before_bytes + done_bytes,
                total_bytes=max(total_bytes, before_bytes + done_bytes),
            )
        )

    return tell
