"""Documentation says what the program does, or the build fails."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from scripts.build_docs import commands, reference

pytestmark = pytest.mark.no_cover

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


def named_places() -> list[tuple[str, str]]:
    """Every `file.py:name` on the page about the design."""
    return re.findall(r"`([\w/]+\.py)(?::(\w+))?`", (ROOT / "docs" / "design.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("file", "name"), named_places())
def test_the_design_names_what_is_there(file: str, name: str) -> None:
    """The ways that it describes can be followed in the code."""
    code = (ROOT / file).read_text(encoding="utf-8")
    assert not name or re.search(rf"^(?:def|class) {name}\b", code, re.MULTILINE)


def test_the_design_lists_every_layer_in_its_order() -> None:
    """The contract that is enforced, and the table that people read, are the same."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = next(one["layers"] for one in settings["contracts"] if one["name"].startswith("Inside deploy"))
    enforced = [part.strip().removeprefix("deploy.") for layer in layers for part in layer.split("|")]
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    table = page[page.index("| Layer") : page.index("The contracts in")]
    families = ("cli_", "edge_", "render_")  # named by a pattern
    assert re.findall(r"`(\w+)/?`", table) == [name for name in enforced if not name.startswith(families)]


def test_readme_names_the_two_commands() -> None:
    """A newcomer finds both scripts at the top."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "scripts/quickstart.sh" in text
    assert "scripts/test.sh" in text
