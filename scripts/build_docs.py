"""Writes docs/reference.md from the program itself: every command's help, exit codes and error codes.

python -m scripts.build_docs [OUT]
"""

import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.errors import ExitCode, LandfastError

ROOT = Path(__file__).resolve().parents[1]
HELP = "import sys; sys.argv[0] = 'landfast'; from deploy.cli import main; sys.exit(main())"


def reference() -> str:
    """The whole page."""
    parts = [
        "# Reference",
        "Made by `scripts/build_docs.py` from the program; a test fails when it is out of date.",
        "## Commands",
        *(f"### {' '.join(('landfast', *words))}\n\n```text\n{help_of(words)}\n```" for words in commands()),
        "## Exit codes",
        "| Code | Name | Meaning |\n| --- | --- | --- |\n"
        + "\n".join(f"| {int(code)} | {code.name.lower().replace('_', '-')} | {code.sentence} |" for code in ExitCode),
        "## Error codes",
        "`errors[].code` in the JSON envelope.",
        "| Code | Exit code | Meaning |\n| --- | --- | --- |\n" + "\n".join(error_rows()),
    ]
    return "\n\n".join(parts) + "\n"


def commands() -> Iterator[tuple[str, ...]]:
    """All commands, groups before their members, in the order of the program's own help."""
    yield ()
    pending: list[tuple[str, ...]] = [(name,) for name in names_in(help_of(()))]
    while pending:
        words = pending.pop(0)
        yield words
        pending[:0] = [(*words, name) for name in names_in(help_of(words))]


def names_in(text: str) -> list[str]:
    """Names of the commands that a help text lists."""
    _, _, listed = text.partition("\nCommands:\n")
    lines = listed.split("\n\n")[0].splitlines()
    return [line.split()[0] for line in lines if line.startswith("  ") and not line.startswith("   ")]


@functools.cache
def help_of(words: tuple[str, ...]) -> str:
    """What the program prints for --help, 100 columns wide."""
    environment = {**os.environ, "COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HELP, *words, "--help"]
    result = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=ROOT)
    return result.stdout.strip()


def error_rows() -> Iterator[str]:
    """One row for each leaf of the error tree, base classes included."""
    pending: list[type[LandfastError]] = [LandfastError]
    while pending:
        kind = pending.pop(0)
        pending += kind.__subclasses__()
        summary = (kind.__doc__ or "").splitlines()[0]
        yield f"| {kind.code} | {int(kind.exit_code)} | {summary} |"


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "reference.md"
    target.write_text(reference(), encoding="utf-8")
