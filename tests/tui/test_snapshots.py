"""Every place in the states and sizes that matter, as text: a change of looks is a diff that can be read.

`python -m tests.tui.test_snapshots` paints all of them anew.
"""

import asyncio
import difflib
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Final

import pytest

from tests.tui.kit import app_over
from tests.tui.scenes import SCENES, painted, style_map

FOLDER: Final = Path(__file__).parent / "snapshots"
SIZES: Final = ((80, 24), (100, 30), (140, 40))
LOOKS: Final = {"dark": "textual-dark", "light": "textual-light", "ansi": "ansi-dark", "mono": "textual-dark"}
"""Themes by the name of the snapshot; the last one is NO_COLOR."""
PAINTED_IN_ALL_LOOKS: Final = ("models-empty", "models-simulated", "jobs-error", "policy-rules")
MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
HASH: Final = re.compile(r"[0-9a-f]{64}")
CASES: Final = [(scene, size) for scene in SCENES for size in SIZES]
COLOURS: Final = [(scene, look) for scene in PAINTED_IN_ALL_LOOKS for look in LOOKS]


async def paint(scene: str, size: tuple[int, int], look: str, home: Path, *, styles: bool = False) -> str:
    """Play one scene and give what is painted, or how it is painted."""
    app = app_over(SCENES[scene].world(home))
    app.theme = LOOKS[look]
    async with app.run_test(size=size) as pilot:
        await SCENES[scene].play(pilot)
        await pilot.pause()
        return style_map(app) if styles else steady(painted(app))


def steady(text: str) -> str:
    """The text without what is different each time: moments and hashes."""
    return HASH.sub("0" * 64, MOMENT.sub("2025-01-01 00:00:00", text))


def compare(name: str, now: str) -> None:
    """Fail with the lines that differ from the shipped snapshot."""
    file = FOLDER / f"{name}.txt"
    before = file.read_text("utf-8") if file.exists() else ""
    lines = difflib.unified_diff(before.splitlines(), now.splitlines(), "shipped", "now", lineterm="")
    assert before == now + "\n", "run `python -m tests.tui.test_snapshots`\n" + "\n".join(lines)


@pytest.mark.parametrize(("scene", "size"), CASES)
async def test_a_place_is_painted_as_shipped(scene: str, size: tuple[int, int], tmp_path: Path) -> None:
    """Letter by letter, at 80, 100 and 140 columns."""
    compare(f"{scene}-{size[0]}", await paint(scene, size, "dark", tmp_path))


@pytest.mark.parametrize(("scene", "look"), COLOURS)
async def test_a_place_is_coloured_as_shipped(
    scene: str, look: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dark, light, with the terminal's own colours, and without any."""
    if look == "mono":
        monkeypatch.setenv("NO_COLOR", "1")
    compare(f"{scene}-{look}", await paint(scene, SIZES[0], look, tmp_path, styles=True))


@pytest.mark.parametrize("scene", PAINTED_IN_ALL_LOOKS)
async def test_no_theme_changes_a_letter(scene: str, tmp_path: Path) -> None:
    """What can be read does not depend on colours; only the end of a scroll bar is drawn otherwise in ANSI."""
    texts = [
        re.sub("[▁▂▃▄▅▆▇]", "", await paint(scene, SIZES[0], look, tmp_path / look))
        for look in ("dark", "light", "ansi")
    ]
    texts = ["\n".join(line.rstrip() for line in text.splitlines()) for text in texts]
    assert len(set(texts)) == 1


async def _paint_all() -> None:
    FOLDER.mkdir(exist_ok=True)
    for scene, size in CASES:
        with tempfile.TemporaryDirectory() as home:
            now = await paint(scene, size, "dark", Path(home))
        (FOLDER / f"{scene}-{size[0]}.txt").write_text(now + "\n", "utf-8")
    for scene, look in COLOURS:
        os.environ.pop("NO_COLOR", None)
        if look == "mono":
            os.environ["NO_COLOR"] = "1"
        with tempfile.TemporaryDirectory() as home:
            now = await paint(scene, SIZES[0], look, Path(home), styles=True)
        (FOLDER / f"{scene}-{look}.txt").write_text(now + "\n", "utf-8")


if __name__ == "__main__":
    asyncio.run(_paint_all())
    sys.exit(0)
