"""The command line as a user has it: a process of its own, with a home and a network of the test's choosing."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jsonschema

ROOT: Final = Path(__file__).parents[2]
SCHEMAS: Final = ROOT / "deploy" / "schemas"
PROGRAM: Final = "import sys; sys.argv[0] = 'landfast'; from deploy.cli import main; sys.exit(main())"
NOWHERE: Final = "http://127.0.0.1:9"
"""A port at which nothing answers."""


@dataclass(frozen=True)
class Landfast:
    """Runs commands in one home. By default no source of models answers."""

    home: Path
    more: Mapping[str, str] = field(default_factory=dict)
    """Variables beside the usual ones."""
    before: tuple[str, ...] = ()
    """What to run the program with, as `unshare --net`."""

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every command."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "LANDFAST_"))}
        shut = {
            "LANDFAST_HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": f"{NOWHERE}/simple",
            "PIP_RETRIES": "0",
            "HF_ENDPOINT": NOWHERE,
            "NO_PROXY": "127.0.0.1",
        }
        return {**kept, **shut, **self.more}

    def command(self, *words: str) -> list[str]:
        """The argument list of a command."""
        return [*self.before, sys.executable, "-P", "-c", PROGRAM, *words]

    def __call__(self, *words: str, piped: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            self.command(*words),
            input=piped,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=120,
            check=False,
        )

    def start(self, *words: str, stdin: int = subprocess.DEVNULL) -> "subprocess.Popen[str]":
        """Start a command that the test does something to."""
        return subprocess.Popen(
            self.command(*words),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )

    def json(self, *words: str, schema: str, piped: str = "") -> dict[str, Any]:
        """Run a command with --json: one envelope, valid by its shipped schema, whose code is the process's own."""
        done = self(*words, "--json", piped=piped)
        envelope: dict[str, Any] = json.loads(done.stdout)
        validate(envelope, schema)
        assert envelope["exit_code"] == done.returncode
        return envelope


def validate(envelope: object, schema: str) -> None:
    """Check an envelope by a shipped schema."""
    rules = json.loads((SCHEMAS / f"{schema}.json").read_bytes())
    jsonschema.Draft202012Validator(rules).validate(envelope)


def refused(done: "subprocess.CompletedProcess[str]", exit_code: int) -> str:
    """The sentence of a refusal: alone on standard error, with nothing on standard output and no traceback."""
    assert done.returncode == exit_code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    sentences = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(sentences) == 1, done.stderr
    return done.stderr
