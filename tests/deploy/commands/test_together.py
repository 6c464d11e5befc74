"""Several processes at one store: two installs of one model, and collections meanwhile."""

import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.sources.kit import served
from tests.deploy.sources.test_ranges import Depot, DepotHandler
from tests.support.cli import Landfast

pytestmark = [pytest.mark.index, pytest.mark.usefixtures("unmeasured_children")]


@pytest.fixture
def depot(smollm2_path: Path) -> Iterator[Depot]:
    """A web server that has the model, and takes its time."""
    world = Depot(body=smollm2_path.read_bytes(), pace_s=0.1)
    with served(DepotHandler, world) as url:
        world.url = url
        yield world


def test_two_installs_and_a_collector_at_once_download_once(depot: Depot, tmp_path: Path) -> None:
    """Both installs end well, nothing is taken away from under them, and every byte passed the network once."""
    landfast = Landfast(tmp_path, more={"LANDFAST_MIRROR": depot.url})
    words = ("install", "smollm2-135m-instruct", "--yes", "--json")
    installs = [landfast.start(*words) for _ in range(2)]
    collected = 0
    while any(one.poll() is None for one in installs):
        assert landfast("models", "gc", "--yes", "--json").returncode == 0
        collected += 1
        time.sleep(0.1)
    ended = [json.loads(one.communicate()[0]) for one in installs]
    assert [one["exit_code"] for one in ended] == [0, 0]
    assert sorted(one["changed"] for one in ended) == [False, True]
    assert depot.sent_bytes == len(depot.body)
    assert collected > 0
    listed = json.loads(landfast("models", "verify", "--json").stdout)
    assert listed["data"]["models"][0]["files"][0]["sha256"] == hashlib.sha256(depot.body).hexdigest()
    assert listed["exit_code"] == 0


def test_a_model_that_is_removed_while_it_is_installed_anew_is_either_there_or_not(
    depot: Depot, tmp_path: Path
) -> None:
    """The one that comes second waits or is told to wait; nothing half is left."""
    landfast = Landfast(tmp_path, more={"LANDFAST_MIRROR": depot.url})
    install: subprocess.Popen[str] = landfast.start("install", "smollm2-135m-instruct", "--yes")
    codes = set()
    while install.poll() is None:
        codes.add(landfast("models", "remove", "smollm2-135m-instruct", "--yes").returncode)
    assert codes <= {0, 9, 13}
    install.communicate()
    assert landfast("models", "verify").returncode == 0
    assert landfast("models", "gc", "--yes").returncode == 0
