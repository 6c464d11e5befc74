"""`landfast audit`: attack the sealed engine on this machine, and write a signed report of what happened."""

import dataclasses
import datetime as dt
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from deploy import __version__
from deploy.commands.context import Context
from deploy.commands.recording import RecordedSession, Recorder
from deploy.commands.session import open_model
from deploy.engine.attack_protocol import Attempt
from deploy.engine.base import Session
from deploy.engine.client import LlamaEngine, LlamaSession
from deploy.engine.protocol import ChatMessage, Done, Generate, Sampling, SealReport
from deploy.engine.seal import seccomp
from deploy.engine.seal.outside import Finding, look
from deploy.engine.seal.places import engine_libraries
from deploy.engine.seal.planted import Planted
from deploy.errors import EngineFailed, IntegrityError, NotFound, NotSealed, NotWritable, UsageError
from deploy.fit.fit import Workload
from deploy.journal import Event, Journal
from deploy.keys import (
    Envelope,
    fingerprint,
    load_public_key,
    public_key,
    sign_dsse,
    signing_key,
    verify_dsse,
)
from deploy.results import Problem, Result, warning
from deploy.sources.base import Progress

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:landfast:audit:1"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
WORKLOAD: Final = Workload(context_tokens=1024)
QUESTION: Final = "Say hello in one short sentence."
ANSWER_TOKENS: Final = 24
NOT_COVERED: Final = (
    "Landfast itself: the process that starts the engine is not sealed, and uses the network to install models.",
    "Faults in the kernel that let a process out of Landlock and seccomp.",
    "Root on this machine, and whoever can replace its kernel or Landfast: they can look into the engine.",
    "Side channels: what other programs can learn from time, memory use, caches and power.",
    "Swap and hibernation: the system may write memory, and with it a conversation, to a disk.",
    "Names, sizes and times of files while a model is being read; without Landlock their contents too.",
    "What the model says: it may be wrong or harmful. And the model's bytes: `landfast models verify` checks those.",
    "Other machines and other times: the report says what was seen here, then.",
)


class AuditRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to audit and where to put the report."""

    model: str | None = None
    out: str | None = None


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One question to a sealed engine: that it was answered, not how."""

    model: str
    answer_tokens: int
    decode_tok_s: float


class Subject(msgspec.Struct, frozen=True):
    """A file that the statement is about."""

    name: str
    digest: dict[str, str]


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """All that was seen. This is what is signed."""

    holds: bool
    """Whether every attack on the working engine failed, nothing was received, and the system confirms the seal."""
    landfast: str
    engine: str
    made_at: str
    kernel: str
    as_root: bool
    seal: SealReport
    calls_allowed: tuple[str, ...]
    outside: tuple[Finding, ...]
    working: tuple[Attempt, ...]
    """In the state in which it answers."""
    while_loading: tuple[Attempt, ...] = ()
    """In the state in which a model is read."""
    control: tuple[Attempt, ...] = ()
    """The same attacks by an engine without the seal: they do work here."""
    received: tuple[str, ...] = ()
    """What the planted listeners heard of the sealed engine."""
    control_received: tuple[str, ...] = ()
    question: Question | None = None
    not_covered: tuple[str, ...] = NOT_COVERED


class Statement(msgspec.Struct, frozen=True, rename={"type_": "_type", "predicate_type": "predicateType"}):
    """An in-toto statement."""

    type_: str
    subject: tuple[Subject, ...]
    predicate_type: str
    predicate: Findings


class AuditData(msgspec.Struct, frozen=True, kw_only=True):
    """The findings, and where the signed report lies."""

    findings: Findings
    report: str
    signed_by: str
    """Fingerprint of the key."""


class VerifiedData(msgspec.Struct, frozen=True, kw_only=True):
    """A report whose signature fits."""

    report: str
    signed_by: str
    subject: tuple[Subject, ...]
    findings: Findings


def audit(context: Context, request: AuditRequest) -> Result[AuditData]:
    """Seal, attack, compare with an unsealed control, sign. Raises what opening a model raises, and UsageError."""
    if sys.platform != "linux":
        raise UsageError("The audit knows the attacks for Linux only.", hint="Run it on a Linux machine.")
    findings, subject = _examine(context, request)
    statement = Statement(STATEMENT_TYPE, subject, PREDICATE_TYPE, findings)
    key = signing_key(context.paths)
    report = _write(context, request, sign_dsse(key, PAYLOAD_TYPE, msgspec.json.encode(statement)))
    recorder = Recorder(Journal(context.paths), "", (), required=context.policy.refusal_of_unrecorded())
    recorder.record(Event(kind="audit", seal=findings.seal.level, outcome="holds" if findings.holds else "broken"))
    messages = (warning(f"This audit is not in the journal. {recorder.problem}"),) if recorder.problem else ()
    data = AuditData(findings=findings, report=str(report), signed_by=fingerprint(key.public_key()))
    if findings.holds:
        return Result(command="audit", changed=True, data=data, messages=messages)
    broken = NotSealed(_worst(findings), hint="Do not use it for what must stay here, and report this.")
    return Result(
        command="audit",
        status="error",
        changed=True,
        data=data,
        messages=messages,
        errors=(Problem(broken.code, broken.message, broken.hint),),
        exit_code=int(broken.exit_code),
    )


