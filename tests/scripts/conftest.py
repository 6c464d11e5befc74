"""What it takes to install on a bare host: all wheels, a bundle of them with a real model, and the host."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.bundle import wheels
from deploy.bundle.engine_wheel import complete
from tests.support.bare_host import Host, bare_host
from tests.support.cli import ROOT, Landfast


@pytest.fixture(autouse=True)
def _unmeasured_tools(unmeasured_children: None) -> None:
    """Ansible, pip and shells are none of ours, and measuring would double the time of those that are in Python."""


@pytest.fixture(scope="session")
def kept_wheels(test_cache: Path) -> Path:
    """All wheels of the lock. The engine is the one that pip keeps: built for this processor, which is enough here."""
    kept = test_cache / "wheels"
    folder = kept / wheels._key(ROOT / wheels.LOCK)
    if not (folder / wheels.DONE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        others, engine = kept / "others.lock", kept / "engine.lock"
        entries = wheels._entries(ROOT / wheels.LOCK)
        others.write_text("\n".join(text for name, text in entries if name != wheels.ENGINE) + "\n")
        engine.write_text("\n".join(text for name, text in entries if name == wheels.ENGINE) + "\n")
        pip("download", "--only-binary=:all:", "-r", str(others), "-d", str(folder))
        pip("wheel", "--no-build-isolation", "-r", str(engine), "-w", str(folder))
        complete(next(folder.glob("llama_cpp_python-*.whl")))
        (folder / wheels.DONE).touch()
    return kept


@pytest.fixture(scope="session")
def stick(kept_wheels: Path, smollm2_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with the real model and all wheels, made by the commands of a connected host."""
    place = tmp_path_factory.mktemp("stick")
    connected = Landfast(place / "connected")
    shutil.copytree(kept_wheels, connected.home / "state" / "wheels")
    for words in (
        ("install", "smollm2-135m-instruct", "--from", str(smollm2_path)),
        ("bundle", "create", str(place / "bundle"), "--wheels"),
    ):
        done = connected(*words)
        assert done.returncode == 0, done.stderr
    return place / "bundle"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A bare host that goes away with the test."""
    with bare_host(tmp_path / "overlay") as found:
        yield found


def pip(*words: str) -> None:
    """Run pip of these tests, which is set up for the index here."""
    command = [sys.executable, "-m", "pip", words[0], "-q", "--no-deps", "--require-hashes", *words[1:]]
    subprocess.run(command, check=True)
