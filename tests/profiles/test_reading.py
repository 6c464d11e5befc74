"""The tools that every probe reads with."""

import subprocess
import sys
from pathlib import Path

import pytest

from profiles.probes.reading import Roots, read_if_there, read_text, run_command


def test_paths_that_the_kernel_names_are_moved_under_the_roots() -> None:
    """Mount points below /sys and /proc follow the roots; others stay where they are."""
    roots = Roots(proc=Path("/elsewhere/proc"), sys=Path("/elsewhere/sys"))
    assert roots.locate("/sys/fs/cgroup/memory") == Path("/elsewhere/sys/fs/cgroup/memory")
    assert roots.locate("/proc/self") == Path("/elsewhere/proc/self")
    assert roots.locate("/system/x") == Path("/system/x")


def test_a_missing_file_is_told_from_one_that_cannot_be_read(tmp_path: Path) -> None:
    """Only absence gives None: a folder in the file's place is a failure that must be seen."""
    assert read_if_there(tmp_path / "missing") is None
    (tmp_path / "file").touch()
    assert read_if_there(tmp_path / "file" / "below") is None
    with pytest.raises(OSError, match="directory"):
        read_if_there(tmp_path)


def test_bytes_that_are_no_text_do_not_stop_a_reading(tmp_path: Path) -> None:
    """Firmware writes zero bytes and worse."""
    (tmp_path / "model").write_bytes(b"Board \xff\0")
    assert read_text(tmp_path / "model") == "Board \ufffd"


def test_a_command_that_hangs_is_ended() -> None:
    """The time limit ends the program and is reported."""
    with pytest.raises(subprocess.TimeoutExpired):
        run_command([sys.executable, "-c", "import time; time.sleep(60)"], time_limit_s=0.2)


def test_a_command_gives_its_output_or_its_failure() -> None:
    """Output comes back as text; an exit status other than zero is an error."""
    assert run_command([sys.executable, "-c", "print('hw.ncpu: 8')"]) == "hw.ncpu: 8\n"
    with pytest.raises(subprocess.CalledProcessError):
        run_command([sys.executable, "-c", "raise SystemExit(18)"])
