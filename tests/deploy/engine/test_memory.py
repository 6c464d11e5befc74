"""What the engine process says of its memory is of that process alone."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deploy.engine.memory import peak_resident_bytes, resident_bytes

REPOSITORY = Path(__file__).parents[3]
CODE = "from deploy.engine import memory; print(memory.resident_bytes(), memory.peak_resident_bytes())"


def test_resident_memory_is_the_systems_own_figure() -> None:
    """Within the few pages that come and go."""
    assert resident_bytes() == pytest.approx(psutil.Process().memory_info().rss, rel=0.05)
    assert peak_resident_bytes() >= resident_bytes() * 0.95


def test_a_large_parent_is_not_counted() -> None:
    """A child of a process with much memory begins small, and so does its peak."""
    ballast = bytearray(b"x" * (200 << 20))
    done = subprocess.run([sys.executable, "-c", CODE], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert len(ballast) == 200 << 20
    assert all(0 < int(figure) < 100 << 20 for figure in done.stdout.split())
