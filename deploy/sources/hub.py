"""Models on a model hub or a mirror of one, by way of the hub's own client.

Of that client only the parts that find and transfer one file are used. `hf_hub_download` writes every try into a
new temporary file and drops it when the try fails (seen in 2.4.0), so that no later run could go on with it; and it
may go through Xet, which passes by a mirror and keeps a cache of its own. Nothing that a hub hands out is trusted:
the store hashes it.
"""

import hashlib
import io
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

import msgspec

from deploy.catalog.model import Artifact, CataloguedFile
from deploy.errors import IntegrityError, LandfastError, NotFound, Unreachable
from deploy.sources.base import NoOffer, Offer, Progress, Reach, Report
from deploy.sources.proxy import usable_proxy
from deploy.sources.ranges import LEAST_BYTES, NoRanges, Order, fetch
from deploy.sources.seen import Seen, Tail, identity
from deploy.sources.writing import writing_to

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

QUIET: Final = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_VERBOSITY": "critical",
}
"""Read by the hub's client when it is imported: it tells nothing about us and leaves the terminal alone."""

HINT: Final = "Check the network, or set HF_ENDPOINT to a mirror of the hub that you can reach."
TOKEN_HINT: Final = "Accept the model's terms on the hub, create an access token there and set HF_TOKEN to it."  # noqa: S105 - a sentence
METADATA_TIMEOUT_S: Final = 15.0
UNAUTHORIZED: Final = frozenset({401, 403})
NOT_THERE: Final = frozenset({404, 410})
ERROR_NUMBER: Final = re.compile(r"\[Errno -?\d+\] ")
SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Remote(msgspec.Struct, frozen=True):
    """One file as the hub describes it before it is transferred."""

    url: str
    name: str
    folder: str
    """Made of the hub's version mark: bytes of different versions never meet in one file."""
    size_bytes: int | None
    commit: str


