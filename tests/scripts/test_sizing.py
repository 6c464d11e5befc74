"""The page for those who size hosts."""

from scripts.build_sizing_doc import ROOT, page


def test_the_page_is_what_is_chosen_now() -> None:
    """Whoever renews the goldens renews the page."""
    assert (ROOT / "docs" / "sizing.md").read_text("utf-8") == page(), "run `python -m scripts.build_sizing_doc`"
