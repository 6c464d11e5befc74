"""Whoever starts the program with whatever: closed streams, old character sets, a full disk, no home."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from deploy import edge_ask
from deploy.errors import ExitCode, UsageError
from deploy.paths import resolve
from deploy.sources.pip_settings import read_settings
from tests.support.cli import ROOT, Landfast

CLOSED: Final = 'exec {}; exec "$0" "$@"'
FULL_DEVICE: Final = Path("/dev/full")
"""A file of which the system says that its disk is full; Linux has it."""


@pytest.fixture
def landfast(tmp_path: Path) -> Landfast:
    """A home of its own."""
    return Landfast(tmp_path / "home")


def with_streams(landfast: Landfast, closing: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command with what the shell says of its streams."""
    command = ["/bin/sh", "-c", CLOSED.format(closing), *landfast.command(*words)]
    return subprocess.run(
        command, capture_output=True, text=True, env=landfast.environment, timeout=60, check=False, stdin=None
    )


@pytest.mark.parametrize("closing", ["<&-", ">&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("words", "code"), [(("models", "--json"), 0), (("no-such",), 2)])
def test_closed_streams_change_no_exit_code(
    landfast: Landfast, closing: str, words: tuple[str, ...], code: int
) -> None:
    """Schedulers and some services start programs so."""
    done = with_streams(landfast, closing, *words)
    assert done.returncode == code, done.stderr
    assert "inside Landfast" not in done.stdout + done.stderr


def test_no_file_gets_the_number_of_a_closed_stream(landfast: Landfast) -> None:
    """The engine's process is given files by number: a model under the number of a stream would be lost there."""
    program = "import os; from deploy.terminal import open_streams as go; go(); assert os.open('/', os.O_RDONLY) > 2"
    command = ["/bin/sh", "-c", CLOSED.format("<&- >&- 2>&-"), sys.executable, "-c", program]
    done = subprocess.run(command, env=landfast.environment, check=False, cwd=ROOT, timeout=60)
    assert done.returncode == 0


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "ascii:surrogateescape"])
def test_an_old_character_set_gets_plainer_marks(tmp_path: Path, encoding: str) -> None:
    """A sentence with another mark in it is still one; an error is not."""
    landfast = Landfast(tmp_path / "home", {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"})
    done = subprocess.run(
        landfast.command("doctor", "--offline"), capture_output=True, env=landfast.environment, timeout=60, check=False
    )
    assert done.returncode == ExitCode.DONE, done.stderr
    assert b"+ ok" in done.stdout


def test_json_is_utf_8_in_every_character_set(tmp_path: Path) -> None:
    """A program that reads it must not have to know in what language its user works."""
    home = tmp_path / "Müller"
    landfast = Landfast(home, {"PYTHONIOENCODING": "ascii"})
    done = subprocess.run(
        landfast.command("doctor", "--offline", "--json"),
        capture_output=True,
        env=landfast.environment,
        timeout=60,
        check=False,
    )
    assert "Müller" in done.stdout.decode()


@pytest.mark.skipif(not FULL_DEVICE.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [("models",), ("version", "--json")])
def test_output_to_a_full_disk_is_told(landfast: Landfast, words: tuple[str, ...]) -> None:
    """Half an answer must not look like a whole one."""
    with FULL_DEVICE.open("w") as full:
        done = subprocess.run(
            landfast.command(*words),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=landfast.environment,
            timeout=60,
            check=False,
        )
    assert done.returncode == ExitCode.RESOURCES
    assert "Error: The output cannot be written: No space left on device." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="HOME is a matter of Unix")
def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accounts of services often have none; pip's settings in it are then none either."""
    for name in ("HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", _nobody)
    with pytest.raises(UsageError) as refused:
        resolve({})
    assert "LANDFAST_HOME" in refused.value.hint
    assert read_settings({"PIP_INDEX_URL": "https://packages.example.lan/simple"}).index_url.endswith("/simple")


STARTED: Final = "import sys; sys.argv[0] = 'landfast'; from deploy.start import main; sys.exit(main())"
ASCII_ALONE: Final = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""An environment in which Python takes every other letter of a path for a mistake."""


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are UTF-8 whatever the locale")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("compare", "Möbel", "Stühle"), ExitCode.NOT_FOUND, "Möbel"),
        (("models", "--json"), ExitCode.DONE, "Möbel/home"),
        (("plan", "Möbel.gguf"), ExitCode.NOT_FOUND, "Möbel.gguf"),
    ],
)
def test_other_letters_than_ascii_work_in_every_locale(
    tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    """Jobs of old schedulers run with LC_ALL=C, and people have names."""
    landfast = Landfast(tmp_path / "Möbel" / "home", ASCII_ALONE)
    command = [sys.executable, "-P", "-c", STARTED, *words]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", env=landfast.environment, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems make no such names")
@pytest.mark.parametrize("where", ["LANDFAST_HOME", "XDG_STATE_HOME"])
def test_a_home_that_is_no_text_is_told(tmp_path: Path, where: str) -> None:
    """Before anything is written that could not be listed afterwards."""
    environment = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"), str(tmp_path))
    with pytest.raises(UsageError, match="is not UTF-8 text") as refused:
        _resolve_with({**environment, where: os.fsdecode(os.fsencode(tmp_path) + b"/b\xff")})
    assert "LANDFAST_HOME" in refused.value.hint


@pytest.mark.skipif(sys.platform != "linux", reason="other systems make no such names")
def test_a_file_in_a_folder_that_is_no_text_is_told(tmp_path: Path) -> None:
    """Its path is written down wherever it goes, so it is refused with a sentence."""
    folder = tmp_path / os.fsdecode(b"b\xff")
    folder.mkdir()
    landfast = Landfast(tmp_path / "home")
    done = subprocess.run(
        landfast.command("doctor", "--record", "machine.json"),
        cwd=folder,
        capture_output=True,
        text=True,
        env=landfast.environment,
        timeout=60,
        check=False,
    )
    assert done.returncode == ExitCode.USAGE
    assert "is not UTF-8 text." in done.stderr


@pytest.mark.parametrize("word", [b"./b\xff.gguf", b"Gr\xf6\xdfe"])
def test_an_argument_that_is_no_text_is_refused(landfast: Landfast, word: bytes) -> None:
    """No JSON could hold it, and no store list it."""
    command = [*(os.fsencode(part) for part in landfast.command("install")), word]
    done = subprocess.run(command, capture_output=True, env=landfast.environment, timeout=60, check=False)
    assert done.returncode == ExitCode.USAGE
    assert b"is not UTF-8 text." in done.stderr


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs a folder in which nobody can make a file")
def test_a_machine_without_a_folder_for_temporary_files_is_told(tmp_path: Path) -> None:
    """As in a container whose whole file system is read-only."""
    program = (
        "import sys, tempfile; from deploy.edge import guarded\n"
        "tempfile._candidate_tempdir_list = lambda: ['/proc']\n"
        "sys.exit(guarded(lambda: tempfile.mkdtemp() and 0))"
    )
    environment = Landfast(tmp_path).environment
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    assert done.returncode == ExitCode.NOT_WRITABLE
    assert "TMPDIR" in done.stderr


def _resolve_with(environment: dict[str, str]) -> None:
    """Find the folders in an environment that is also that of the process, where the platform's rules look."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        resolve(environment)


def _nobody(number: int) -> None:
    raise KeyError(number)


def test_the_home_of_an_unknown_user_is_told(landfast: Landfast) -> None:
    """The shell leaves such a path as it is."""
    done = landfast("install", "~no-such-user/model.gguf")
    assert done.returncode == ExitCode.NOT_FOUND
    assert "Give the whole path." in done.stderr


def test_a_name_that_no_file_system_takes_is_told(landfast: Landfast) -> None:
    """Nobody is asked to report a slip of their own."""
    done = landfast("bundle", "inspect", "long" * 100)
    assert done.returncode == ExitCode.NOT_FOUND
    assert "File name too long" in done.stderr


def test_a_file_gets_no_spaces_at_the_ends_of_lines(landfast: Landfast) -> None:
    """What fills a line up in a terminal is only in the way of whoever compares two outputs."""
    lines = landfast("profile").stdout.splitlines()
    assert len(lines) > 5
    assert [line for line in lines if line != line.rstrip()] == []


def test_a_key_goes_into_the_file_and_its_fingerprint_to_the_reader(landfast: Landfast) -> None:
    """Who carries a bundle to others is asked for it by telephone."""
    done = landfast("keys", "export")
    assert done.stdout.startswith("-----BEGIN PUBLIC KEY-----\n")
    assert done.stdout.endswith("-----END PUBLIC KEY-----\n")
    word, fingerprint = done.stderr.split()
    assert word == "Fingerprint"
    assert len(bytes.fromhex(fingerprint)) == 32


@pytest.mark.skipif(os.name == "nt", reason="shells of Unix open it so")
def test_a_standard_input_that_cannot_be_read_gives_no_text(landfast: Landfast) -> None:
    """As `nohup` leaves it when it is typed in a terminal."""
    done = with_streams(landfast, "0>/dev/null", "run", "--json")
    envelope = json.loads(done.stdout)
    assert (envelope["command"], envelope["errors"][0]["message"]) == ("run", "There is no prompt.")


@pytest.mark.skipif(os.name == "nt", reason="shells of Unix open it so")
def test_nobody_reads_from_what_can_only_be_written(landfast: Landfast) -> None:
    """Whatever reads it finds the end at once: a chat, a question."""
    program = "import sys; from deploy.terminal import open_streams as go; go(); sys.exit(len(sys.stdin.readline()))"
    command = ["/bin/sh", "-c", CLOSED.format("0>/dev/null"), sys.executable, "-c", program]
    assert subprocess.run(command, env=landfast.environment, check=False, cwd=ROOT, timeout=60).returncode == 0


@pytest.mark.skipif(not FULL_DEVICE.exists(), reason="needs /dev/full")
@pytest.mark.parametrize(("words", "code"), [(("models",), 0), (("plan", "no-such"), 9), (("frobnicate",), 2)])
@pytest.mark.parametrize("place", ["2>/dev/full", "2> >(exec true)"], ids=["full", "gone"])
def test_talk_that_nobody_takes_changes_no_exit_code(
    landfast: Landfast, words: tuple[str, ...], code: int, place: str
) -> None:
    """What was done is done, whether the log has room for a sentence about it or not."""
    command = ["bash", "-c", CLOSED.format(place), *landfast.command(*words)]
    done = subprocess.run(command, capture_output=True, env=landfast.environment, timeout=60, check=False)
    assert done.returncode == code


class Silent(io.BytesIO):
    """A standard input that is no terminal, and at which something comes late or never."""

    buffer = property(lambda self: self)


def piped(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Let this be what is piped in."""
    monkeypatch.setattr("sys.stdin", Silent(content))


def test_whoever_waits_for_text_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Many programs leave a pipe open that nobody writes to; it would look like a model that thinks."""
    reading, writing = os.pipe()
    monkeypatch.setattr(edge_ask, "PIPE_PATIENCE_S", 0.0)
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        edge_ask._tell_of_waiting()
        os.write(writing, b"late")
        os.close(writing)
        assert edge_ask._piped_text() == "late"
    assert "`< /dev/null`" in capsys.readouterr().err


def test_the_mark_at_the_start_of_a_file_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Editors of Windows write one, and a vector of it is another one."""
    piped(monkeypatch, "\ufeffone\r\ntwo".encode())
    assert edge_ask._lines(edge_ask._piped_text()) == ["one", "two"]


def test_more_than_any_model_reads_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """As what `yes` writes."""
    piped(monkeypatch, b"y\n" * 6)
    with pytest.raises(UsageError, match="piped in, and no model reads that much at once"):
        edge_ask._piped_text(11)
    piped(monkeypatch, b"y\n" * 6)
    assert len(edge_ask._piped_text(12)) == 12
