"""Where things are kept does not hang on where one happens to stand."""

import os

import pytest

from deploy.errors import UsageError
from deploy.paths import resolve


@pytest.mark.skipif(os.name == "nt", reason="there are no folders of the whole host")
@pytest.mark.parametrize("environment", [{"LANDFAST_HOME": "here"}, {"LANDFAST_SYSTEM_ROOT": "here"}])
def test_a_relative_folder_is_refused(environment: dict[str, str]) -> None:
    """Its meaning would change with the working directory."""
    with pytest.raises(UsageError, match="relative path 'here'"):
        resolve(environment)
