"""The loopback servers as fixtures."""

from collections.abc import Iterator

import pytest

from tests.deploy.sources.kit import HubHandler, HubWorld, Index, IndexHandler, served


@pytest.fixture(autouse=True)
def _unmeasured_pip(unmeasured_children: None) -> None:
    """Pip is a large program that is none of ours, and measuring would double its time."""


@pytest.fixture
def index() -> Iterator[Index]:
    """A package index of the test's own on loopback."""
    world = Index()
    with served(IndexHandler, world) as url:
        world.url = url
        yield world
        world.go_on.set()


@pytest.fixture
def hub_world() -> Iterator[HubWorld]:
    """A model hub of the test's own on loopback."""
    world = HubWorld()
    with served(HubHandler, world) as url:
        world.url = url
        yield world
