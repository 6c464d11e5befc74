"""Where things are kept does not hang on where one happens to stand."""

import os

import pytest

from deploy.errors import UsageError
from deploy.paths import plain_name, resolve


@pytest.mark.skipif(os.name == "nt", reason="there are no folders of the whole host")
@pytest.mark.parametrize("environment", [{"LANDFAST_HOME": "here"}, {"LANDFAST_SYSTEM_ROOT": "here"}])
def test_a_relative_folder_is_refused(environment: dict[str, str]) -> None:
    """Its meaning would change with the working directory."""
    with pytest.raises(UsageError, match="relative path 'here'"):
        resolve(environment)


@pytest.mark.parametrize(
    ("text", "name"),
    [("Möbel v2.Q4_0", "mobel-v2.q4_0"), ("Čeština", "cestina"), ("模型", ""), ("../x", "x"), ("a b", "a-b")],
)
def test_a_name_is_one_on_every_system(text: str, name: str) -> None:
    """Letters keep what they are without their accents; where nothing is left the caller has a name."""
    assert plain_name(text) == name
