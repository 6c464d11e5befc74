"""The one short request that tells whether a server answers."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.sources.answers import Answer, folder_answers, http_answers, within, without_credentials
from tests.deploy.sources.kit import HubWorld


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("status", "reachable"), [(200, True), (401, True), (404, True), (500, True), (502, False), (407, False)]
)
def test_any_answer_of_the_server_itself_counts(hub_world: HubWorld, status: int, *, reachable: bool) -> None:
    """A refusal is an answer; a proxy that could not get through is none."""
    hub_world.status = status
    assert http_answers(hub_world.url + "/", 5).reachable is reachable


def test_a_server_that_says_nothing_costs_no_more_than_the_time(silent_port: int) -> None:
    """A silent server is unreachable after the time that was given."""
    begin = time.monotonic()
    answer = http_answers(f"http://127.0.0.1:{silent_port}/", 0.2)
    assert not answer.reachable
    assert time.monotonic() - begin < 10


def test_a_call_that_hangs_is_given_up() -> None:
    """Name look-ups and dead mounts know no time limit of their own."""
    silent = Answer(reachable=False, reason="nothing")
    given_up = threading.Event()

    def late() -> Answer:
        given_up.wait(30)
        return Answer(reachable=True, reason="late")

    begin = time.monotonic()
    assert within(0.05, late, silent) is silent
    assert time.monotonic() - begin < 10
    given_up.set()


def test_what_is_no_web_address_is_unreachable() -> None:
    """A mistyped address gives a reason and no exception."""
    for place in ("ftp://x.invalid/", "localhost", "http://[::1", "http://127.0.0.1:99999/"):
        answer = http_answers(place, 1)
        assert not answer.reachable
        assert answer.reason


def test_a_proxy_that_is_configured_is_used(hub_world: HubWorld) -> None:
    """The request goes to the proxy, even for a host that does not exist."""
    answer = http_answers("http://index.invalid/", 5, proxies={"http": hub_world.url})
    assert answer.reachable


def test_credentials_are_taken_out_of_an_address() -> None:
    """Everything else of the address stays."""
    assert without_credentials("https://me:pw@h.invalid:8/a?b#c") == "https://h.invalid:8/a?b#c"
    assert without_credentials("https://h.invalid/a") == "https://h.invalid/a"


def test_a_folder_that_cannot_be_looked_at_is_no_answer(tmp_path: Path) -> None:
    """With the reason, and nothing on the screen: as where the system refuses the name, or the way to it."""
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for path, reason in ((tmp_path, "is there"), (tmp_path / "no", "is not there"), (tmp_path / "circle", "cannot be")):
        answer = folder_answers(path, 5)
        assert answer.reachable is (path == tmp_path)
        assert reason in answer.reason
    assert "name too long" in folder_answers(tmp_path / ("long" * 100), 5).reason
