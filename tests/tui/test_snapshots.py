"""Every place in the states and sizes that matter, as text: a change of looks is a diff that can be read.

`python -m tests.tui.test_snapshots` paints all of them anew.
"""

import asyncio
import difflib
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.tui.kit import LIMIT_S, AppPilot, app_over, painted, style_map
from tests.tui.scenes import SCENES
from tui.app import LandfastApp

pytestmark = pytest.mark.no_cover

FOLDER: Final = Path(__file__).parent / "snapshots"
SIZES: Final = ((140, 40), (100, 30), (80, 24))
LOOKS: Final = {"dark": "textual-dark", "light": "textual-light", "ansi": "ansi-dark", "mono": "textual-dark"}
"""Themes by the name of the snapshot; the last one is NO_COLOR."""
PAINTED_IN_ALL_LOOKS: Final = (
    "models-empty",
    "models-simulated",
    "jobs-error",
    "policy-rules",
    "chat-answer",
    "chat-error",
    "chat-settings",
)
MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
HASH: Final = re.compile(r"[0-9a-f]{64}")
SCROLL_BAR: Final = re.compile("[▁▂▃▄▅▆▇]")
"""Its ends are parts of a letter, by lines that are out of sight, and other ones with the terminal's own colours."""
STILL: Final = 3
"""So many looks in a row must be the same."""


async def settled(pilot: AppPilot, look: Callable[[LandfastApp], str]) -> str:
    """What is on the screen when it does not change any more."""
    app, looks = pilot.app, [""]
    assert isinstance(app, LandfastApp)
    for _ in range(int(LIMIT_S / 0.02)):
        await pilot.pause(0.02)
        looks.append(look(app))
        if len(set(looks[-STILL:])) == 1:
            return looks[-1]
    raise AssertionError("it never comes to rest")


async def in_all_sizes(scene: str, home: Path) -> dict[str, str]:
    """Play one scene in the widest terminal, and make that smaller."""
    app = app_over(SCENES[scene].world(home))
    found = {}
    async with app.run_test(size=SIZES[0]) as pilot:
        await SCENES[scene].play(pilot)
        for width, height in SIZES:
            await pilot.resize_terminal(width, height)
            found[f"{scene}-{width}"] = await settled(pilot, lambda shown: steady(painted(shown)))
    return found


async def in_looks(scene: str, home: Path, looks: tuple[str, ...]) -> tuple[dict[str, str], set[str]]:
    """Play one scene and change its colours; how it is painted, and all that can be read."""
    app = app_over(SCENES[scene].world(home))
    app.theme = LOOKS[looks[0]]
    found, texts = {}, set()
    async with app.run_test(size=SIZES[-1]) as pilot:
        await SCENES[scene].play(pilot)
        for look in looks:
            app.theme = LOOKS[look]
            found[f"{scene}-{look}"] = await settled(pilot, style_map)
            texts.add(steady(painted(app)))
    return found, texts


def steady(text: str) -> str:
    """The text without what is different each time: moments, hashes, and where exactly a scroll bar ends."""
    text = SCROLL_BAR.sub(" ", HASH.sub("0" * 64, MOMENT.sub("2025-01-01 00:00:00", text)))
    return "\n".join(map(str.rstrip, text.splitlines()))


def compare(found: dict[str, str]) -> None:
    """Fail with the lines that differ from the shipped snapshots."""
    for name, now in found.items():
        file = FOLDER / f"{name}.txt"
        before = file.read_text("utf-8") if file.exists() else ""
        lines = difflib.unified_diff(before.splitlines(), now.splitlines(), f"{name} shipped", "now", lineterm="")
        assert before == now + "\n", "run `python -m tests.tui.test_snapshots`\n" + "\n".join(lines)


@pytest.mark.parametrize("scene", SCENES)
async def test_a_place_is_painted_as_shipped(scene: str, tmp_path: Path) -> None:
    """Letter by letter, at 140, 100 and 80 columns, one after the other in one terminal."""
    compare(await in_all_sizes(scene, tmp_path))


@pytest.mark.parametrize("scene", PAINTED_IN_ALL_LOOKS)
async def test_a_place_is_coloured_as_shipped(scene: str, tmp_path: Path) -> None:
    """Dark, light and with the terminal's own colours; no letter of what can be read depends on it."""
    found, texts = await in_looks(scene, tmp_path, ("dark", "light", "ansi"))
    compare(found)
    assert len(texts) == 1


@pytest.mark.parametrize("scene", PAINTED_IN_ALL_LOOKS)
async def test_a_place_is_painted_without_any_colour(
    scene: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As NO_COLOR asks."""
    monkeypatch.setenv("NO_COLOR", "1")
    found, _ = await in_looks(scene, tmp_path, ("mono",))
    compare(found)


def test_every_snapshot_belongs_to_a_scene() -> None:
    """None is left over from a scene that is gone."""
    wanted = {f"{scene}-{width}" for scene in SCENES for width, _ in SIZES}
    wanted |= {f"{scene}-{look}" for scene in PAINTED_IN_ALL_LOOKS for look in LOOKS}
    assert {file.stem for file in FOLDER.glob("*.txt")} == wanted


async def _paint_all() -> None:
    FOLDER.mkdir(exist_ok=True)
    for file in FOLDER.glob("*.txt"):
        file.unlink()
    os.environ.pop("NO_COLOR", None)
    found: dict[str, str] = {}
    for scene in SCENES:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
            found |= await in_all_sizes(scene, Path(home))
    for scene in PAINTED_IN_ALL_LOOKS:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
            found |= (await in_looks(scene, Path(home), ("dark", "light", "ansi")))[0]
    os.environ["NO_COLOR"] = "1"
    for scene in PAINTED_IN_ALL_LOOKS:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
            found |= (await in_looks(scene, Path(home), ("mono",)))[0]
    for name, now in found.items():
        (FOLDER / f"{name}.txt").write_text(now + "\n", "utf-8")


if __name__ == "__main__":
    asyncio.run(_paint_all())
    sys.exit(0)
