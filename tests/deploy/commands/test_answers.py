"""Schemas are bounded before the engine sees them, and answers are held against them."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from deploy.commands.answers import problem_of, read_schema
from deploy.errors import NotFound, UsageError

CITY: Final = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "next": {"$ref": "#"}},
    "required": ["city"],
    "multipleOf": 3,
}


def written(tmp_path: Path, schema: Any) -> Path:
    """A file with this schema."""
    path = tmp_path / "schema.json"
    path.write_text(schema if isinstance(schema, str) else json.dumps(schema))
    return path


def test_a_schema_is_read(tmp_path: Path) -> None:
    """With references into itself."""
    assert json.loads(read_schema(written(tmp_path, CITY))) == CITY


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ("{", "not JSON"),
        ("[" * 30_000, "not JSON"),
        ("[]", "it is not an object"),
        (" " * 70_000, "more than the allowed 65,536 bytes"),
        ({"items": {"type": 7}}, "items.type: 7 is not valid"),
        (json.loads('{"items":' * 30 + "{}" + "}" * 30), "more than 24 deep"),
        ({"enum": [[] for _ in range(2100)]}, "more than 2,000 parts"),
        ({"$ref": "other.json"}, "leads out of the file"),
        ({"$dynamicRef": "http://127.0.0.1:9/x"}, "leads out of the file"),
        ({"$ref": "#/nowhere"}, "leads nowhere"),
        ({"$ref": "#"}, "leads to itself"),
        ({"maxLength": 10**6}, "1,000,000 characters or items"),
        ({"allOf": [{"maxLength": 2000}] * 5}, "add up to 10,000"),
        ({"pattern": "^" + "a" * 300 + "$"}, "pattern"),
        ({"pattern": "^a{1,5000}$"}, "pattern"),
        ({"minimum": -1e18}, "beyond 1e"),
    ],
)
def test_a_schema_that_could_cost_too_much_is_refused(schema: Any, why: str, tmp_path: Path) -> None:
    """With a reason, before a model is loaded."""
    with pytest.raises(UsageError, match=why):
        read_schema(written(tmp_path, schema))


def test_no_more_of_a_schema_is_read_than_is_allowed() -> None:
    """A file without an end is refused like one that is too large."""
    with pytest.raises(UsageError, match="more than the allowed"):
        read_schema(Path("/dev/zero"))


def test_an_absent_schema_is_named(tmp_path: Path) -> None:
    """By its path."""
    with pytest.raises(NotFound, match=r"none\.json"):
        read_schema(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("answer", "ended", "why"),
    [
        ('{"city": "Bern"}', "stop", None),
        ('{"city": "Bern", "next": {"city": 7}}', "stop", "at next.city: 7 is not of type"),
        ("{}", "stop", "at the whole: 'city' is a required property"),
        ("Bern", "stop", "is not JSON"),
        ('{"city": "Be', "length", r"too early \(length\)"),
    ],
)
def test_an_answer_is_held_against_its_schema(answer: str, ended: str, why: str | None) -> None:
    """Also against the rules that the engine's grammar does not know."""
    problem = problem_of(answer, ended, json.dumps(CITY))
    assert (problem is None) is (why is None)
    if problem is not None and why is not None:
        with pytest.raises(type(problem), match=why):
            raise problem


def test_no_schema_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that gives itself an address may then refer to nothing: the answer counts as not checked."""
    monkeypatch.setattr("urllib.request.urlopen", lambda *_: pytest.fail("the network was asked"))
    addressed = {"$id": "http://127.0.0.1:9/b", "$ref": "#/$defs/text"}
    schema = {"properties": {"a": addressed}, "$defs": {"text": {}}}
    problem = problem_of('{"a": 1}', "stop", read_schema(written(tmp_path, schema)))
    assert problem is not None
    assert "cannot be checked" in problem.message