class Hub:
    """The model hub, or the mirror that HF_ENDPOINT names."""

    name = "hub"

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Keep the environment that says which hub it is and who asks."""
        self._environment = environment
        self.seen: dict[Path, Seen] = {}
        """What was hashed while it came."""
        self.revision: str | None = None
        """The commit that the files came from."""

    def reach(self, timeout_s: float) -> Reach:
        """Send the endpoint one short request, unless the user has told the client to stay offline."""
        from deploy.sources.answers import http_answers

        if self._environment.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
            return Reach(source=self._place, reachable=False, reason="HF_HUB_OFFLINE is set")
        answer = http_answers(self._endpoint + "/", timeout_s)
        return Reach(source=self._place, reachable=answer.reachable, reason=answer.reason)

    def offer(self, artifact: Artifact) -> Offer | NoOffer:
        """Offer what the catalogue knows a repository of."""
        if artifact.hub is None:
            return NoOffer(source=self.name, reason="the catalogue knows no place on the hub for this model")
        return Offer(source=self._place)

    def fetch(self, artifact: Artifact, staging: Path, report: Report) -> tuple[Path, ...]:
        """Ask about every file, then transfer them, each going on from the bytes that an earlier call left."""
        if artifact.hub is None:
            raise NotFound("No place on the hub is known for this model.", hint="Install it from a folder with --from.")
        work = staging.absolute() / "hub"
        self._require_client()
        with self._in_our_words(artifact.hub.repository), writing_to(staging):
            remotes = tuple(
                self._describe(artifact.hub.repository, artifact.hub.revision, path, file)
                for path, file in zip(artifact.hub.paths, artifact.files, strict=True)
            )
            sizes = [remote.size_bytes for remote in remotes]
            total_bytes = None if None in sizes else sum(size or 0 for size in sizes)
            paths: list[Path] = []
            for remote in remotes:
                before_bytes = sum(path.stat().st_size for path in paths)
                paths.append(self._transfer(remote, work, _teller(remote, before_bytes, total_bytes, report)))
            self.revision = ", ".join(sorted({remote.commit for remote in remotes}))
        return tuple(paths)

    def _require_client(self) -> None:
        """Raises Unreachable where the hub's client cannot be made as this machine is set up."""
        os.environ.update(QUIET)
        from huggingface_hub import get_session

        with usable_proxy():
            get_session()

    @property
    def _endpoint(self) -> str:
        if chosen := self._environment.get("HF_ENDPOINT"):
            return chosen.rstrip("/")
        os.environ.update(QUIET)
        from huggingface_hub import constants

        return constants.ENDPOINT

    @property
    def host(self) -> str | None:
        """The host that is asked; where it sends us for the bytes is its own affair."""
        return urlsplit(self._endpoint).hostname

    @property
    def _place(self) -> str:
        from deploy.sources.answers import without_credentials

        return f"hub at {without_credentials(self._endpoint)}"

    def _token(self) -> str | Literal[False]:
        """The user's access token. A mirror gets only one that was set for this run, never one that was saved."""
        explicit = self._environment.get("HF_TOKEN")
        if explicit or self._environment.get("HF_ENDPOINT"):
            return explicit or False
        from huggingface_hub import get_token

        return get_token() or False

    def _describe(self, repository: str, revision: str | None, path: str, file: CataloguedFile) -> Remote:
        """Ask the hub for version and size of a file. Refuses at once what the pin already rules out."""
        os.environ.update(QUIET)
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        url = hf_hub_url(repository, path, revision=revision, endpoint=self._endpoint)
        facts = get_hf_file_metadata(url, token=self._token(), timeout=METADATA_TIMEOUT_S, endpoint=self._endpoint)
        if facts.etag is None or facts.commit_hash is None:
            raise Unreachable(f"The {self._place} is not a model hub.", hint=HINT)
        _check_pin(file, facts.etag, facts.size)
        return Remote(
            url=hf_hub_url(repository, path, revision=facts.commit_hash, endpoint=self._endpoint),
            name=Path(file.name).name,
            folder=hashlib.sha256(facts.etag.encode()).hexdigest()[:16],
            size_bytes=facts.size,
            commit=facts.commit_hash,
        )

    def _transfer(self, remote: Remote, work: Path, tell: Callable[[int], None]) -> Path:
        """Fetch what is missing of a file, hashed meanwhile: a large one in ranges, where the hub gives them."""
        path = work / remote.folder / remote.name
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_unless_a_beginning(path, remote.size_bytes)
        digest = self._in_ranges(remote, path, tell) if not path.exists() else None
        if digest is None:
            digest = self._in_one_go(remote, path, tell)
        if digest is not None:
            self.seen[path] = Seen(sha256=digest, identity=identity(path))
        return path

    def _headers(self) -> dict[str, str]:
        """Redirects are followed, and the token is not sent to other hosts."""
        return {"authorization": f"Bearer {token}"} if (token := self._token()) else {}

    def _in_ranges(self, remote: Remote, path: Path, tell: Callable[[int], None]) -> str | None:
        """The file's hash, or None where it is small or the hub gives no ranges."""
        from huggingface_hub import get_session

        if remote.size_bytes is None or remote.size_bytes < LEAST_BYTES:
            return None
        order = Order(
            client=get_session(),
            url=remote.url,
            path=path,
            size_bytes=remote.size_bytes,
            tell=tell,
            refused=lambda status: self._silent(f"status {status}"),
            silent=self._silent,
            rest=time.sleep,
            headers=self._headers(),
        )
        with suppress(NoRanges):
            return fetch(order)
        return None

    def _in_one_go(self, remote: Remote, path: Path, tell: Callable[[int], None]) -> str | None:
        from huggingface_hub import constants
        from huggingface_hub.file_download import http_get

        if (remote.size_bytes or 0) > constants.MAX_HTTP_DOWNLOAD_SIZE:
            raise _too_large(remote.name)
        with Tail(path) as tail:
            with _ToldFile(path, lambda done_bytes: _both(tail, tell, done_bytes)) as file:
                have_bytes = file.tell()
                _both(tail, tell, have_bytes)
                expected = remote.size_bytes
                http_get(remote.url, file, resume_size=have_bytes, headers=self._headers(), expected_size=expected)
            return tail.hexdigest()

    @contextmanager
    def _in_our_words(self, repository: str) -> Iterator[None]:
        """Turn what the client raises into Landfast's errors."""
        os.environ.update(QUIET)
        import httpx2  # the HTTP library of the hub's client, whose errors it lets through
        from huggingface_hub.errors import HfHubHTTPError

        try:
            yield
        except HfHubHTTPError as error:
            raise self._refused(repository, error.response.status_code, type(error).__name__) from error
        except httpx2.HTTPError as error:
            raise self._silent(str(error) or type(error).__name__) from error
        except OSError as error:
            if error.errno is not None and not isinstance(error, ConnectionError):
                raise
            raise self._silent(str(error)) from error

    def _refused(self, repository: str, status: int, kind: str) -> LandfastError:
        """The error for an answer that is no file. The client names what is missing in the class of its error."""
        if kind == "GatedRepoError" or (status in UNAUTHORIZED and kind != "RepositoryNotFoundError"):
            return Unreachable(f"The hub hands out {repository} only to those who accepted its terms.", hint=TOKEN_HINT)
        if kind.endswith("NotFoundError") or status in NOT_THERE:
            return NotFound(
                f"The {self._place} has no such file in {repository}, or keeps it private.",
                hint="If the model is private or gated, set HF_TOKEN; on a mirror, it may not be mirrored.",
            )
        return self._silent(f"status {status}")

    def _silent(self, reason: str) -> Unreachable:
        cause = ERROR_NUMBER.sub("", reason.splitlines()[0])
        return Unreachable(f"The {self._place} does not answer as it should: {cause}.", hint=HINT)


