"""Documentation says what the program does, or the build fails."""

import re
import shlex
from pathlib import Path

import pytest

from scripts.build_docs import commands, reference

ROOT = Path(__file__).parents[1]
SHELL_BLOCK = re.compile(r"```(?:console|sh)\n(.*?)```", re.DOTALL)


def test_reference_is_generated_from_the_program() -> None:
    """The page of commands, options and codes is the one that the program gives now."""
    shipped = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert shipped == reference(), "run `python -m scripts.build_docs`"


def written_commands() -> list[tuple[str, str]]:
    """Every `landfast ...` line in a shell block of the documentation, with its page."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [
        (page.name, line.removeprefix("$ ").split(" | ")[-1 if " | landfast" in line else 0])
        for page in pages
        for block in SHELL_BLOCK.findall(page.read_text(encoding="utf-8"))
        for line in block.splitlines()
        if re.match(r"(\$ )?(.* \| )?landfast ", line)
    ]


@pytest.mark.parametrize(("page", "line"), written_commands())
def test_every_command_in_the_documentation_exists(page: str, line: str) -> None:
    """A reader can type what a page shows."""
    words = tuple(shlex.split(line.split(">", maxsplit=1)[0], comments=True)[1:])
    known = set(commands())
    assert words[:1] in known or words[0].startswith("-"), f"{page}: {line}"


def test_readme_names_the_two_commands() -> None:
    """A newcomer finds both scripts at the top."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "scripts/quickstart.sh" in text
    assert "scripts/test.sh" in text
