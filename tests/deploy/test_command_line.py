"""The command line on a healthy machine: data on standard output, talk on standard error, JSON by its schema."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

import psutil
import pytest
import typer

from deploy.cli import ORDER, InOrder, app
from deploy.errors import ExitCode
from tests.support.cli import Landfast, refused, validate
from tests.support.world import TINY

MODEL: Final = "smollm2-135m-instruct:Q4_1"
CAPITAL: Final = "What is the capital of France? One word."
GREEDY: Final = ("--temperature", "0", "--max-tokens", "24", "--context", "1024")
LONG: Final = ("run", "What is the capital of France?", "--max-tokens", "900", "--temperature", "0")
"""The likeliest answer of so small a model to this goes round in circles: it ends at --max-tokens and no sooner."""


def test_help_lists_every_command(landfast: Landfast) -> None:
    """Also where no command is given and there is no terminal."""
    done = landfast("--help")
    assert done.returncode == ExitCode.DONE
    for name in ("profile", "select", "plan", "install", "run", "chat", "models", "doctor", "version"):
        assert f"\n  {name}" in done.stdout
    assert landfast().stdout == done.stdout


def test_commands_come_in_the_order_of_a_newcomer() -> None:
    """Every command has a place in the help: one that is forgotten there would have no help at all."""
    command = typer.main.get_command(app)
    assert isinstance(command, InOrder)
    assert sorted(command.commands) == sorted(ORDER)


@pytest.mark.parametrize(
    ("words", "schema"),
    [
        (("profile",), "profile"),
        (("select", "--offline"), "select"),
        (("plan", MODEL, "--offline"), "plan"),
        (("plan", "smollm2-135m-instruct", "--min-speed", "9000"), "plan"),
        (("models",), "models"),
        (("models", "verify"), "models-verify"),
        (("doctor", "--offline"), "doctor"),
        (("version",), "version"),
        (("plan", "nothing-such"), "error"),
        (("install", "nothing-such"), "error"),
        (("run", "nothing-such", "Hello"), "error"),
        (("chat", "nothing-such"), "error"),
        (("models", "show", "nothing-such"), "error"),
        (("models", "verify", "nothing-such"), "error"),
        (("models", "remove", "nothing-such"), "error"),
        (("frobnicate",), "error"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_json_is_as_its_schema_says(landfast: Landfast, words: tuple[str, ...], schema: str) -> None:
    """Real output of every command, failures included; the same command without --json ends with the same code."""
    envelope = landfast.json(*words, schema=schema)
    assert (envelope["status"] == "error") == (envelope["exit_code"] != 0)
    assert bool(envelope["errors"]) == (envelope["status"] == "error")
    assert landfast(*words).returncode == envelope["exit_code"]


def test_data_goes_to_standard_output_and_talk_does_not(landfast: Landfast) -> None:
    """A warning never gets into a file or a pipe."""
    done = landfast("select")
    assert " is not in reach: " in done.stderr
    assert "Warning" not in done.stdout
    assert "Refused" in done.stdout


def test_looking_makes_nothing(landfast: Landfast) -> None:
    """Commands that only tell leave no folder behind."""
    for words in (
        ("profile",),
        ("select", "--offline"),
        ("plan", MODEL),
        ("models",),
        ("doctor", "--offline"),
        ("version",),
    ):
        landfast(*words)
    assert not landfast.home.exists()


@pytest.mark.parametrize(
    "option",
    [
        ("--seed", str(2**64)),
        ("--seed", str(2**32 - 1)),
        ("--top-k", str(2**31)),
        ("--max-tokens", str(2**63)),
        ("--temperature", "nan"),
        ("--temperature", "inf"),
        ("--min-p", "nan"),
        ("--seed", "-1"),
    ],
    ids=" ".join,
)
def test_numbers_that_the_engine_does_not_have_are_refused(landfast: Landfast, option: tuple[str, str]) -> None:
    """On the command line, before any model is looked for."""
    refused(landfast("run", *option, "Hello"), 2)


def test_an_own_file_is_installed_listed_and_removed(landfast: Landfast, tmp_path: Path) -> None:
    """The life of a model in the store, each step by its schema."""
    file = tmp_path / "own.gguf"
    file.write_bytes(TINY)
    installed = landfast.json("install", str(file), schema="install")
    assert (installed["changed"], installed["data"]["installed"]["id"]) == (True, "own:Q4_0")
    assert landfast.json("install", str(file), schema="install")["changed"] is False
    assert landfast.json("models", "show", "own", schema="models-show")["data"]["model"] is None
    assert landfast.json("models", "verify", schema="models-verify")["data"]["models"][0]["whole"] is True
    listed = landfast("models")
    assert "own:Q4_0" in listed.stdout
    removed = landfast.json("models", "remove", "own", "--yes", schema="models-remove")
    assert removed["data"]["freed_bytes"] == len(TINY)
    assert landfast.json("models", schema="models")["data"]["installed"] == []


def test_an_altered_model_is_found(landfast: Landfast, tmp_path: Path) -> None:
    """Exit code 6 from verify, and run refuses to load it."""
    file = tmp_path / "own.gguf"
    file.write_bytes(TINY)
    landfast("install", str(file))
    (stored,) = landfast.json("models", "show", "own", schema="models-show")["data"]["paths"]
    Path(stored).chmod(0o644)
    Path(stored).write_bytes(TINY[:-1] + b"x")
    refused(landfast("run", "own", "Hello"), ExitCode.INTEGRITY)
    done = landfast.json("models", "verify", schema="models-verify")
    assert done["exit_code"] in {ExitCode.INTEGRITY, ExitCode.NOT_FOUND}


@pytest.mark.engine
@pytest.mark.index
class TestWithAModel:
    """Run and chat with the real SmolLM2, installed once."""

    def test_run_prints_the_answer_and_nothing_else(self, ready: Landfast) -> None:
        """The figures are talk."""
        done = ready("run", CAPITAL, *GREEDY)
        assert done.returncode == ExitCode.DONE
        assert done.stdout == "The capital of France is Paris.\n"
        assert "tok/s" in done.stderr

    def test_piped_text_is_added_to_the_prompt(self, ready: Landfast) -> None:
        """`echo ... | landfast run` answers what was piped; with a prompt, both together."""
        assert ready("run", *GREEDY, piped=CAPITAL).stdout == "The capital of France is Paris.\n"
        both = ready.json("run", "What is the capital of France?", *GREEDY, piped="One word.", schema="run")
        alone = ready.json("run", "What is the capital of France?", *GREEDY, schema="run")
        assert both["data"]["stats"]["prompt_tokens"] > alone["data"]["stats"]["prompt_tokens"]

    def test_json_holds_answer_figures_and_the_seed(self, ready: Landfast) -> None:
        """By its schema, with the engine's own figures, and nothing is streamed beside it."""
        data = ready.json("run", MODEL, CAPITAL, *GREEDY, "--seed", "7", schema="run")["data"]
        assert (data["model"], data["ended"], data["sampling"]["seed"]) == (MODEL, "stop", 7)
        assert "Paris" in data["answer"]
        assert 0 < data["stats"]["answer_tokens"] <= 24
        assert data["decode_tok_s"] > 0
        assert data["memory"]["resident_bytes"] <= data["memory"]["planned_peak_bytes"]

    def test_the_same_seed_gives_the_same_answer(self, ready: Landfast) -> None:
        """As the help says."""
        words = (
            "run",
            "Tell me a story.",
            "--seed",
            "5",
            "--max-tokens",
            "12",
            "--context",
            "512",
            "--temperature",
            "1",
        )
        assert ready(*words).stdout == ready(*words).stdout

    def test_chat_answers_line_by_line(self, ready: Landfast) -> None:
        """From a pipe: answers on standard output, /new and /bye are understood."""
        lines = f"{CAPITAL}\n/new\n{CAPITAL}\n/bye\nnever asked\n"
        done = ready("chat", *GREEDY, piped=lines)
        assert done.returncode == ExitCode.DONE
        assert done.stdout == "The capital of France is Paris.\n" * 2
        assert "A new conversation." in done.stderr

    def test_chat_gives_its_turns_as_json(self, ready: Landfast) -> None:
        """One envelope at the end, by its schema."""
        data = ready.json("chat", MODEL, *GREEDY, piped=f"{CAPITAL}\nAnd of Spain?\n", schema="chat")["data"]
        assert [turn["role"] for turn in data["turns"]] == ["user", "assistant"] * 2
        assert len(data["stats"]) == 2
        assert data["stats"][1]["reused_tokens"] > 0

    def test_a_prompt_beyond_the_context_is_refused(self, ready: Landfast) -> None:
        """With both numbers and what to do."""
        told = refused(ready("run", *GREEDY, piped="word " * 3000), ExitCode.ENGINE)
        assert "--context" in told

    def test_head_closes_the_pipe(self, ready: Landfast) -> None:
        """The reader takes what it wants and goes: exit code 141, and not a word about it."""
        with ready.start(*LONG) as running:
            assert running.stdout is not None
            assert running.stdout.read(1)
            running.stdout.close()
            told = running.stderr.read() if running.stderr else ""
            running.wait(timeout=30)
        assert running.returncode == ExitCode.PIPE_CLOSED
        assert "Error" not in told
        assert "Exception" not in told

    def test_ctrl_c_stops_an_answer(self, ready: Landfast) -> None:
        """Exit code 130, and the engine's process is gone."""
        with ready.start(*LONG) as running:
            assert running.stdout is not None
            assert running.stdout.read(1)
            (worker,) = psutil.Process(running.pid).children()
            running.send_signal(signal.SIGINT)
            _, told = running.communicate(timeout=30)
        assert running.returncode == ExitCode.INTERRUPTED
        assert "Error: Stopped" in told
        assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE

    def test_an_engine_that_is_killed(self, ready: Landfast) -> None:
        """SIGKILL in the middle of an answer: exit code 8 and one sentence; what was said is there."""
        with ready.start(*LONG) as running:
            assert running.stdout is not None
            said = running.stdout.read(1)
            (worker,) = psutil.Process(running.pid).children()
            os.kill(worker.pid, signal.SIGKILL)
            out, told = running.communicate(timeout=30)
        assert running.returncode == ExitCode.ENGINE
        assert (said + out).endswith("\n")
        assert "Error: The engine process was killed (SIGKILL) while it answered." in told
        assert "Traceback" not in told

    def test_run_with_a_model_that_was_altered(self, own_copy: Landfast) -> None:
        """A copy of the store is hashed once; an altered file in it is never loaded."""
        assert own_copy("run", CAPITAL, *GREEDY).returncode == ExitCode.DONE
        (stored,) = own_copy.json("models", "show", MODEL, schema="models-show")["data"]["paths"]
        Path(stored).chmod(0o644)
        with Path(stored).open("r+b") as file:
            file.seek(10**6)
            file.write(b"altered")
        refused_words = own_copy("run", CAPITAL, *GREEDY)
        assert refused_words.returncode == ExitCode.INTEGRITY
        assert refused_words.stdout == ""

    def test_the_best_installed_model_is_selected_offline(self, ready: Landfast) -> None:
        """What is installed can always be had."""
        chosen = ready.json("select", "--offline", "--min-speed", "1", schema="select")["data"]["ranking"]["chosen"]
        assert (chosen["fit"]["id"], chosen["obtain"]) == (MODEL, "installed")

    def test_a_second_install_changes_nothing(self, ready: Landfast) -> None:
        """And needs no network to find that out."""
        assert ready.json("install", MODEL, schema="install")["changed"] is False

    def test_a_json_error_after_an_answer_began_is_one_envelope(self, ready: Landfast) -> None:
        """Programs read one document, whatever happens."""
        with ready.start(*LONG, "--json") as running:
            children = psutil.Process(running.pid).children
            limit = time.monotonic() + 30
            while not children() and time.monotonic() < limit:
                time.sleep(0.05)
            time.sleep(1.5)
            os.kill(children()[0].pid, signal.SIGKILL)
            out, _ = running.communicate(timeout=30)
        envelope = json.loads(out)
        validate(envelope, "error")
        assert envelope["exit_code"] == running.returncode == ExitCode.ENGINE


def test_the_terminal_is_left_to_the_user_interface(landfast: Landfast) -> None:
    """Without arguments and without a terminal there is the help, and nothing waits."""
    done = subprocess.run(
        landfast.command(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=landfast.environment,
        timeout=30,
        check=False,
    )
    assert done.returncode == ExitCode.DONE
