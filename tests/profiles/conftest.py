"""Recorded machines, laid out as the kernel's file trees or played back."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from profiles.world import LiveWorld, World

FIXTURES = Path(__file__).parent / "fixtures"

Texts = dict[str, str]


@pytest.fixture
def recorded() -> Callable[[str], Texts]:
    """Give the recorded files of a machine by name: path to text."""

    def read(name: str) -> Texts:
        files: Texts = json.loads((FIXTURES / f"{name}.json").read_text())["files"]
        return files

    return read


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[Texts], World]:
    """Lay files out under a temporary folder and give the world that a probe is to read."""

    def lay_out(files: Texts) -> World:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return LiveWorld(tmp_path)

    return lay_out
