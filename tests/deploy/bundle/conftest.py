"""One host that makes bundles, and one bundle of it, for all tests of this folder."""

from pathlib import Path

import pytest

from deploy.commands.context import Context
from tests.deploy.bundle.kit import bundled, maker


@pytest.fixture(scope="session")
def made_by(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A connected host."""
    return maker(tmp_path_factory.mktemp("maker"))


@pytest.fixture(scope="session")
def bundle(made_by: Context, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of all its models. Whoever spoils it spoils a copy."""
    return bundled(made_by, tmp_path_factory.mktemp("media") / "bundle")