def verify(context: Context, file: str, key_file: str | None = None) -> Result[VerifiedData]:
    """Check the signature of a report. Raises NotFound, or IntegrityError when it does not fit."""
    key = load_public_key(Path(key_file).expanduser()) if key_file else public_key(context.paths)
    if key is None:
        raise NotFound("There is no key on this machine yet.", hint="Give the signer's public key with --key FILE.")
    path = Path(file).expanduser()
    try:
        envelope = msgspec.json.decode(path.read_bytes(), type=Envelope)
        statement = msgspec.json.decode(verify_dsse(key, envelope), type=Statement)
    except OSError as error:
        raise NotFound(
            f"{path} cannot be read: {error.strerror}.", hint="Check the path and its permissions."
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{path} is not an audit report.", hint="Give one that `landfast audit` wrote.") from error
    return Result(
        command="audit verify",
        data=VerifiedData(
            report=str(path),
            signed_by=fingerprint(key),
            subject=statement.subject,
            findings=statement.predicate,
        ),
    )


@dataclass(frozen=True, slots=True)
class _Working:
    """An engine in the state in which it answers."""

    session: LlamaSession
    files: tuple[Path, ...] = ()
    question: Question | None = None


def _examine(context: Context, request: AuditRequest) -> tuple[Findings, tuple[Subject, ...]]:
    with Planted() as planted:
        _say(context, "attack an engine that is about to read a model")
        with LlamaEngine(audit=True).start() as loading:
            while_loading = loading.attack(planted.targets, while_loading=True).attempts
        _say(context, "attack an engine at work")
        with _working(context, request) as working:
            found = _attacked(working, planted)
        received = planted.received()
        _say(context, "attack without the seal, to compare")
        with LlamaEngine(audit=True, unsealed=True).start() as control:
            unsealed = control.attack(planted.targets).attempts
        compared = msgspec.structs.replace(
            found,
            holds=found.holds and not received,
            while_loading=while_loading,
            control=unsealed,
            received=received,
            control_received=planted.received(),
        )
    return compared, _subject(working.files)


def _attacked(working: _Working, planted: Planted) -> Findings:
    """Look at an engine at work, then attack it."""
    session = working.session
    targets = planted.targets
    if working.files:
        targets = msgspec.structs.replace(targets, model_path=str(working.files[0]))
    outside = look(session.process_id)
    attempts = session.attack(targets).attempts
    seal = session.ready.seal
    confirmed = seal.level != "none" and all(finding.ok for finding in outside)
    return Findings(
        holds=confirmed and not any(attempt.open for attempt in attempts),
        landfast=__version__,
        engine=session.ready.engine,
        made_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        kernel=f"{os.uname().sysname} {os.uname().release} {os.uname().machine}",
        as_root=os.geteuid() == 0,
        seal=seal,
        calls_allowed=seccomp.allowed("import" if seal.gpu else "serve", gpu=seal.gpu),
        outside=outside,
        working=attempts,
        question=working.question,
    )


@contextmanager
def _working(context: Context, request: AuditRequest) -> Iterator[_Working]:
    """With a model that has answered, where one is installed; else without, in the same state."""
    engine = LlamaEngine(audit=True)
    if request.model is None and not context.store.installed():
        with engine.start() as session:
            yield _Working(session)
        return
    opened = open_model(dataclasses.replace(context, engine=engine), request.model, WORKLOAD)
    try:
        question = _ask(opened.session, opened.plan.id)
        yield _Working(_innermost(opened.session), opened.files, question)
    finally:
        opened.session.close()


def _innermost(session: Session) -> LlamaSession:
    inner = session.inner if isinstance(session, RecordedSession) else session
    if not isinstance(inner, LlamaSession):
        raise EngineFailed("Only the real engine can be attacked.")
    return inner


def _ask(session: Session, model: str) -> Question | None:
    """One question. Its answer is counted and not kept. None where the model writes no answers."""
    asked = (ChatMessage("user", QUESTION),)
    request = Generate(messages=asked, max_tokens=ANSWER_TOKENS, sampling=Sampling(temperature=0))
    try:
        done = next(event for event in session.generate(request) if isinstance(event, Done))
    except EngineFailed:
        if session.ended:
            raise
        return None
    return Question(model=model, answer_tokens=done.stats.answer_tokens, decode_tok_s=round(done.stats.decode_tok_s, 2))


def _subject(files: tuple[Path, ...]) -> tuple[Subject, ...]:
    """The model and the engine's libraries, hashed now."""
    return tuple(Subject(path.name, {"sha256": _sha256(path)}) for path in (*files, *engine_libraries()))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _worst(findings: Findings) -> str:
    """The reason why the seal does not hold, the gravest first."""
    if findings.received:
        return f"Something left the sealed engine: {', '.join(findings.received)}."
    opened = [attempt.name for attempt in findings.working if attempt.open]
    if opened:
        return f"{len(opened)} of {len(findings.working)} attacks worked: {', '.join(opened)}."
    unlike = [f"{finding.name} is {finding.value}" for finding in findings.outside if not finding.ok]
    return f"The system does not confirm the seal: {', '.join(unlike) or 'none was applied'}."


def _write(context: Context, request: AuditRequest, envelope: Envelope) -> Path:
    name = f"audit-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}.json"
    path = Path(request.out).expanduser() if request.out else context.paths.state / "audits" / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(envelope), indent=1) + b"\n")
    except OSError as error:
        hint = "Choose another place with --out."
        raise NotWritable(f"The report {path} cannot be written: {error.strerror}.", hint=hint) from error
    return path


def _say(context: Context, text: str) -> None:
    context.report(Progress(step="verify", text=text))
