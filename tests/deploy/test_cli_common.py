"""What the parts of the command line share."""

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from deploy.cli_common import expand_options, require_one_or_all, size_of, tokens
from deploy.errors import UsageError


@dataclass(frozen=True)
class Shared:
    """Two options of several commands."""

    colour: Annotated[str, typer.Option("--colour")] = "red"
    count: Annotated[int, typer.Option("--count", min=1)] = 1


@expand_options
def paint(what: Annotated[str, typer.Argument()], *, first: bool = False, shared: Shared, last: int = 0) -> None:
    """Paint it."""
    print(what, first, shared, last)  # noqa: T201 - what the test reads


def test_a_group_of_options_stands_in_the_place_of_its_parameter() -> None:
    """In the order of the help; the docstring is the command's own."""
    assert list(inspect.signature(paint).parameters) == ["what", "first", "colour", "count", "last"]
    assert paint.__doc__ == "Paint it."


def test_a_group_of_options_comes_to_the_command_as_one_object() -> None:
    """What is given and what is not; a limit of an option holds."""
    app = typer.Typer()
    app.command()(paint)
    run = CliRunner().invoke
    assert run(app, ["door", "--count", "3", "--first"]).output == "door True Shared(colour='red', count=3) 0\n"
    assert run(app, ["door", "--colour", "blue", "--last", "7"]).output == (
        "door False Shared(colour='blue', count=1) 7\n"
    )
    assert run(app, ["door", "--count", "0"]).exit_code == 2


@pytest.mark.parametrize(("one", "everything"), [(None, False), ("x", True), (7, True)])
def test_one_thing_or_all_of_them(one: object, everything: bool) -> None:  # noqa: FBT001 - a case
    """Neither, and both, are mistakes that nothing should be deleted for."""
    with pytest.raises(UsageError, match="Either the name or --all"):
        require_one_or_all(one, "the name", everything=everything, listed_by="landfast list")


def test_sizes_and_contexts_name_the_option_that_is_wrong() -> None:
    """A number alone is bytes; everything else is refused by the option's name, or by the parser."""
    assert size_of("1000000", "--part-size") == 1_000_000
    assert size_of("1.5GB", "--part-size") == 1_500_000_000
    with pytest.raises(UsageError, match="--part-size big is not a size"):
        size_of("big", "--part-size")
    with pytest.raises(UsageError, match="--part-size 10 is too small"):
        size_of("10", "--part-size", 1000)
    with pytest.raises(typer.BadParameter, match="not a context of 256 tokens"):
        tokens("10")
