"""The journal in other hands: what was noted of it holds later, and a copy is checked without the private key."""

import datetime as dt
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from deploy.journal import CHECKPOINT_EVERY, Event, Journal, Note
from deploy.paths import Paths

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "audit.md"


def places(folder: Path) -> Paths:
    """Everything in one folder."""
    return Paths(data=folder / "data", state=folder / "state", config=folder / "config")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Empty places."""
    return places(tmp_path / "host")


def answered(paths: Paths, count: int = 1) -> Note:
    """A journal with so many answers more, and what an auditor notes of it."""
    for number in range(count):
        Journal(paths).append(Event(kind="answer", model="m:Q4", answer_tokens=number, outcome="stop"))
    verdict = Journal(paths).verify()
    assert verdict.whole
    return Note(verdict.lines, verdict.head)


def test_a_journal_that_was_deleted_is_found_by_what_was_noted(paths: Paths) -> None:
    """The folder and all that is in it: an empty journal is whole, but it is not the one that was noted."""
    noted = answered(paths)
    shutil.rmtree(paths.journal)
    verdict = Journal(paths).verify(noted)
    assert not verdict.whole
    assert "lines were changed or removed" in verdict.problem


def test_what_was_noted_of_a_journal_that_has_ended_since_still_holds(paths: Paths) -> None:
    """An auditor's note outlives the year; another hash does not pass for it."""
    noted = answered(paths)
    answered(paths)
    Journal(paths).begin_anew(dt.date(2026, 1, 1), dt.date(2027, 1, 1))
    answered(paths)
    assert Journal(paths).verify(noted).whole
    assert "lines were changed" in Journal(paths).verify(Note(noted.count, "0" * 64)).problem
    (ended,) = (paths.journal / "ended").iterdir()
    ended.unlink()
    assert Journal(paths).verify().whole
    assert "deleted after its end" in Journal(paths).verify(noted).problem


def test_a_copy_is_checked_with_the_public_key_alone(paths: Paths, tmp_path: Path) -> None:
    """An auditor has no private key; without any, that is what is said, and nobody is accused."""
    answered(paths, CHECKPOINT_EVERY)
    copy = places(tmp_path / "copy")
    shutil.copytree(paths.journal, copy.journal)
    assert "cannot be checked: there is no file" in Journal(copy).verify().problem
    copy.keys.mkdir(parents=True)
    shutil.copy(paths.keys / "signing.pub", copy.keys)
    assert Journal(copy).verify().checkpoints == 1
    assert [path.name for path in copy.keys.iterdir()] == ["signing.pub"]


def test_a_first_line_that_names_no_former_journal_is_no_crash(paths: Paths) -> None:
    """Whoever forges one learns nothing from it."""
    Journal(paths).append(Event(kind="begin", outcome="after 0 lines"))
    assert Journal(paths).verify().whole


def test_an_exported_journal_is_checked_without_landfast(paths: Paths, tmp_path: Path) -> None:
    """The commands of the documentation, word for word: they find what the program finds, and name the same end."""
    for tool in ("openssl", "sha256sum"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    noted = answered(paths, CHECKPOINT_EVERY + 3)
    exported = b"".join(Journal(paths).raw_lines())
    shutil.copy(paths.keys / "signing.pub", tmp_path)
    _, commands = re.findall(r"```sh\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)

    def check(content: bytes) -> "subprocess.CompletedProcess[str]":
        (tmp_path / "journal.jsonl").write_bytes(content)
        return subprocess.run(["/bin/sh", "-ec", commands], cwd=tmp_path, capture_output=True, text=True, check=False)

    good = check(exported)
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.splitlines() == [f"{noted.count}:{noted.head}", "Signature Verified Successfully"]
    changed = check(exported.replace(b'"answer_tokens":7,', b'"answer_tokens":8,'))
    assert changed.returncode == 1
    assert '"n":7,' in changed.stdout or '"n":8,' in changed.stdout
    lines = exported.splitlines(keepends=True)
    at = CHECKPOINT_EVERY - 1
    forged = lines[at].replace(b'"signature":"', b'"signature":"AAAA')
    assert check(b"".join([*lines[:at], forged])).returncode != 0
