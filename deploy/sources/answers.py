"""Whether a server or a folder answers, told within its time whatever the network does."""

import http.client
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Final

import msgspec

NOT_THE_SERVER: Final = frozenset({
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
})  # fmt: skip
"""Statuses by which a proxy says that it could not get through."""


CREDENTIALS: Final = re.compile(r"^(\w+://)[^/?#]*@")


class Answer(msgspec.Struct, frozen=True):
    """Whether something answered, and in which words to say so."""

    reachable: bool
    reason: str


def within(timeout_s: float, ask: Callable[[], Answer], silent: Answer) -> Answer:
    """Run `ask`, but return `silent` when the time is over: name look-ups and dead mounts know no time limit."""
    box: Queue[Answer] = Queue()
    Thread(target=lambda: box.put(ask()), daemon=True, name="landfast-reach").start()
    try:
        return box.get(timeout=timeout_s)
    except Empty:
        return silent


def folder_answers(path: Path, timeout_s: float) -> Answer:
    """Look whether a folder, or a file, is there. A dead network share counts as absent when the time is over."""

    def look() -> Answer:
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return Answer(reachable=False, reason=f"{path} is not there")
        except OSError as error:
            return Answer(reachable=False, reason=f"{path} cannot be used: {error.strerror}")
        return Answer(reachable=True, reason=f"{path} is there")

    silent = Answer(reachable=False, reason=f"{path} gave no answer within {timeout_s:g} s")
    return within(timeout_s, look, silent)


def http_answers(
    url: str, timeout_s: float, *, proxies: Mapping[str, str] | None = None, certificates: str | None = None
) -> Answer:
    """Send one HEAD request. Any answer of the server counts, whatever its status; credentials are never sent.

    A certificate that is not trusted here counts as an answer: the client that downloads has its own trust
    store and decides for itself.
    """
    place = without_credentials(url)
    silent = Answer(reachable=False, reason=f"{place} gave no answer within {timeout_s:g} s")
    return within(timeout_s, lambda: _head(place, timeout_s, proxies, certificates), silent)


def without_credentials(url: str) -> str:
    """The address without the user name and password that it may hold."""
    return CREDENTIALS.sub(r"\1", url)


def _head(place: str, timeout_s: float, proxies: Mapping[str, str] | None, certificates: str | None) -> Answer:
    if not place.startswith(("http://", "https://")):
        return Answer(reachable=False, reason=f"{place} is not a web address")
    try:
        opener = _opener(proxies, certificates)
        with opener.open(urllib.request.Request(place, method="HEAD"), timeout=timeout_s):  # noqa: S310 - scheme checked above
            return Answer(reachable=True, reason=f"{place} answers")
    except urllib.error.HTTPError as error:
        with error:
            return Answer(
                reachable=error.code not in NOT_THE_SERVER, reason=f"{place} answers with status {error.code}"
            )
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _no_answer(place, error)


def _opener(proxies: Mapping[str, str] | None, certificates: str | None) -> urllib.request.OpenerDirector:
    trust = ssl.create_default_context(cafile=certificates)
    handlers = [urllib.request.ProxyHandler(None if proxies is None else dict(proxies))]
    return urllib.request.build_opener(*handlers, urllib.request.HTTPSHandler(context=trust))


def _no_answer(place: str, error: Exception) -> Answer:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Answer(reachable=True, reason=f"{place} answers; its certificate is checked by the download")
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return Answer(reachable=False, reason=f"{place} does not answer: {text or type(cause).__name__}")
