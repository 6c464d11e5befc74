"""The audit: it holds on a sealed engine, tells when it does not, and its report can be checked by openssl alone."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from deploy.commands import audit as module
from deploy.commands.audit import AuditData, AuditRequest, audit, verify
from deploy.commands.context import Context, real_context
from deploy.engine.client import LlamaEngine
from deploy.errors import ExitCode, IntegrityError, NotFound
from deploy.journal import Journal
from deploy.results import Result

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(sys.platform != "linux", reason="the audit is for Linux"),
]

DOCUMENT: Final = Path(__file__).parents[3] / "docs" / "audit.md"


@pytest.fixture
def world() -> Context:
    """The real engine, an empty store, no network."""
    return real_context(lambda _: None, offline=True)


def audited(world: Context, **request: Any) -> Result[AuditData]:
    """Run an audit that gives a report."""
    result = audit(world, AuditRequest(**request))
    assert result.data is not None
    return result


@dataclass(frozen=True)
class Once:
    """A host that was audited, and what that gave."""

    world: Context
    result: Result[AuditData]


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """An audit for all tests that only look at what came of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANDFAST_HOME", str(tmp_path_factory.mktemp("audited")))
        world = real_context(lambda _: None, offline=True)
        return Once(world, audited(world))


def report_of(result: Result[AuditData]) -> Path:
    """Where it lies."""
    assert result.data is not None
    return Path(result.data.report)


def test_the_seal_holds_here(once: Once) -> None:
    """Without a model: nothing works from inside, most works in the control, and the system confirms it."""
    result = once.result
    assert result.data is not None
    found = result.data.findings
    assert (result.status, result.exit_code, found.holds) == ("success", ExitCode.DONE, True)
    assert not any(attempt.open for attempt in found.working)
    assert sum(attempt.open for attempt in found.control) >= 25
    assert (found.received, found.question) == ((), None)
    assert found.control_received
    assert all(finding.ok for finding in found.outside)
    assert "socket" not in found.calls_allowed
    assert len(found.not_covered) >= 5


@pytest.mark.index
def test_a_model_is_asked_and_hashed(world: Context, smollm2_path: Path) -> None:
    """Its file is a subject of the statement, the answer is counted, and no word of it is in the report."""
    result = audited(world, model=str(smollm2_path))
    assert result.data is not None
    assert result.data.findings.question is not None
    assert result.data.findings.question.answer_tokens > 0
    checked = verify(world, result.data.report).data
    assert checked is not None
    subjects = {subject.name: subject.digest["sha256"] for subject in checked.subject}
    assert re.fullmatch(r"[0-9a-f]{64}", subjects[smollm2_path.name])
    assert any(name.startswith("libllama") for name in subjects)


def test_a_seal_that_does_not_hold_is_told(world: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that stayed open: the report says so, and the exit code too."""

    def unsealed(*, audit: bool = False, unsealed: bool = False) -> LlamaEngine:
        return LlamaEngine(audit=audit, unsealed=True)

    monkeypatch.setattr(module, "LlamaEngine", unsealed)
    result = audited(world)
    assert (result.status, result.exit_code) == ("error", ExitCode.NOT_SEALED)
    assert result.errors[0].code == "not-sealed"
    assert result.errors[0].message.startswith("Something left the sealed engine: TCP: ")
    assert result.data is not None
    assert not result.data.findings.holds


def test_an_audit_is_in_the_journal(once: Once) -> None:
    """With its outcome."""
    lines = list(Journal(once.world.paths).raw_lines())
    assert b'"kind":"audit"' in lines[-1]
    assert b'"outcome":"holds"' in lines[-1]


def test_a_report_is_checked_by_openssl_alone(world: Context, tmp_path: Path) -> None:
    """The commands of the documentation, word for word; one changed byte makes them fail."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    report = report_of(audited(world, out=str(tmp_path / "report.json")))
    shutil.copy(world.paths.keys / "signing.pub", tmp_path)
    commands, _ = re.findall(r"```sh\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["/bin/sh", "-ec", commands], cwd=tmp_path, capture_output=True, text=True, check=False)

    done = check()
    assert (done.returncode, done.stdout.strip()) == (0, "Signature Verified Successfully"), done.stderr
    statement = msgspec.json.decode((tmp_path / "statement").read_bytes())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicate"]["holds"] is True
    text = report.read_text()
    at = text.index('"payload": "') + 40
    report.write_text(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :])
    assert check().returncode != 0


def test_an_altered_report_is_refused(once: Once, tmp_path: Path) -> None:
    """Nobody can improve a report afterwards."""
    envelope = msgspec.json.decode(report_of(once.result).read_bytes())
    report = tmp_path / "report.json"
    report.write_bytes(msgspec.json.encode(envelope))
    assert verify(once.world, str(report)).data is not None
    envelope["payload"] = envelope["payload"][:-8] + "AAAAAAA="
    report.write_bytes(msgspec.json.encode(envelope))
    with pytest.raises(IntegrityError):
        verify(once.world, str(report))


@pytest.mark.parametrize("contents", [b"nonsense", b"{}", b'{"payloadType": "x", "payload": "", "signatures": []}'])
def test_what_is_no_report_is_refused(once: Once, tmp_path: Path, contents: bytes) -> None:
    """With a sentence, whatever is in the file."""
    path = tmp_path / "no-report.json"
    path.write_bytes(contents)
    with pytest.raises(IntegrityError):
        verify(once.world, str(path))


def test_a_missing_key_or_report_is_not_found(world: Context, once: Once, tmp_path: Path) -> None:
    """Before the first audit there is no key here to check with."""
    with pytest.raises(NotFound, match="no key on this machine"):
        verify(world, str(tmp_path / "nothing"))
    with pytest.raises(NotFound):
        verify(once.world, str(tmp_path / "nothing"))
    key = once.world.paths.keys / "signing.pub"
    assert verify(once.world, str(report_of(once.result)), str(key)).data is not None


def test_an_audit_that_cannot_be_written_down_is_shown_all_the_same(
    once: Once, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report is there by then; that the journal lacks it is a warning."""
    assert once.result.data is not None
    findings = once.result.data.findings
    monkeypatch.setattr(module, "_examine", lambda *_: (findings, ()))
    monkeypatch.setenv("LANDFAST_HOME", str(tmp_path))
    here = real_context(lambda _: None, offline=True)
    here.paths.journal.parent.mkdir(parents=True)
    here.paths.journal.write_text("a file in its place")
    result = audited(here)
    assert result.exit_code == ExitCode.DONE
    assert report_of(result).exists()
    assert [message.text for message in result.messages if "not in the journal" in message.text]
