"""Writes the rule table of docs/policy.md from the table in the code.

python -m scripts.build_policy_doc
"""

import re
from pathlib import Path
from typing import Final

from deploy.policy.rules import PLACE_PROPERTIES, PROPERTIES, REQUIREMENTS

OUT: Final = Path(__file__).resolve().parents[1] / "docs" / "policy.md"
_SECTION: Final = re.compile(r"(<!-- rules: begin -->\n).*?(<!-- rules: end -->)", re.DOTALL)


def rules() -> str:
    """Both tables as Markdown."""
    lines = ["| In `[allow]` and `[deny]` | Asked of | Meaning | Example |", "| --- | --- | --- | --- |"]
    for one in PROPERTIES:
        of = "places" if one.name in PLACE_PROPERTIES else "models"
        lines.append(f"| `{one.name}` | {of} | {one.meaning} | `{one.example}` |")
    lines += ["", "| In `[require]` | Asked of | Meaning | Example |", "| --- | --- | --- | --- |"]
    for rule in REQUIREMENTS:
        of = "models" if rule.judge else "places" if rule.judge_place else "conversations" if rule.keeping else "runs"
        lines.append(f"| `{rule.name}` | {of} | {rule.meaning} | `{rule.example}` |")
    return "\n".join(lines) + "\n"


def with_rules(text: str) -> str:
    """The document with the tables of today."""
    return _SECTION.sub(lambda found: f"{found[1]}{rules()}{found[2]}", text)


def main() -> None:
    """Write the tables into the document."""
    OUT.write_text(with_rules(OUT.read_text("utf-8")), "utf-8")
    print(f"{OUT} is up to date")


if __name__ == "__main__":
    main()
