"""The set-up scripts, run for real in a folder of their own; Python and pip are stand-ins that note their calls."""

import os
import pty
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from deploy.errors import ExitCode

REPOSITORY: Final = Path(__file__).parents[2]
BASH: Final = shutil.which("bash") or ""
MISSING_PROGRAM: Final = 127
TOOLS: Final = (
    *("awk", "basename", "bash", "cat", "chmod", "cksum", "cp", "cut", "dirname", "env", "grep", "mkdir", "rm"),
    *("sed", "sh", "stty", "tail"),
)
LOCKS: Final = ("requirements-build.lock", "requirements.lock", "requirements-dev.lock")
DF: Final = (
    "#!/bin/sh\necho Filesystem 1024-blocks Used Available Capacity Mounted on\necho /dev/a 9 9 {free_kib} 1% /a b\n"
)
STAND_IN: Final = """#!/bin/sh
echo "python $*" >>"$CALLS"
case "$*" in
  *"print(sys.prefix"*) echo a Python ;;
  *"sys.version_info <"*) exit "${TOO_OLD-0}" ;;
  *"import ensurepip"*) exit "${NO_VENV-0}" ;;
  -V) echo Python 3.9.18 ;;
  "-m venv"*)
    mkdir -p "$4/bin"
    cp "$0" "$4/bin/python"
    { echo '#!/bin/sh'; echo 'echo "landfast $*" >>"$CALLS"; echo "$1"; echo "Warning: no hub" >&2'
      echo 'case $1 in select) exit "${SELECT_ENDS-0}" ;; install) exit "${INSTALL_ENDS-0}" ;; esac'
    } >"$4/bin/landfast"
    chmod +x "$4/bin/landfast" ;;
  "-m pip cache"*) echo "${CACHED-}" ;;
  "-m pip install"*) echo "${PIP_SAYS-}"; [ -z "${PIP_HANGS-}" ] || tail -f /dev/null; [ -z "${PIP_SAYS-}" ] ;;
esac
"""

pytestmark = pytest.mark.skipif(not BASH, reason="The scripts are for bash.")