class _ToldFile(io.BufferedWriter):
    """A file opened for going on at its end, which tells its length after every write."""

    def __init__(self, path: Path, tell: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(path, "ab"))
        self._tell = tell

    def write(self, buffer: "ReadableBuffer", /) -> int:
        written = super().write(buffer)
        self._tell(self.tell())
        return written


def _check_pin(file: CataloguedFile, etag: str, size_bytes: int | None) -> None:
    """Large files have their SHA-256 for a version mark: a file that was replaced need not be downloaded."""
    replaced = file.sha256 is not None and SHA256.fullmatch(etag) is not None and etag != file.sha256
    resized = file.size_exact and size_bytes is not None and size_bytes != file.size_bytes
    if replaced or resized:
        raise IntegrityError(
            f"The hub has another file under the name {file.name} than the one that the catalogue knows.",
            hint="It has been replaced. Choose another form of the model, or update Landfast for a newer catalogue.",
        )


def _both(tail: Tail, tell: Callable[[int], None], done_bytes: int) -> None:
    tail.advance(done_bytes)
    tell(done_bytes)


def _too_large(name: str) -> Unreachable:
    return Unreachable(
        f"The hub does not hand out {name} in one transfer: it is larger than 50 GB.",
        hint="Choose a form of the model that comes in parts, or install the file from a folder.",
    )


def _drop_unless_a_beginning(path: Path, size_bytes: int | None) -> None:
    """Keep earlier bytes only where it is known how many there are to be."""
    if path.is_file() and (size_bytes is None or path.stat().st_size > size_bytes):
        path.unlink()


def _teller(remote: Remote, before_bytes: int, total_bytes: int | None, report: Report) -> Callable[[int], None]:
    """Turn "so much of this file" into progress over all files."""

    def tell(done_bytes: int) -> None:
        done_bytes += before_bytes
        report(
            Progress(step="download", text=f"download {remote.name}", done_bytes=done_bytes, total_bytes=total_bytes)
        )

    return tell
