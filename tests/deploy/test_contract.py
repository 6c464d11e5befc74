"""The contract of all commands: envelope, schemas, codes. What programs rely on does not change by accident."""

import json
from collections.abc import Iterator
from typing import Any, Final

import jsonschema
import msgspec
import pytest
import typer

from deploy import cli
from deploy.errors import ExitCode, LandfastError, NotFound
from deploy.results import Result, failure, info, warning
from scripts.build_schemas import DIALECT, OF_OPTIONS, OUT, RESULTS, schema
from tests.support.cli import validate

ENVELOPE: Final = ["schema", "command", "status", "changed", "data", "messages", "errors", "exit_code"]
EXIT_CODES: Final = {
    "internal": 1,
    "usage": 2,
    "nothing-fits": 3,
    "policy": 4,
    "unreachable": 5,
    "integrity": 6,
    "incomplete": 12,
    "invalid-model": 11,
    "no-space": 7,
    "no-memory": 7,
    "not-writable": 13,
    "engine": 8,
    "not-found": 9,
    "interrupted": 130,
    "pipe-closed": 141,
}
"""Published: programs test for these. A new one is added, none is changed."""


def leaves(kind: type[LandfastError] = LandfastError) -> Iterator[type[LandfastError]]:
    """Every error of the tree."""
    yield kind
    for below in kind.__subclasses__():
        yield from leaves(below)


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[str]:
    """Names of all commands that have --json, as the schemas are named."""
    if any("--json" in parameter.opts for parameter in command.params):
        yield "-".join(words)
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*words, name))


def test_codes_and_exit_codes_are_those_that_were_published() -> None:
    """The table above against the tree."""
    told = {kind.code: int(kind.exit_code) for kind in leaves()}
    assert told | EXIT_CODES == told, "a published code is gone or has another exit code"
    assert all(kind.__doc__ for kind in leaves())


def test_every_exit_code_has_a_sentence() -> None:
    """The reference prints them."""
    assert all(code.sentence.endswith((".", "report it.")) for code in ExitCode)
    assert len({int(code) for code in ExitCode}) == len(ExitCode)


def test_the_envelope_keeps_its_keys() -> None:
    """In this order, whatever the command."""
    result = failure("plan", NotFound("There is no such model.", hint="Look again."))
    envelope = json.loads(msgspec.json.encode(result))
    assert list(envelope) == ENVELOPE
    assert envelope["schema"] == "landfast.result/1"
    assert (envelope["status"], envelope["data"], envelope["exit_code"]) == ("error", None, 9)
    assert envelope["errors"] == [{"code": "not-found", "message": "There is no such model.", "hint": "Look again."}]


def test_messages_have_a_level_and_a_text() -> None:
    """Two levels, no more."""
    result: Result[None] = Result(command="x", messages=(info("a"), warning("b")))
    told = json.loads(msgspec.json.encode(result))["messages"]
    assert told == [{"level": "info", "text": "a"}, {"level": "warning", "text": "b"}]


def test_every_command_has_a_schema() -> None:
    """A command that can print JSON says which."""
    assert set(commands(typer.main.get_command(cli.app))) | {"error"} | OF_OPTIONS == set(RESULTS)


def test_no_schema_is_left_of_a_command_that_is_gone() -> None:
    """The folder holds what the script writes and nothing else."""
    assert {path.stem for path in OUT.glob("*.json")} == set(RESULTS)


@pytest.mark.parametrize("name", sorted(RESULTS))
def test_the_shipped_schema_is_the_generated_one(name: str) -> None:
    """Run `python -m scripts.build_schemas` after a change of a result."""
    assert (OUT / f"{name}.json").read_bytes() == schema(name)


@pytest.mark.parametrize("name", sorted(RESULTS))
def test_every_schema_is_one(name: str) -> None:
    """By the rules of its dialect, and it holds the envelope."""
    rules = json.loads(schema(name))
    assert rules["$schema"] == DIALECT
    jsonschema.Draft202012Validator.check_schema(rules)
    envelope = rules["$defs"][rules["$ref"].rpartition("/")[2]]
    assert list(envelope["properties"]) == ENVELOPE


def test_the_schema_of_failures_accepts_every_failure() -> None:
    """One for each leaf of the tree, and nothing that is no envelope."""
    for kind in leaves():
        validate(json.loads(msgspec.json.encode(failure("any", kind("Cause.", hint="Cure.")))), "error")
    with pytest.raises(jsonschema.ValidationError):
        validate({"schema": "landfast.result/1", "command": "x", "status": "fine"}, "error")
