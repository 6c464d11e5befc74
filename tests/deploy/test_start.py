"""Ctrl-C is heard from the first moment, and answered with a sentence."""

import json
import subprocess
import sys
from typing import Final

import pytest

from deploy.errors import ExitCode
from tests.support.cli import ROOT

INTERRUPTED: Final = """
import os, signal, sys

wanted = sys.argv.pop(1)

class WhenLoading:
    def find_spec(self, name, path=None, target=None):
        if name == wanted:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, WhenLoading())
from deploy.start import main
sys.exit(main())
"""
LOADED: Final = ["deploy.cli", "typer", "deploy.errors", "deploy.edge", "deploy.commands.version"]
"""From the very first to what only the command itself loads."""


def interrupted(module: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command that gets Ctrl-C while it loads this module."""
    return subprocess.run(
        [sys.executable, "-c", INTERRUPTED, module, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("module", LOADED)
def test_ctrl_c_while_it_starts_is_a_sentence(module: str) -> None:
    """No traceback, and the usual exit code."""
    done = interrupted(module, "version")
    assert done.returncode == ExitCode.INTERRUPTED
    assert done.stderr.startswith("Error: Stopped")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_programs_get_an_envelope_even_then() -> None:
    """With --json a failure has one form, however early it comes."""
    envelope = json.loads(interrupted("typer", "version", "--json").stdout)
    assert envelope["errors"][0]["code"] == "interrupted"


def test_without_ctrl_c_the_command_runs() -> None:
    """And afterwards Ctrl-C has its usual handler."""
    done = interrupted("no.such.module", "version")
    assert done.returncode == ExitCode.DONE
    check = "import signal, deploy.cli, deploy.start; deploy.cli.main = lambda: 0; deploy.start.main(); "
    check += "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=True, timeout=60)
