"""What the room loads: nothing of the other rooms, and no heavy library before it is needed."""

import subprocess
import sys

import pytest


def modules_after(program: str) -> set[str]:
    """Run a program in a fresh interpreter and give the top-level modules that it loaded."""
    code = f"{program}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["profiles.probe", "profiles.budget", "profiles.simulated"])
def test_importing_loads_no_heavy_library(module: str) -> None:
    """The libraries psutil and NVML are loaded by the probes that need them, the engine never."""
    heavy = {"psutil", "pynvml", "llama_cpp", "numpy", "rich", "typer", "textual"}
    assert not heavy & modules_after(f"import {module}")


def test_the_room_stands_alone() -> None:
    """A whole profile and its budget load nothing of deploy, tui or the engine."""
    program = (
        "from pathlib import Path; from profiles.probe import profile; from profiles.budget import budget\n"
        "budget(profile(Path.cwd()))"
    )
    loaded = modules_after(program)
    assert "profiles" in loaded
    assert not {"deploy", "tui", "llama_cpp"} & loaded


@pytest.mark.skipif(sys.platform != "linux", reason="other systems are read through psutil")
def test_linux_is_read_without_psutil() -> None:
    """On Linux the kernel's own files are enough."""
    program = "from pathlib import Path; from profiles.probe import profile; profile(Path.cwd())"
    assert "psutil" not in modules_after(program)
