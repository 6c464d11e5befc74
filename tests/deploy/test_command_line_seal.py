"""Seal, audit and journal as a user meets them at the command line."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import psutil
import pytest

from deploy.errors import ExitCode
from tests.support.cli import Landfast, refused

pytestmark = [
    pytest.mark.engine,
    pytest.mark.index,
    pytest.mark.skipif(sys.platform != "linux", reason="the seal is verified on Linux"),
]

SHORT: Final = ("--temperature", "0", "--max-tokens", "12", "--context", "512")


def test_a_run_is_sealed_and_says_so(ready: Landfast) -> None:
    """Without any option, with the level and the version of Landlock."""
    data = ready.json("run", "Hello", *SHORT, schema="run")["data"]
    assert data["sealed"] is True
    assert data["seal"]["level"] in {"full", "two-stage"}
    assert data["seal"]["filter_sha256"]


def test_unsealed_needs_the_administrator(ready: Landfast) -> None:
    """The refusal comes before a model is touched, and says where it is allowed."""
    if Path("/etc/landfast/engine.toml").exists():
        pytest.skip("this machine has settings of its own")
    told = refused(ready("run", "--unsealed", "Hello"), ExitCode.POLICY)
    assert "/etc/landfast/engine.toml" in told


def test_an_audit_asks_the_installed_model(ready: Landfast, tmp_path: Path) -> None:
    """The whole way: attack, question, report, and its check."""
    report = tmp_path / "report.json"
    data = ready.json("audit", "--out", str(report), schema="audit")["data"]
    assert data["findings"]["holds"] is True
    assert data["findings"]["question"]["answer_tokens"] > 0
    checked = ready.json("audit", "verify", str(report), schema="audit-verify")["data"]
    assert checked["signed_by"] == data["signed_by"]
    shown = ready("audit", "verify", str(report))
    assert shown.returncode == ExitCode.DONE
    assert "is unchanged since it was signed" in " ".join(shown.stdout.split())
    assert "Not covered" in shown.stdout
    report.write_text(report.read_text().replace('"sig": "', '"sig": "AAAA'))
    assert "Error: " in refused(ready("audit", "verify", str(report)), ExitCode.INTEGRITY)


def test_the_journal_grows_and_is_checked(own_copy: Landfast) -> None:
    """One line for the load, one for the answer; an altered line is named, with exit code 6."""
    before = own_copy.json("journal", "verify", schema="journal-verify")["data"]["lines"]
    own_copy("run", "Hello", *SHORT)
    checked = own_copy.json("journal", "verify", schema="journal-verify")["data"]
    assert checked["lines"] == before + 2
    head = f"{checked['lines']}:{checked['head']}"
    assert own_copy("journal", "verify", "--head", head).returncode == ExitCode.DONE
    assert own_copy("journal", "verify", "--head", "nonsense").returncode == ExitCode.USAGE
    lines = own_copy("journal", "export").stdout.splitlines()
    assert len(lines) == checked["lines"]
    file = own_copy.home / "state" / "journal" / "journal.jsonl"
    file.write_text(file.read_text().replace('"answer_tokens":', '"answer_tokens":1', 1))
    broken = own_copy("journal", "verify")
    assert broken.returncode == ExitCode.INTEGRITY
    assert "Error: " in broken.stderr


def test_a_chat_goes_on_when_its_engine_is_killed(ready: Landfast) -> None:
    """It is told, the model is loaded again, and the next message is answered; the exit code remembers."""
    with ready.start("chat", *SHORT, stdin=subprocess.PIPE) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write("What is the capital of France? One word.\n")
        running.stdin.flush()
        assert "Paris" in running.stdout.readline()
        (worker,) = psutil.Process(running.pid).children()
        os.kill(worker.pid, signal.SIGKILL)
        out, told = running.communicate("Hello\nWhat is the capital of Spain? One word.\n/bye\n", timeout=60)
    assert running.returncode == ExitCode.ENGINE
    assert "killed (SIGKILL)" in told
    assert "The model is loaded again." in told
    assert "Madrid" in out
    assert "Traceback" not in told
