"""Every sentence of the program and of its pages: the commands it names exist, and one thing has one name."""

import ast
import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer
from typer.core import TyperGroup

from deploy.cli import app
from tests.test_docs import written_commands

ROOT: Final = Path(__file__).parents[1]
PROGRAM: Final[Any] = typer.main.get_command(app)
PAGES: Final = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
FILLED_IN: Final = "FILLED_IN"
"""Stands for what an f-string fills in."""
LEAST_COMMANDS: Final = 150
OTHER_PROGRAMS: Final = {"--quiet", "--strict"}
"""Options of sha256sum, in the instructions of the evidence."""
WORDS: Final = {
    r"\bdirectory\b(?<!home directory)(?<!temporary directory)": "folder",
    r"\bfilesystem\b": "file system",
    r"\blicenses?\b": "licence",
    r"\bcatalogs?\b": "catalogue",
    r"\bquantiz": "quantis-",
    r"\bcolor\b": "colour",
    r"\d ?t/s\b|tokens per second": "tok/s",
    r"(\d|" + FILLED_IN + r") tokens a second": "tok/s",
    FILLED_IN + r" ?(GiB|KiB)\b": "GB, MB or kB; MiB only where a limit is stated in it",
    r"\b(can|could|do|does|is|was|will|would)n't\b": "the long form: cannot, does not",
    r"\bcan be had\b|\bcannot be had\b": "installed, fetched, available",
    r"\b(take|takes|taken) away\b": "remove, or delete for files",
    FILLED_IN + r" (of \S+ )?are (free|needed|kept|planned)\b": "is: an amount is one thing",
    r"\b(go|goes) on (with|from|where|and|while)\b": "continue",
    r"\b(is|are) there already\b|\balready there\b": "already exists",
    r"\bsuccess|\bInvalid\b|\bUnable\b|\bAborted\b|\bOops\b|\bSorry\b": "what happened, in plain words",
    r"\bdoes not fit: the (statement|signature)|signature\S* (\S+ ){0,4}does not fit": "match",
}
"""What no sentence says, and what it says instead. Words between backticks are typed, not read, and are left out."""


def texts_of(tree: ast.AST) -> Iterator[str]:
    """String constants with spaces: what an f-string fills in is a placeholder, docstrings count only for commands."""
    unread = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else FILLED_IN for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in unread | parts:
            yield node.value
        elif isinstance(node, ast.FunctionDef) and node.decorator_list:
            yield ast.get_docstring(node) or ""


@functools.cache
def messages() -> list[tuple[str, str]]:
    """Every text in the three rooms that may reach a person, with the file that holds it."""
    return [
        (str(file.relative_to(ROOT)), text)
        for room in ("profiles", "deploy", "tui")
        for file in sorted((ROOT / room).rglob("*.py"))
        for text in texts_of(ast.parse(file.read_text(encoding="utf-8")))
        if " " in text.strip()
    ]


def named_commands() -> list[tuple[str, str]]:
    """Every `landfast ...` between backticks, in a shell block, or as the twin of a screen."""
    pages = [(page.name, page.read_text(encoding="utf-8")) for page in PAGES]
    quoted = [(place, line) for place, text in messages() + pages for line in re.findall(r"`(landfast [^`\n]+)`", text)]
    twins = [
        (place, f"landfast {line}")
        for place, text in messages()
        if place.startswith("tui/") and text.startswith("landfast ")
        for line in re.split(r"   (?:and   )?", text.removeprefix("landfast ").replace("   landfast ", "   "))
    ]
    return sorted({*quoted, *twins, *written_commands()})


def typed(line: str) -> list[str]:
    """The words after the program's name, as far as a shell takes them for one command."""
    command = re.split(r" (?:[<>|]|&&|2>|and|which)(?: |$)|, |; ", line)[0]
    return shlex.split(command, comments=True)[1:]


def fault_of(words: list[str]) -> str:
    """What of a command line the program would not know; empty when it knows all of it."""
    command: Any = PROGRAM
    pending = iter(words)
    for word in pending:
        if word.startswith("-") and word.lstrip("-"):
            option = next((one for one in command.params if word.split("=")[0] in one.opts), None)
            if option is None and word != "--help":
                return f"{command.name} has no option {word}"
            if option is not None and not option.is_flag and "=" not in word:
                next(pending, None)
        elif isinstance(command, TyperGroup) and not word.startswith(("…", "...", "COMMAND", FILLED_IN)):
            command = command.commands.get(word) or (command.name == "catalog" and command.commands["search"])
            if not command:
                return f"there is no command {word}"
    return ""


def test_every_command_that_is_named_can_be_typed() -> None:
    """Verbs and options of hints, labels and pages are those of the program."""
    named = named_commands()
    assert len(named) > LEAST_COMMANDS, "the search finds what is there"
    assert not [(place, line, fault) for place, line in named if (fault := fault_of(typed(line)))]


def options_of(command: Any) -> set[str]:
    """All options of a command and of those below it."""
    below = command.commands.values() if isinstance(command, TyperGroup) else ()
    own = {name for one in command.params for name in one.opts}
    return own.union(*map(options_of, below))


def test_every_option_that_is_named_exists() -> None:
    """Also where a sentence names an option without its command."""
    known = options_of(PROGRAM) | OTHER_PROGRAMS | {"--help"}
    named = {
        (place, option)
        for place, text in messages()
        if ". " in text or text.endswith(".")
        for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", re.sub(r"`(?!landfast)[^`]*`", "", text))
    }
    assert len(named) > len(known) // 2, "the search finds what is there"
    assert not [pair for pair in named if pair[1] not in known]


@pytest.mark.parametrize(("word", "instead"), WORDS.items())
def test_one_thing_has_one_name(word: str, instead: str) -> None:
    """The glossary's words, and no second ones beside them."""
    found = [
        (place, text)
        for place, text in messages()
        if re.search(word, re.sub(r"`[^`]*`", "", text)) and not text.startswith("catalog ")
    ]
    assert not found, f"say: {instead}"


def test_every_refusal_names_a_cure() -> None:
    """What is raised for people has a hint, but for those whose sentence is all there is to say."""
    bare = [
        ast.unparse(call)
        for file in sorted((ROOT / "deploy").rglob("*.py"))
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) in {"NotFound", "UsageError", "NotWritable", "Unreachable", "NotEnoughSpace"}
        and len(call.args) < 2
        and not any(keyword.arg == "hint" for keyword in call.keywords)
    ]
    assert bare == []
