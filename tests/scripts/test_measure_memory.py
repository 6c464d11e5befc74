"""The measured bounds: few points, never below what the engine says."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.fit.memory import CELL_STEP, bound
from scripts.bench.report import table, write_section
from scripts.measure_memory import FIRST, OUT, Bounds, points

ROOT = OUT.parents[2]
FACTS = ROOT.parent / "shared" / "facts"


def jumping(tokens: int) -> int:
    """Bytes of an allocator that packs differently from 10,000 tokens on."""
    return 10_000_000 + 300 * tokens + (5_000_000 if tokens >= 10_000 else 0)


@given(st.integers(2, 512).map(lambda steps: steps * CELL_STEP))
def test_a_jump_is_found_and_the_line_stays_above(tokens: int) -> None:
    """At every context of 131,072: at least the engine's figure, and at most the tolerance above it."""
    found = points(jumping, 131_072, 32_768)
    assert len(found) <= 4
    assert jumping(tokens) <= bound(found, tokens) <= jumping(tokens) + 2 * 32_768


def test_a_short_context_is_one_point() -> None:
    """A model of 512 tokens has no line."""
    assert points(jumping, FIRST, 100) == ((FIRST, jumping(FIRST) + 100),)


def test_the_shipped_file_is_of_one_engine_and_sorted_by_context() -> None:
    """One line a model."""
    rows = [msgspec.json.decode(line, type=Bounds) for line in OUT.read_bytes().splitlines()]
    assert len({row.id for row in rows}) == len(rows)
    assert len({row.engine for row in rows}) == 1
    for row in rows:
        for setting in (row.f16, row.f16_without_flash, row.q8_0):
            assert [context for context, _ in setting] == sorted({context for context, _ in setting})


@pytest.mark.skipif(not FACTS.is_dir(), reason="the facts are not beside the repository")
@pytest.mark.skipif(sys.platform != "linux", reason="exact sizes are read through the x86-64 Linux calling convention")
@pytest.mark.parametrize("model_id", ["gemma-3-270m-it", "qwen3-8b", "gpt-oss-20b", "lfm2-1.2b"])
def test_a_plan_is_never_below_a_fresh_dry_run(model_id: str) -> None:
    """At 4,096, 32,768 and the longest context, in every setting, within two per cent."""
    command = [sys.executable, "-m", "scripts.bench.memory", "child", str(FACTS), model_id]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    deviations = json.loads(done.stdout)
    assert deviations
    for name, context, setting, planned, real in deviations:
        assert real <= planned <= 1.02 * real, (name, context, setting)


def test_a_section_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    """Each script owns its own part of BENCHMARKS.md."""
    path = tmp_path / "BENCHMARKS.md"
    write_section("one", "first", path)
    write_section("two", table(("A", "B"), [(1, 2)]), path)
    write_section("one", r"again \1", path)
    text = path.read_text("utf-8")
    assert r"again \1" in text
    assert "first" not in text
    assert "| 1 | 2 |" in text
    assert text.index("one: begin") < text.index("two: begin")
