"""The door to a machine, and the tools that every probe reads with."""

import os
import stat
import sys
from pathlib import Path

import pytest

from profiles.probes.reading import line_of, number_of, output_of, parse_cpu_list, read_if_there
from profiles.world import CommandFailed, CommandMissing, LiveWorld


def test_a_missing_file_is_told_from_one_that_cannot_be_read(tmp_path: Path) -> None:
    """Only absence gives None: a folder in the file's place is a failure that must be seen."""
    world = LiveWorld(tmp_path)
    assert read_if_there(world, "/missing") is None
    (tmp_path / "file").touch()
    assert read_if_there(world, "/file/below") is None
    with pytest.raises(OSError, match="directory"):
        read_if_there(world, "/")


def test_bytes_that_are_no_text_do_not_stop_a_reading(tmp_path: Path) -> None:
    """Firmware writes zero bytes and worse."""
    (tmp_path / "model").write_bytes(b"Board \xff\0")
    assert LiveWorld(tmp_path).read("/model") == "Board \ufffd"


def test_one_line_files_are_read_for_what_they_hold(tmp_path: Path) -> None:
    """A line without its end, a number only where there is one, nothing where there is no file."""
    (tmp_path / "size").write_text("4096\n")
    (tmp_path / "word").write_text("many\n")
    world = LiveWorld(tmp_path)
    assert (line_of(world, "/size"), line_of(world, "/none")) == ("4096", "")
    assert (number_of(world, "/size"), number_of(world, "/word"), number_of(world, "/none")) == (4096, None, None)


def test_a_folder_is_listed_in_order_and_a_missing_one_is_empty(tmp_path: Path) -> None:
    """The kernel's folders come in any order; a machine without one has nothing in it."""
    for name in ("b", "a"):
        (tmp_path / "folder" / name).mkdir(parents=True)
    assert LiveWorld(tmp_path).entries("/folder") == ("a", "b")
    assert LiveWorld(tmp_path).entries("/missing") == ()


def test_a_command_that_hangs_is_ended() -> None:
    """The time limit ends the program and is reported."""
    with pytest.raises(CommandFailed, match=r"did not answer within 0\.2 s"):
        LiveWorld(time_limit_s=0.2).run([sys.executable, "-c", "import time; time.sleep(30)"])


def test_a_command_gives_its_output_or_its_failure() -> None:
    """Output comes back as text; an exit status other than zero is an error with the command's own words."""
    world = LiveWorld()
    assert output_of(world, [sys.executable, "-c", "print('hw.ncpu: 8')"]) == "hw.ncpu: 8\n"
    with pytest.raises(CommandFailed, match=r"status 18: Driver/library version mismatch"):
        output_of(world, [sys.executable, "-c", "print('Driver/library version mismatch'); raise SystemExit(18)"])


def test_a_missing_command_is_told_from_one_that_cannot_be_run(tmp_path: Path) -> None:
    """What is not installed says nothing about the machine; what cannot be run does."""
    with pytest.raises(CommandMissing, match="not installed"):
        LiveWorld().run(["landfast-no-such-tool"])
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF nonsense")
    broken.chmod(stat.S_IRWXU)
    with pytest.raises(CommandFailed, match="cannot be run"):
        LiveWorld().run([str(broken)])


def test_a_shut_folder_in_the_path_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system then says of every missing command that it is not permitted, as for `sudo -u` with root's path."""
    (tmp_path / "landfast-no-such-tool").write_bytes(b"")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandMissing, match="not installed"):
        LiveWorld().run(["landfast-no-such-tool"])


def test_a_command_sees_nothing_of_the_users_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another language or a tool's own variable would change what it prints."""
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    program = "import os; print(os.environ.get('LANG'), os.environ.get('CUDA_VISIBLE_DEVICES'), os.environ['LC_ALL'])"
    assert LiveWorld().run([sys.executable, "-c", program]).stdout.strip() == "None None C"
    assert os.environ["LANG"] == "de_DE.UTF-8"


def test_lists_of_processors() -> None:
    """Spans and numbers; an impossible span is left out instead of being written down."""
    assert parse_cpu_list("0-3,8") == {0, 1, 2, 3, 8}
    assert parse_cpu_list("") == frozenset()
    assert parse_cpu_list("0-4294967295") == frozenset()
