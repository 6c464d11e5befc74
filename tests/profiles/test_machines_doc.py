"""The page of recorded machines is what the profiler says now."""

from pathlib import Path

from scripts.build_machines_doc import page

SHIPPED = Path(__file__).parents[2] / "docs" / "machines.md"


def test_the_page_of_machines_is_current() -> None:
    """Whoever changes a probe or the budget writes the page anew and looks at what changed."""
    assert SHIPPED.read_text(encoding="utf-8") == page(), "run `python -m scripts.build_machines_doc`"