@dataclass(frozen=True)
class Sandbox:
    """A copy of the scripts, and a PATH on which nothing is but what a test put there."""

    root: Path
    programs: Path

    def add(self, name: str, text: str) -> None:
        """Put a program on the PATH; a link there is replaced, never written through."""
        program = self.programs / name
        program.unlink(missing_ok=True)
        program.write_text(text)
        program.chmod(0o755)

    def environment(self, **variables: str) -> dict[str, str]:
        """Nothing of the developer's own environment gets in."""
        return {"PATH": str(self.programs), "CALLS": str(self.root / "calls"), **variables}

    def run(self, script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one of the scripts to its end."""
        return subprocess.run(
            [BASH, str(self.root / "scripts" / script), *arguments],
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self, kind: str) -> list[str]:
        """Every call of that kind so far, without its first words."""
        lines = (self.root / "calls").read_text().splitlines()
        return [line.removeprefix(kind).strip() for line in lines if line.startswith(kind)]

    def is_stamped(self) -> bool:
        """Tell whether .venv is taken for whole."""
        return (self.root / ".venv" / "landfast-run.stamp").exists()


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """Lay out a checkout under a name with a space, with a stand-in for Python and a compiler."""
    box = Sandbox(tmp_path / "a checkout", tmp_path / "bin")
    shutil.copytree(REPOSITORY / "scripts", box.root / "scripts")
    (box.root / "deploy").mkdir()
    for name in (*LOCKS, "pyproject.toml", "deploy/__init__.py"):
        shutil.copy(REPOSITORY / name, box.root / name)
    box.programs.mkdir()
    for name in TOOLS:
        if found := shutil.which(name):
            (box.programs / name).symlink_to(found)
    box.add("sleep", f"#!/bin/sh\nexec {shutil.which('sleep')} 0.02\n")
    box.add("df", DF.format(free_kib=9_000_000))
    box.add("uname", "#!/bin/sh\necho Linux\n")
    box.add("python3", STAND_IN)
    box.add("c++", "#!/bin/sh\n")
    return box


def test_the_lock_is_installed_with_hashes_and_nothing_else(sandbox: Sandbox) -> None:
    """Build tools first, then the lock, both hash-checked; the project itself without touching an index."""
    assert sandbox.run("quickstart.sh", "Hello").returncode == 0
    tools, packages, project = sandbox.calls("python -m pip install")
    assert "--require-hashes" in tools
    assert tools.endswith("requirements-build.lock")
    assert "--require-hashes --no-build-isolation" in packages
    assert packages.endswith("requirements.lock")
    assert "--no-index --no-deps --no-build-isolation" in project


def test_the_first_run_explains_the_choice_and_prints_only_the_answer(sandbox: Sandbox) -> None:
    """Standard output is the answer; profile, selection and installation speak on standard error."""
    done = sandbox.run("quickstart.sh", "Hello", "there")
    assert sandbox.calls("landfast") == ["profile", "select", "install --yes", "run --yes -- Hello there"]
    assert done.stdout == "run\n"
    assert "select" in done.stderr
    assert done.stderr.count("Warning: no hub") == 3, "profile, install and run; what select warns of, install says too"


@pytest.mark.parametrize(
    ("select_ends", "install_ends", "code"),
    [
        (ExitCode.NOTHING_FITS, ExitCode.NOTHING_FITS, ExitCode.NOTHING_FITS),
        (ExitCode.INTERRUPTED, 0, ExitCode.INTERRUPTED),
    ],
)
def test_what_stops_the_choice_stops_the_first_run(
    sandbox: Sandbox, select_ends: int, install_ends: int, code: int
) -> None:
    """Why nothing fits is said by the install; Ctrl-C in mid-choice installs nothing, and it can be run again."""
    done = sandbox.run("quickstart.sh", "Hello", SELECT_ENDS=str(int(select_ends)), INSTALL_ENDS=str(int(install_ends)))
    assert done.returncode == code
    assert ("install --yes" in sandbox.calls("landfast")) == (select_ends != ExitCode.INTERRUPTED)
    assert not (sandbox.root / ".venv" / "quickstart.done").exists()


def test_a_second_run_installs_nothing(sandbox: Sandbox) -> None:
    """What is whole is not set up again, and only the answer is asked for."""
    sandbox.run("quickstart.sh", "Hello")
    (sandbox.root / "calls").unlink()
    assert sandbox.run("quickstart.sh", "Hello").returncode == 0
    assert sandbox.calls("python -m pip") == []
    assert sandbox.calls("landfast") == ["run --yes -- Hello"]


def test_a_changed_lock_is_installed(sandbox: Sandbox) -> None:
    """A .venv made from another lock is stale."""
    sandbox.run("quickstart.sh", "Hello")
    with (sandbox.root / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    sandbox.run("quickstart.sh", "Hello")
    assert len(sandbox.calls("python -m pip install")) == 6


def test_without_a_terminal_or_a_prompt_one_answer_is_printed(sandbox: Sandbox) -> None:
    """Nobody is there to chat, so a question is put for them."""
    sandbox.run("quickstart.sh")
    assert sandbox.calls("landfast")[-1] == "run --yes -- Introduce yourself in one sentence."


def test_in_a_terminal_without_a_prompt_it_ends_in_a_chat(sandbox: Sandbox) -> None:
    """A person at a terminal gets a conversation."""
    sandbox.run("quickstart.sh", "Hello")
    ours, theirs = pty.openpty()
    subprocess.run(
        [BASH, str(sandbox.root / "scripts/quickstart.sh")],
        env=sandbox.environment(),
        stdin=theirs,
        stdout=theirs,
        check=True,
    )
    os.close(theirs)
    os.close(ours)
    assert sandbox.calls("landfast")[-1] == "chat"


@pytest.mark.parametrize(
    ("variables", "code", "sentence"),
    [
        ({"TOO_OLD": "1"}, MISSING_PROGRAM, "Python 3.11 or newer is needed, and python3 here is Python 3.9.18."),
        ({"NO_VENV": "1"}, MISSING_PROGRAM, "Python's venv module is missing."),
        ({"PIP_SAYS": "after connection broken by"}, ExitCode.UNREACHABLE, "The package index does not answer."),
        ({"PIP_SAYS": "DO NOT MATCH THE HASHES"}, ExitCode.INTEGRITY, "A package is not the one that the lock names;"),
        ({"PIP_SAYS": "[Errno 28] No space left on device"}, ExitCode.RESOURCES, "The disk is full."),
        ({"PIP_SAYS": "Failed to build llama-cpp-python"}, ExitCode.ENGINE, "The engine could not be built."),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(
    sandbox: Sandbox, variables: dict[str, str], code: int, sentence: str
) -> None:
    """Each obstacle has its own words and its own exit code, and leaves no .venv that looks whole."""
    done = sandbox.run("quickstart.sh", "Hello", **variables)
    assert done.returncode == code
    assert done.stderr.splitlines()[-1].startswith(f"quickstart: {sentence}")
    assert done.stdout == ""
    assert not sandbox.is_stamped()


def test_no_python_at_all_is_said(sandbox: Sandbox) -> None:
    """A machine without Python hears that there is none."""
    (sandbox.programs / "python3").unlink()
    done = sandbox.run("quickstart.sh")
    assert done.returncode == MISSING_PROGRAM
    assert "there is no python3 here" in done.stderr


def test_a_newer_python_under_another_name_is_found(sandbox: Sandbox) -> None:
    """An old python3 does not hide a python3.12 beside it."""
    sandbox.add("python3.12", STAND_IN)
    sandbox.add("python3", "#!/bin/sh\nexit 1\n")
    assert sandbox.run("quickstart.sh", "Hello").returncode == 0


def test_windows_is_sent_to_the_steps_by_hand(sandbox: Sandbox) -> None:
    """A Unix shell on Windows cannot use a Windows Python's .venv, so it says where the steps are."""
    sandbox.add("uname", "#!/bin/sh\necho MINGW64_NT-10.0\n")
    done = sandbox.run("quickstart.sh")
    assert done.returncode == ExitCode.USAGE
    assert "CONTRIBUTING.md" in done.stderr


def test_a_full_disk_is_said_before_anything_is_written(sandbox: Sandbox) -> None:
    """Too little space stops it before .venv is made."""
    sandbox.add("df", DF.format(free_kib=102_400))
    done = sandbox.run("quickstart.sh")
    assert done.returncode == ExitCode.RESOURCES
    assert "has 104 MB" in done.stderr
    assert not (sandbox.root / ".venv").exists()


def test_a_missing_compiler_is_said_before_anything_is_downloaded(sandbox: Sandbox) -> None:
    """Without a compiler the engine cannot be built, so nothing is fetched for it."""
    (sandbox.programs / "c++").unlink()
    done = sandbox.run("quickstart.sh")
    assert done.returncode == MISSING_PROGRAM
    assert "A C++ compiler is needed" in done.stderr
    assert sandbox.calls("python -m pip install") == []


def test_an_engine_that_pip_kept_needs_no_compiler(sandbox: Sandbox) -> None:
    """A wheel built before is enough."""
    (sandbox.programs / "c++").unlink()
    assert sandbox.run("quickstart.sh", "Hello", CACHED="/cache/llama_cpp_python-0.3.36.whl").returncode == 0


def test_a_stop_in_mid_build_ends_the_build_and_leaves_no_stamp(sandbox: Sandbox) -> None:
    """After an interruption nothing runs on, and the next run goes through."""
    script = [BASH, str(sandbox.root / "scripts/quickstart.sh"), "Hello"]
    with subprocess.Popen(script, env=sandbox.environment(PIP_HANGS="1"), stderr=subprocess.PIPE) as running:
        deadline_s = time.monotonic() + 10
        while not ((calls := sandbox.root / "calls").exists() and "pip install" in calls.read_text()):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        _, words = running.communicate(timeout=10)
    assert running.returncode == ExitCode.INTERRUPTED
    assert words.decode().endswith("Stopped. Run this script again to continue.\n")
    assert not sandbox.is_stamped()
    assert sandbox.run("quickstart.sh", "Hello").returncode == 0


def test_the_progress_line_names_the_compilers_step(sandbox: Sandbox) -> None:
    """Of pip's many words, the line shows the elapsed time and the last thing that happened."""
    log = sandbox.root / "log"
    log.write_text(
        "  Building wheel for llama-cpp-python (pyproject.toml): started\n  [57/193] /usr/bin/c++ -O3 a.cpp\n"
    )
    done = subprocess.run(
        [BASH, "-c", f'. scripts/lib.sh; LOG="{log}"; SECONDS=133; progress'],
        cwd=sandbox.root,
        env=sandbox.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "2:13  Building the engine: 57 of 193\n"


def test_the_development_tools_come_on_top(sandbox: Sandbox) -> None:
    """The dev lock is added to a whole .venv once, and the user's part is not laid again."""
    sandbox.run("quickstart.sh", "Hello")
    sandbox.run("fix.sh")
    sandbox.run("fix.sh")
    assert [call.rpartition("/")[2] for call in sandbox.calls("python -m pip install")[3:]] == ["requirements-dev.lock"]
