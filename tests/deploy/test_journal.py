"""The journal: every change is found, nothing is lost by a crash, and nothing that was said is in it."""

import contextlib
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.commands.journal import export
from deploy.errors import IntegrityError, NotWritable
from deploy.journal import CHECKPOINT_EVERY, Event, Journal, Note
from deploy.keys import signing_key
from deploy.paths import Paths
from tests.support.world import world

REPOSITORY: Final = Path(__file__).parents[2]
LINES: Final = 2 * CHECKPOINT_EVERY + 10


def places(folder: Path) -> Paths:
    """Everything in one folder."""
    return Paths(data=folder / "data", state=folder / "state", config=folder / "config")


def answer(count: int = 1) -> Event:
    """An event as an answer leaves it."""
    return Event(kind="answer", model="m:Q4", sha256=("ab" * 32,), seal="full", answer_tokens=count, outcome="stop")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A journal of more than two checkpoints, to be copied and spoilt."""
    paths = places(tmp_path_factory.mktemp("journal"))
    journal = Journal(paths)
    count = 0
    while journal.verify().lines < LINES:
        count += 1
        journal.append(answer(count))
    return paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Empty places."""
    return places(tmp_path)


def copied(written: Paths, folder: Path) -> tuple[Paths, list[bytes]]:
    """A copy that may be spoilt, and its lines."""
    copy = Paths(data=folder / "data", state=folder / "state", config=written.config)
    copy.journal.mkdir(parents=True, exist_ok=True)
    for file in written.journal.iterdir():
        (copy.journal / file.name).write_bytes(file.read_bytes())
    return copy, (copy.journal / "journal.jsonl").read_bytes().splitlines(keepends=True)


def spoilt(paths: Paths, lines: list[bytes]) -> bool:
    """Whether these lines are found to be another journal."""
    (paths.journal / "journal.jsonl").write_bytes(b"".join(lines))
    verdict = Journal(paths).verify()
    assert bool(verdict.problem) != verdict.whole
    return not verdict.whole


def test_a_journal_that_nobody_touched_is_whole(written: Paths) -> None:
    """Two checkpoints, the rest not signed yet; the head can be noted and given back."""
    verdict = Journal(written).verify()
    assert (verdict.whole, verdict.lines, verdict.checkpoints) == (True, LINES, 2)
    assert verdict.after_checkpoint == LINES - 2 * CHECKPOINT_EVERY
    assert Journal(written).verify(Note(verdict.lines, verdict.head)).whole
    assert not Journal(written).verify(Note(verdict.lines, "0" * 64)).whole


def test_an_empty_journal_is_whole(paths: Paths) -> None:
    """Nothing ran, and looking makes no file."""
    assert Journal(paths).verify().whole
    assert not paths.state.exists()
    assert not paths.config.exists()


many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@many
@given(st.data())
def test_any_edit_is_found(written: Paths, tmp_path: Path, data: st.DataObject) -> None:
    """One byte changed to another, anywhere."""
    paths, lines = copied(written, tmp_path)
    raw = bytearray(b"".join(lines))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255).filter(lambda value: value != raw[at]))
    assert spoilt(paths, [bytes(raw)])


@many
@given(st.data())
def test_any_deletion_is_found(written: Paths, tmp_path: Path, data: st.DataObject) -> None:
    """Any run of lines, at the end too."""
    paths, lines = copied(written, tmp_path)
    first = data.draw(st.integers(0, len(lines) - 1))
    last = data.draw(st.integers(first + 1, len(lines)))
    assert spoilt(paths, lines[:first] + lines[last:])


@many
@given(st.data())
def test_any_reordering_and_repetition_is_found(written: Paths, tmp_path: Path, data: st.DataObject) -> None:
    """Two lines swapped, or one put in twice."""
    paths, lines = copied(written, tmp_path)
    one = data.draw(st.integers(0, len(lines) - 1))
    other = data.draw(st.integers(0, len(lines) - 1).filter(lambda value: value != one))
    swapped = list(lines)
    swapped[one], swapped[other] = swapped[other], swapped[one]
    assert spoilt(paths, swapped)
    assert spoilt(paths, [*lines[:one], lines[other], *lines[one:]])


def test_a_chain_rewritten_without_the_key_is_found(written: Paths, tmp_path: Path) -> None:
    """Every hash fits again, but nobody can sign the checkpoints of it."""
    import hashlib

    paths, lines = copied(written, tmp_path)
    previous, rewritten = "0" * 64, []
    for line in lines:
        entry = json.loads(line)
        entry["previous"] = previous
        if entry["n"] == 5:
            entry["event"]["answer_tokens"] = 999
        raw = json.dumps(entry, separators=(",", ":")).encode()
        previous = hashlib.sha256(raw).hexdigest()
        rewritten.append(raw + b"\n")
    (paths.journal / "length.json").write_text(json.dumps({"count": len(lines), "head": previous}))
    assert spoilt(paths, rewritten)
    assert "signature of the checkpoint in line 64" in Journal(paths).verify().problem


