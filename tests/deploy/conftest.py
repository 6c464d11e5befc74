"""Homes for the command line as a process."""

import shutil
from pathlib import Path

import pytest

from tests.support.cli import Landfast


@pytest.fixture
def landfast(tmp_path: Path) -> Landfast:
    """The command line in an empty home, with no source of models in reach."""
    return Landfast(tmp_path / "home")


@pytest.fixture(scope="session")
def installed_home(smollm2_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which SmolLM2 is installed, by the command line. Tests leave it as it is."""
    home = tmp_path_factory.mktemp("installed")
    done = Landfast(home)("install", "smollm2-135m-instruct", "--from", str(smollm2_path))
    assert done.returncode == 0, done.stderr
    return home


@pytest.fixture
def ready(installed_home: Path) -> Landfast:
    """The command line in the home in which SmolLM2 is installed."""
    return Landfast(installed_home)


@pytest.fixture
def own_copy(installed_home: Path, tmp_path: Path) -> Landfast:
    """The same in a home of the test's own, to change."""
    shutil.copytree(installed_home, tmp_path / "copy")
    return Landfast(tmp_path / "copy")
