"""Recorded machines, laid out as the kernel's file trees."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from profiles.probes.reading import Roots

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
def tree(tmp_path: Path) -> Callable[[Texts], Roots]:
    """Lay files out under a temporary folder and give the roots a probe is to read from."""

    def lay_out(files: Texts) -> Roots:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Roots(proc=tmp_path / "proc", sys=tmp_path / "sys")

    return lay_out