def test_a_break_is_named_by_its_line(written: Paths, tmp_path: Path) -> None:
    """The person who looks is told where."""
    paths, lines = copied(written, tmp_path)
    assert spoilt(paths, lines[:9] + lines[10:])
    assert "line 10" in Journal(paths).verify().problem


def test_a_torn_line_is_repaired_openly(paths: Paths) -> None:
    """What a crash left is taken away, and the next line says how much it was."""
    journal = Journal(paths)
    journal.append(answer())
    file = paths.journal / "journal.jsonl"
    with file.open("ab") as torn:
        torn.write(b'{"n":1,"time":"2026')
    assert "cut off" in journal.verify().problem
    journal.append(answer())
    kinds = [json.loads(line)["event"] for line in file.read_bytes().splitlines()]
    assert [event["kind"] for event in kinds] == ["answer", "repair", "answer"]
    assert kinds[1]["torn_bytes"] == 19
    assert journal.verify().whole


def test_nothing_is_added_to_what_is_no_journal(paths: Paths) -> None:
    """It would bury what is wrong with it."""
    journal = Journal(paths)
    journal.append(answer())
    (paths.journal / "journal.jsonl").write_bytes(b"something else\n")
    with pytest.raises(IntegrityError, match="last line of the journal is damaged"):
        journal.append(answer())


WRITER: Final = """
import sys
from pathlib import Path
from deploy.paths import Paths
from deploy.journal import Event, Journal
base = Path(sys.argv[1])
journal = Journal(Paths(data=base / "data", state=base / "state", config=base / "config"))
for count in range(int(sys.argv[2])):
    journal.append(Event(kind="answer", model="m", answer_tokens=count, outcome="stop"))
    print(count, flush=True)
"""


def writer(folder: Path, count: int) -> "subprocess.Popen[bytes]":
    """A process that writes events as fast as it can."""
    command = [sys.executable, "-c", WRITER, str(folder), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY)


def test_two_processes_write_one_chain(paths: Paths, tmp_path: Path) -> None:
    """Their lines are mixed, and none is lost."""
    running = [writer(tmp_path, 60) for _ in range(3)]
    for process in running:
        process.communicate()
        assert process.returncode == 0
    verdict = Journal(paths).verify()
    assert verdict.whole, verdict.problem
    assert verdict.lines == 180 + verdict.checkpoints


def test_a_writer_that_is_killed_leaves_a_journal_that_goes_on(paths: Paths, tmp_path: Path) -> None:
    """SIGKILL at any moment: what was reported as written is there, and the chain holds after the next event."""
    told = 0
    for wait_s in (0.0, 0.013, 0.029, 0.061, 0.097):
        with writer(tmp_path, 100_000) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(wait_s)
            process.send_signal(signal.SIGKILL)
            told += 1 + len(process.stdout.read().split(b"\n")) - 1
        Journal(paths).append(answer())
        verdict = Journal(paths).verify()
        assert verdict.whole, verdict.problem
    answers = sum(json.loads(line)["event"]["kind"] == "answer" for line in Journal(paths).raw_lines())
    assert answers >= told + 5 - 1


