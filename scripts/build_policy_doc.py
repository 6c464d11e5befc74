"""Writes the rule table of docs/policy.md from the table in the code.

python -m scripts.build_policy_doc
"""

import re
from pathlib import Path
from typing import Final

from deploy.policy.rules import PLACE_PROPERTIES, PROPERTIES, REQUIREMENTS, Requirement

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
        lines.append(f"| `{rule.name}` | {_asked_of(rule)} | {rule.meaning} | `{rule.example}` |")
    return "\n".join(lines) + "\n"


def _asked_of(rule: Requirement) -> str:
    """What a requirement is about."""
    asked = {
        "models": rule.judge,
        "places": rule.judge_place,
        "catalogues": rule.judge_catalogue,
        "conversations": rule.keeping,
        "sessions": rule.keeping_sessions,
        "runs": rule.recording,
    }
    return next(what for what, judge in asked.items() if judge)


def with_rules(text: str) -> str:
    """The document with the tables of today."""
    return _SECTION.sub(lambda found: f"{found[1]}{rules()}{found[2]}", text)


def main() -> None:
    """Write the tables into the document."""
    OUT.write_text(with_rules(OUT.read_text("utf-8")), "utf-8")
    print(f"{OUT} is up to date")


if __name__ == "__main__":
    main()
