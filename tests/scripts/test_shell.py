"""Every shell script is well formed."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

REPOSITORY: Final = Path(__file__).parents[2]
SCRIPTS: Final = [*sorted((REPOSITORY / "scripts").glob("*.sh")), REPOSITORY / ".ci/run"]
BASH: Final = shutil.which("bash")
SHELLCHECK: Final = shutil.which("shellcheck")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
@pytest.mark.skipif(BASH is None, reason="The scripts are for bash.")
def test_bash_can_read_it(script: Path) -> None:
    """No script has a syntax error."""
    done = subprocess.run([str(BASH), "-n", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
@pytest.mark.skipif(SHELLCHECK is None, reason="shellcheck is not installed.")
def test_shellcheck_finds_nothing(script: Path) -> None:
    """No script has one of the mistakes that shellcheck knows."""
    done = subprocess.run(
        [str(SHELLCHECK), "-x", script.name], cwd=script.parent, capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
