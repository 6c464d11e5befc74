"""Policy files: what is not understood stops everything, with the line named."""

import datetime as dt
from pathlib import Path

import pytest

from deploy.errors import NotFound, PolicyRefused
from deploy.policy.document import parse, read_document
from deploy.policy.rules import PROPERTIES, REQUIREMENTS, RULES

HERE = Path("policy.toml")
DOCS = Path(__file__).resolve().parents[3] / "docs"

WHOLE = """
name = "Example"

[allow]
licence = ["Apache-2.0", "MIT"]

[deny]
country = ["XX"]

[require]
size_at_most = "1.5GB"
released_from = 2024-01-31
capabilities = ["tools"]
pinned = true

[unknown]
default = "admit"
capabilities = "deny"
"""


def test_every_kind_of_rule_is_read() -> None:
    """Lists, sizes, dates and yes, and what happens in doubt."""
    document = parse(WHOLE, HERE)
    assert document.name == "Example"
    assert document.rules == {
        "allow.licence": ("Apache-2.0", "MIT"),
        "deny.country": ("XX",),
        "require.size_at_most": 1_500_000_000,
        "require.released_from": dt.date(2024, 1, 31),
        "require.capabilities": ("tools",),
        "require.pinned": True,
    }
    assert [document.doubt(name) for name in ("capabilities", "country")] == ["deny", "admit"]


def test_what_nobody_decided_is_denied_in_doubt() -> None:
    """The safe default."""
    assert parse("", HERE).doubt("country") == "deny"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[allow]\nlicence = [", 2, "not valid TOML"),
        ("a = = 1", 1, "not valid TOML"),
        ("[allow]\n\nlicense = ['MIT']", 3, "no rule allow.license"),
        ("[allow]\nlicence = 'MIT'", 2, "list of texts"),
        ("[allow]\nlicence = []", 2, "list of texts"),
        ("[deny]\ncountry = [1]", 2, "list of texts"),
        ("[require]\nsize_at_most = '20 parsecs'", 2, "a size"),
        ("[require]\nsize_at_most = -1", 2, "a size"),
        ("[require]\nreleased_from = 'soon'", 2, "a date"),
        ("[require]\nreleased_from = 2024-01-01T00:00:00", 2, "a date"),
        ("[require]\npinned = false", 2, "leave the line out"),
        ("[require]\npinned = true\ncapabilities = ['magic']", 3, "no capability 'magic'"),
        ("[unknown]\ncountry = 'maybe'", 2, '"deny" or "admit"'),
        ("[unknown]\nweather = 'deny'", 2, "nothing called 'weather'"),
        ("\n[permit]\nlicence = ['MIT']", 2, "no section 'permit'"),
        ("allow = ['MIT']", 1, "no section 'allow'"),
        ("\nname = 5", 2, "name must be a text"),
        ("[allow.licence]\nx = ['MIT']", 1, "list of texts"),
    ],
)
def test_a_mistake_is_refused_with_its_line(text: str, line: int, words: str) -> None:
    """A rule that is misspelt must never be passed over: it would allow what its writer forbade."""
    with pytest.raises(PolicyRefused, match=rf"policy\.toml, line {line}: .*{words}") as caught:
        parse(text, HERE)
    assert caught.value.hint


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """As are files that cannot be read."""
    path = tmp_path / "policy.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyRefused, match="not UTF-8"):
        read_document(path)
    with pytest.raises(PolicyRefused, match="cannot be read"):
        read_document(tmp_path)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    """Somebody named it, so it must be there."""
    with pytest.raises(NotFound, match="no policy file"):
        read_document(tmp_path / "none.toml")


def test_every_rule_of_the_table_can_be_written_as_its_example() -> None:
    """The documentation's examples are valid values."""
    for rule in REQUIREMENTS:
        assert parse(f"[require]\n{rule.name} = {rule.example}", HERE).rules
    for one in PROPERTIES:
        for section in ("allow", "deny"):
            assert f"{section}.{one.name}" in parse(f"[{section}]\n{one.name} = {one.example}", HERE).rules
    assert len(set(RULES)) == len(RULES) == 2 * len(PROPERTIES) + len(REQUIREMENTS)


@pytest.mark.parametrize("path", sorted((DOCS / "policies").glob("*.toml")), ids=lambda path: path.stem)
def test_the_examples_are_valid(path: Path) -> None:
    """An example that does not load teaches the wrong thing."""
    document = read_document(path)
    assert document.rules
    assert document.name != str(path)
    assert path.name in (DOCS / "policy.md").read_text("utf-8")


def test_the_documentation_lists_the_rules_of_the_code() -> None:
    """`python -m scripts.build_policy_doc` was run after the last change of the table."""
    from scripts.build_policy_doc import OUT, with_rules

    text = OUT.read_text("utf-8")
    assert with_rules(text) == text
    assert all(f"`{one.name}`" in text for one in (*PROPERTIES, *REQUIREMENTS))
