"""Writes one section of BENCHMARKS.md and leaves the others as they are."""

import datetime as dt
import platform
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "BENCHMARKS.md"
OPENING = "# Benchmarks\n\nEvery section is written by the script that it names. Timings are noisy: read the ratios.\n"


def write_section(name: str, body: str) -> None:
    """Replace the section between its markers, or add it, and print it."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    script = f"scripts/bench/{name.replace('-', '_')}.py"
    machine = f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    section = f"{begin}\n## {name}\n\n`{script}`, {dt.date.today()}, {machine}.\n\n{body}\n{end}"  # noqa: DTZ011 - local day
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else OPENING
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    found = pattern.search(text)
    text = text[: found.start()] + section + text[found.end() :] if found else f"{text.rstrip()}\n\n{section}\n"
    PAGE.write_text(text, encoding="utf-8")
    print(body)
