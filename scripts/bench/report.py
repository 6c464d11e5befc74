"""Sections of BENCHMARKS.md: each script owns one, between two markers, and leaves the others alone."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

BENCHMARKS: Final = Path(__file__).resolve().parents[2] / "BENCHMARKS.md"
TITLE: Final = "# Benchmarks\n\nEvery section is written by the script that it names; nothing here is typed by hand.\n"


def write_section(name: str, text: str, path: Path = BENCHMARKS) -> None:
    """Put a section in place of the earlier one of that name, or at the end."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    section = f"{begin}\n{text.strip()}\n{end}"
    whole = path.read_text("utf-8") if path.exists() else TITLE
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    written = pattern.sub(lambda _: section, whole) if pattern.search(whole) else f"{whole.rstrip()}\n\n{section}\n"
    path.write_text(written, "utf-8")


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)