def test_an_event_costs_little(paths: Paths) -> None:
    """The median stays far below what a person notices, checkpoints left out."""
    journal = Journal(paths)
    signing_key(paths)
    journal.append(answer())
    taken = []
    for _ in range(50):
        started = time.perf_counter()
        journal.append(answer())
        taken.append(time.perf_counter() - started)
    assert sorted(taken)[len(taken) // 2] < 0.05


def test_the_journal_is_closed_to_others(paths: Paths) -> None:
    """It says who worked when."""
    Journal(paths).append(answer())
    assert paths.journal.stat().st_mode & 0o777 == 0o700
    assert (paths.journal / "journal.jsonl").stat().st_mode & 0o777 == 0o600


def ended_twice(paths: Paths) -> list[Path]:
    """Three journals, of which two are ended: those, oldest first."""
    journal = Journal(paths)
    for day in (1, 2):
        journal.append(answer(day))
        journal.begin_anew(dt.date(2026, 1, day), dt.date(2026, 1, day + 1))
    journal.append(answer())
    return sorted((paths.journal / "ended").iterdir())


def test_ended_journals_are_followed_too(paths: Paths) -> None:
    """The record of last year is worth as much as that of today."""
    ended_twice(paths)
    verdict = Journal(paths).verify()
    assert (verdict.whole, verdict.ended, verdict.ended_lines) == (True, 2, 3)


@pytest.mark.parametrize("which", [0, 1])
def test_an_edit_in_an_ended_journal_is_found(paths: Paths, which: int) -> None:
    """The sentence names the file."""
    file = ended_twice(paths)[which]
    file.write_bytes(file.read_bytes().replace(b'"answer_tokens":', b'"answer_tokens":9'))
    verdict = Journal(paths).verify()
    assert not verdict.whole
    assert file.name in verdict.problem


def test_an_ended_journal_that_no_later_one_names_is_found(paths: Paths) -> None:
    """One in the middle was taken away, or one was put in."""
    ended_twice(paths)[1].unlink()
    verdict = Journal(paths).verify()
    assert "no later journal continues" in verdict.problem


def test_the_oldest_journals_may_be_gone(paths: Paths) -> None:
    """A site file says after how many days they are deleted."""
    ended_twice(paths)[0].unlink()
    assert Journal(paths).verify().whole


def test_a_crash_while_a_journal_ends_looks_like_no_edit(paths: Paths) -> None:
    """The journal that goes on has a second name then."""
    ended_twice(paths)
    (paths.journal / "ended" / "journal-20260103-20260104-0123456789abcdef.jsonl").hardlink_to(
        paths.journal / "journal.jsonl"
    )
    assert Journal(paths).verify().whole
    Journal(paths).append(answer())
    Journal(paths).begin_anew(dt.date(2026, 1, 3), dt.date(2026, 1, 5))
    assert Journal(paths).verify().whole


def test_a_journal_that_cannot_be_locked_is_checked_all_the_same(paths: Paths) -> None:
    """On a read-only copy, which is what an auditor has."""
    Journal(paths).append(answer())
    (paths.journal / "lock").unlink(missing_ok=True)
    (paths.journal / "lock").mkdir()
    assert Journal(paths).verify().whole


def test_it_says_who_and_when(paths: Paths) -> None:
    """User by number and name, and a time with its zone."""
    Journal(paths).append(answer())
    line = json.loads(next(Journal(paths).raw_lines()))
    assert line["uid"] == os.getuid()
    assert line["user"]
    assert line["time"].endswith("+00:00")


def test_a_place_that_cannot_be_written_is_told(paths: Paths) -> None:
    """With the path, so that it can be mended."""
    paths.state.parent.mkdir(parents=True, exist_ok=True)
    paths.state.write_text("a file in its place")
    with pytest.raises(NotWritable, match="journal"):
        Journal(paths).append(answer())


class Killed(BaseException):
    """Stands for the end of the process."""


def killed_at_note(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """End the process before it writes the length for the time after so many."""
    left, write = [count], Journal._write_note

    def write_or_end(journal: Journal, note: Note) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        write(journal, note)

    monkeypatch.setattr(Journal, "_write_note", write_or_end)


@pytest.mark.parametrize("notes", range(7))
def test_a_crash_between_a_line_and_its_note_looks_like_no_edit(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, notes: int
) -> None:
    """Also where one event writes three lines: a repair, a checkpoint and itself. And after a second crash."""
    journal = Journal(paths)
    for count in range(CHECKPOINT_EVERY - 2):
        journal.append(answer(count))
    with (paths.journal / "journal.jsonl").open("ab") as torn:
        torn.write(b'{"n":62')
    for again in (notes, 0):
        with monkeypatch.context() as patch:
            killed_at_note(patch, again)
            with contextlib.suppress(Killed):
                journal.append(answer())
        problem = journal.verify().problem
        assert problem == "" or "cut off" in problem
    journal.append(answer())
    assert journal.verify().whole


def test_a_crash_before_the_note_of_a_new_journal_looks_like_no_edit(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The length beside it is still that of the one before."""
    journal = Journal(paths)
    journal.append(answer())
    journal.append(answer())
    with monkeypatch.context() as patch:
        killed_at_note(patch, 0)
        with pytest.raises(Killed):
            journal.begin_anew(dt.date(2026, 1, 1), dt.date(2026, 1, 2))
    assert journal.verify().problem == ""
    journal.append(answer())
    assert journal.verify().whole
    assert [json.loads(line)["event"]["kind"] for line in journal.raw_lines()] == ["begin", "answer"]


def test_lines_that_were_taken_away_are_told_by_the_next_one(paths: Paths) -> None:
    """As after a power failure: the next event would hide it, since it writes down the length anew."""
    journal = Journal(paths)
    for count in range(5):
        journal.append(answer(count))
    file = paths.journal / "journal.jsonl"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:3]))
    assert "lines were changed or removed" in journal.verify().problem
    journal.append(answer())
    told = json.loads(list(journal.raw_lines())[3])["event"]
    assert (told["kind"], told["outcome"]) == ("repair", "2 lines missing")


@pytest.mark.parametrize("raw", [b"", b'{"count": 1, "head": "\xff"}'])
def test_a_damaged_note_is_no_length(paths: Paths, raw: bytes) -> None:
    """It is told as lines that were changed, whatever bytes are in it."""
    journal = Journal(paths)
    journal.append(answer())
    (paths.journal / "length.json").write_bytes(raw)
    assert not journal.verify().whole


def test_a_damaged_journal_can_be_exported(tmp_path: Path) -> None:
    """Whoever looks into the damage needs it most: as it stands, and in the envelope as a text."""
    context = world(tmp_path)
    context.paths.journal.mkdir(parents=True)
    (context.paths.journal / "journal.jsonl").write_bytes(b'{"n":0 \xff\n{"n":1}\n')
    plain = export(context).data
    assert plain is not None
    assert [bytes(line) for line in plain.lines] == [b'{"n":0 \xff', b'{"n":1}']
    printed = msgspec.json.format(msgspec.json.encode(export(context, as_json=True)))
    assert json.loads(printed)["data"]["lines"] == ['{"n":0 \N{REPLACEMENT CHARACTER}', {"n": 1}]
