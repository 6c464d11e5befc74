"""Writes docs/sizing.md: the best model for each reference machine, out of tests/deploy/goldens.

python -m scripts.build_sizing_doc [OUT]
"""

import re
import sys
from pathlib import Path
from typing import Final

from profiles.simulated import library

ROOT: Final = Path(__file__).resolve().parents[1]
GOLDENS: Final = ROOT / "tests" / "deploy" / "goldens"
USES: Final = ("chat", "code", "reasoning")
FIRST: Final = re.compile(
    r"^(?P<use>\w+): .*\n1\. (?P<model>\S+): \S+ points, (?P<speed>\d+) tok/s, (?P<takes>.*)$", re.MULTILINE
)
HEAD: Final = """# Sizing

Made by `scripts/build_sizing_doc.py` from what is chosen on the machines of `landfast profile --list`; a test fails
when it is out of date. Each cell is the first choice for 8,192 tokens of context, with every model of the catalogue in
reach and no policy, and the speed that is forecast for it: estimated from the maker's figures, since nobody calibrated
these machines. `landfast select --machine NAME --for USE --context TOKENS` says the same with reasons, and for other
wishes.
"""


def page() -> str:
    """The whole page."""
    lines = ["| machine | " + " | ".join(USES) + " |", "| --- |" + " --- |" * len(USES)]
    lines += [_row(name, machine.origin) for name, machine in library().items()]
    return "\n".join([HEAD, *lines, ""])


def _row(name: str, title: str) -> str:
    chosen = {found["use"]: found for found in FIRST.finditer((GOLDENS / f"{name}.txt").read_text("utf-8"))}
    return f"| `{name}`<br>{title} | " + " | ".join(_cell(chosen.get(use)) for use in USES) + " |"


def _cell(found: re.Match[str] | None) -> str:
    return "none" if found is None else f"{found['model']}<br>~ {found['speed']} tok/s, {found['takes']}"


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "sizing.md"
    target.write_text(page(), encoding="utf-8")
