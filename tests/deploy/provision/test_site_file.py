"""A site file is understood in full, or refused with the line."""

from pathlib import Path

import pytest

from deploy.errors import LandfastError, NotFound, PolicyRefused, UsageError
from deploy.provision.site_file import SiteFile, line_of, read_site
from tests.deploy.provision.kit import site

FULL = """
schema = "landfast.site/1"

[require]
landfast = "0.1.0"
engine = "0.3.36"

[[models]]
best = "code"
context = "32k"
min_speed = 10
language = "de"
users = 2

[[models]]
name = "qwen3-8b:Q4_K_M"

[store]
scope = "system"

[users]
group = "landfast"
members = ["anna", "ben"]
service_account = "landfast"

[policy]
name = "Bank"          # as auditors know it

[policy.allow]
licence = ["Apache-2.0"]

[sources]
order = ["bundle", "mirror", "package index"]
bundle = "bundle"
mirror = "https://models.example.lan/"
trusted_keys = []
max_rate = "20MB"

[journal]
required = true

[retention]
journal_days = 365
old_models = 1
unlisted = "remove"

[drift]
timer = "daily"
"""


def read(folder: Path, text: str) -> SiteFile:
    """Read a site file with this text."""
    return read_site(Path(site(folder, text)))


def refusal(folder: Path, text: str, kind: type[LandfastError] = UsageError) -> LandfastError:
    """How a site file with this text is refused."""
    with pytest.raises(kind) as caught:
        read(folder, text)
    return caught.value


def test_everything_that_can_be_said_is_understood(tmp_path: Path) -> None:
    """Every section at once."""
    found = read(tmp_path, FULL).site
    assert [wish.text for wish in found.models] == [
        "best code, 32768 tokens, 10 tok/s, language de, 2 users",
        "qwen3-8b:Q4_K_M, 8192 tokens, 6 tok/s",
    ]
    assert found.sources.kinds == ("bundle", "mirror", "package index")
    assert found.drift is not None
    assert found.drift.timer == "daily"


def test_an_empty_file_wants_nothing(tmp_path: Path) -> None:
    """It is a valid wish, for this user, with no policy and no models."""
    found = read(tmp_path, "")
    assert (found.site.models, found.policy, found.site.store.scope) == ((), None, "user")


@pytest.mark.parametrize(
    ("text", "line", "said", "hint"),
    [
        ("[[models]]\nbset = 'code'\n", 2, "there is no bset in [models]", "Did you mean best?"),
        ("[store]\nscope = 'user'\n\n[polciy]\n", 4, "there is no polciy", "Did you mean policy?"),
        (
            "[[models]]\nname = 'a'\n[[models]]\nname = 'b'\nspeed = 3\n",
            5,
            "there is no speed in [models]",
            "min_speed",
        ),
        ("[drift]\nzzz = 1\n", 2, "there is no zzz in [drift]", "There are timer."),
        ("[[models]]\nname = 'a'\n[[models]]\nname = 3\n", 4, "models.name: expected", ""),
        ("[[models]]\nname = 'a'\ncontext = '3'\n", 1, "not a context of 256 tokens", ""),
        ("[[models]]\ncontext = '32k'\n", 1, "either name or best", ""),
        ("[store]\nscope = 'usr'\n", 2, "store.scope: invalid enum value", ""),
        ("[retention]\njournal_days = 0\n", 2, "retention.journal_days: expected `int` >= 1", ""),
        ("[sources]\norder = ['bundle']\n", 1, "bundle does not say where it is", ""),
        ("[drift]\ntimer = 'daily'\n", 1, "[drift] needs a store of the whole host", ""),
        ("[[models]]\nname = 'a'\n[[models]]\nname = 'a'\n", 1, "listed twice", ""),
        ("models = 3 3\n", 1, "not valid TOML", ""),
        ("policy = { allow = { licence = ['MIT'] } }\n", 1, "write the policy as sections", ""),
        ("[policy]\nfile = 'x'\nname = 'y'\n", 2, "[policy] has either file", ""),
        ("[policy]\nfile = 'nowhere.toml'\n", 2, "cannot be read", ""),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, line: int, said: str, hint: str) -> None:
    """And with the nearest name, where it is one mistyped."""
    error = refusal(tmp_path, text)
    assert f"line {line}: " in error.message
    assert said in error.message
    assert hint in error.hint


def test_a_mistake_in_the_policy_is_named_by_the_site_files_line(tmp_path: Path) -> None:
    """The policy's own reader counts the lines of the site file."""
    error = refusal(tmp_path, "[[models]]\nname = 'a'\n\n[policy.deny]\ncuntry = ['X']\n", PolicyRefused)
    assert "landfast.toml, line 5: there is no rule deny.cuntry" in error.message


def test_an_inline_policy_becomes_a_policy_file(tmp_path: Path) -> None:
    """With its comments, and nothing of the rest of the site file."""
    found = read(tmp_path, FULL)
    assert found.policy is not None
    assert found.policy.decode() == (
        'name = "Bank"          # as auditors know it\n\n[allow]\nlicence = ["Apache-2.0"]\n'
    )


def test_a_policy_file_beside_the_site_file_is_taken_byte_by_byte(tmp_path: Path) -> None:
    """So that its hash is the one that was approved."""
    raw = b"# approved\r\n[deny]\r\ncountry = ['XX']\r\n"
    (tmp_path / "rules.toml").write_bytes(raw)
    assert read(tmp_path, "[policy]\nfile = 'rules.toml'\n").policy == raw


def test_no_site_file_is_said(tmp_path: Path) -> None:
    """With its path."""
    with pytest.raises(NotFound, match=r"no site file .*nowhere\.toml"):
        read_site(tmp_path / "nowhere.toml")


def test_what_is_not_text_is_said(tmp_path: Path) -> None:
    """As a file that cannot be read."""
    path = tmp_path / "landfast.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_site(path)


def test_lines_are_found_of_keys_and_of_sections() -> None:
    """A key without a line of its own has its section's."""
    text = "a = 1\n[b]\nc = 2\n[[d]]\ne = 3\n[[d]]\ne = 4\n"
    places = [("a",), ("b",), ("b", "c"), ("d", 1, "e"), ("d", 0, "zzz"), ("zzz",)]
    assert [line_of(text, place) for place in places] == [1, 2, 3, 7, 4, 1]
