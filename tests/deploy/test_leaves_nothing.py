"""The whole program from outside: it opens no network socket, and leaves nothing of a conversation on the disk."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec
import pytest

pytestmark = [pytest.mark.engine, pytest.mark.index, pytest.mark.usefixtures("unmeasured_children")]

REPOSITORY: Final = Path(__file__).parents[2]
PROGRAM: Final = "import sys; sys.argv[0] = 'landfast'; from deploy.cli import main; sys.exit(main())"
MARK: Final = "canary-7f3a91c2"


def landfast(
    home: Path, *arguments: str, before: tuple[str, ...] = (), said: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run the program with a home and a folder for temporary files of its own."""
    temporary = home / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    places = {"HOME": str(home), "LANDFAST_HOME": str(home / "landfast"), "TMPDIR": str(temporary)}
    return subprocess.run(
        [*before, sys.executable, "-c", PROGRAM, *arguments],
        input=said,
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env=os.environ | places,
    )


def holding(folder: Path, *texts: str) -> list[str]:
    """Files below a folder in which one of these texts stands."""
    return [
        f"{path.name}: {text}"
        for path in folder.rglob("*")
        if path.is_file()
        for text in texts
        if text.encode() in path.read_bytes()
    ]


def test_nothing_that_was_said_is_found_on_the_disk(smollm2_path: Path, tmp_path: Path) -> None:
    """A marked prompt and its answer, by run and by chat; while the journal has their numbers."""
    options = ("--json", "--max-tokens", "24", "--temperature", "0", "--context", "512")
    ran = landfast(tmp_path, "run", str(smollm2_path), f"Repeat this word: {MARK}", *options)
    assert ran.returncode == 0, ran.stderr
    answer = msgspec.json.decode(ran.stdout)["data"]["answer"]
    talked = landfast(tmp_path, "chat", str(smollm2_path), *options, said=f"The word {MARK} is secret.\n")
    assert talked.returncode == 0, talked.stderr
    turns = msgspec.json.decode(talked.stdout)["data"]["turns"]
    assert MARK in turns[0]["content"]
    journal = (tmp_path / "landfast" / "state" / "journal" / "journal.jsonl").read_bytes()
    assert journal.count(b'"kind":"answer"') == 2
    assert len(answer) > 10
    assert len(turns[1]["content"]) > 10
    assert holding(tmp_path, MARK, answer, turns[1]["content"]) == []
    assert not [path for path in REPOSITORY.glob("core*") if path.is_file()]


def test_nothing_is_found_after_a_crash_either(smollm2_path: Path, tmp_path: Path) -> None:
    """An engine that is aborted in the middle of an answer leaves no core file and no log."""
    script = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from deploy.engine.client import LlamaEngine\nfrom deploy.engine.protocol import Generate, LoadPlan, Text\n"
        "session = LlamaEngine().open([Path(sys.argv[1])], LoadPlan(context_tokens=512), lambda _: None)\n"
        f"events = session.generate(Generate(prompt='{MARK} ' * 20, max_tokens=200))\n"
        "next(event for event in events if isinstance(event, Text))\n"
        "os.kill(session.process_id, signal.SIGABRT)\n"
        "list(events)\n"
    )
    places = {"HOME": str(tmp_path), "LANDFAST_HOME": str(tmp_path / "landfast"), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(smollm2_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | places | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert "SIGABRT" in done.stderr
    assert holding(tmp_path, MARK) == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("verb", ["install", "run", "chat"])
def test_no_network_socket_is_ever_opened(smollm2_path: Path, tmp_path: Path, verb: str) -> None:
    """Installing from a folder, one answer, a conversation: every process and thread of it is watched."""
    calls = tmp_path / "calls"
    watched = ("strace", "-f", "-qq", "-e", "trace=network", "-o", str(calls))
    options = ("--max-tokens", "8", "--context", "512")
    arguments = {
        "install": ("install", "--from", str(smollm2_path), "--yes"),
        "run": ("run", str(smollm2_path), "Hello", *options),
        "chat": ("chat", str(smollm2_path), *options),
    }[verb]
    done = landfast(tmp_path, *arguments, before=watched, said="Hello\n" if verb == "chat" else "")
    assert done.returncode == 0, done.stderr
    seen = calls.read_text()
    assert verb == "install" or "socketpair(AF_UNIX" in seen
    assert re.findall(r"AF_INET6?|AF_PACKET|AF_NETLINK", seen) == []
