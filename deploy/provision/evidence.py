"""`landfast evidence`: what an auditor asks for, in one signed folder that needs no Landfast to be checked."""

import datetime as dt
import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from deploy import __version__
from deploy.commands.audit import AuditRequest, VerifiedData, audit, verify
from deploy.commands.context import Context
from deploy.commands.journal import verify as verify_journal
from deploy.commands.models import verify as verify_models
from deploy.commands.policy import show
from deploy.commands.resolve import catalogued
from deploy.commands.version import version_of_all
from deploy.engine.seal.places import engine_libraries
from deploy.errors import IntegrityError, UsageError
from deploy.keys import fingerprint, public_key_pem, signing_key
from deploy.provision import bom
from deploy.results import Message, Result, warning
from deploy.store.files import disk_errors
from deploy.store.records import Installed

README, SUMS, SIGNATURE, KEY = "README.txt", "SHA256SUMS", "SHA256SUMS.sig", "signing.pub"
AUDIT: Final = "audit.json"
NOT_COVERED: Final = (
    "Whose key signed it: compare its fingerprint with one that reached you in another way.",
    "Any other time than that of its making, and any other host.",
    "What the models say, and what they were trained on. Licences and publishers are as the catalogue has them.",
    "Who made the weights: publishers do not sign them. models.json says who promised each hash before it came.",
    "The operating system, drivers and firmware: the software listed is Python's packages and the engine's libraries.",
    "What was asked and answered: the journal, of which only the end is named, never holds that.",
    "The limits that the audit report names for itself, above all root on this host.",
)


class EvidenceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Where the folder is to be, and with which audit report."""

    out: str
    audit: str | None = None


class EvidenceData(msgspec.Struct, frozen=True, kw_only=True):
    """A folder that was made."""

    path: str
    files: tuple[str, ...]
    size_bytes: int
    signed_by: str
    """Fingerprint of the key."""
    made_at: str
    models: tuple[str, ...]
    audit_made_at: str | None
    """None where there is no audit report in it."""
    journal_head: str
    """LINES:SHA256, as `journal verify --head` takes it."""
    not_covered: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Collected:
    """All files of the folder but those that vouch for the others."""

    files: dict[str, bytes]
    meanings: dict[str, str]
    models: tuple[str, ...]
    audit_made_at: str | None
    journal_head: str
    not_covered: tuple[str, ...]
    messages: tuple[Message, ...]


def evidence(
    context: Context,
    request: EvidenceRequest,
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
) -> Result[EvidenceData]:
    """Hash all models, collect, sign and put the folder in place in one move.

    Raises UsageError where something is in the folder's place, IntegrityError for a damaged model or report.
    """
    out = Path(request.out).expanduser().absolute()
    if out.exists():
        raise UsageError(f"{out} already exists.", hint="Choose a folder that does not exist yet.")
    key = signing_key(context.paths)
    report = _report(context, request)
    made_at = now().isoformat(timespec="seconds")
    found = collect(context, report, made_at)
    files = _vouched(found, made_at, fingerprint(key.public_key()), public_key_pem(key.public_key()))
    sums = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)).encode()
    files |= {SUMS: sums, SIGNATURE: key.sign(sums)}
    _write(out, files)
    data = EvidenceData(
        path=str(out),
        files=tuple(sorted(files)),
        size_bytes=sum(len(content) for content in files.values()),
        signed_by=fingerprint(key.public_key()),
        made_at=made_at,
        models=found.models,
        audit_made_at=found.audit_made_at,
        journal_head=found.journal_head,
        not_covered=found.not_covered,
    )
    return Result(command="evidence", changed=True, data=data, messages=found.messages)


def collect(context: Context, report: str | None, made_at: str) -> Collected:
    """Everything that is shown, made or looked up now."""
    models, names = _models(context, made_at)
    policy = _policy(context)
    audited, audit_made_at, said = _audit(context, report, made_at)
    journal, head, doubts = _journal(context)
    parts = (_machine(context), models, policy, _software(context, made_at), audited, journal)
    lacking = () if audit_made_at else ("The seal of the engine: there is no audit report in it.",)
    return Collected(
        files={name: content for part in parts for name, (content, _) in part.items()},
        meanings={name: meaning for part in parts for name, (_, meaning) in part.items()},
        models=names,
        audit_made_at=audit_made_at,
        journal_head=head,
        not_covered=(*NOT_COVERED, *lacking),
        messages=(*said, *doubts),
    )


Part = dict[str, tuple[bytes, str]]
"""Files by name, each with what it is."""


def _machine(context: Context) -> Part:
    return {"machine.json": (_json(context.profile()), "This machine, each fact with its source.")}


def _models(context: Context, made_at: str) -> tuple[Part, tuple[str, ...]]:
    """Every installed model, hashed now. Raises IntegrityError for a damaged one."""
    checked = verify_models(context, None)
    if checked.errors:
        problem = checked.errors[0]
        raise IntegrityError(f"There is no evidence of damaged models: {problem.message}", hint=problem.hint)
    entries = [(record, catalogued(context, record)) for record in context.store.installed()]
    listed = [
        {
            "installed": _recorded(record),
            "catalogued": None if known is None else msgspec.to_builtins(_facts(known)),
            "hashed_at": made_at,
        }
        for record, known in entries
    ]
    part: Part = {"models.json": (_json(listed), "The installed models: hashes, licence, publisher, where from.")}
    for version in bom.VERSIONS:
        meaning = f"The models as CycloneDX {version} ML-BOM."
        part[f"models-{version}.cdx.json"] = (_json(bom.of_models(version, made_at, entries)), meaning)
    return part, tuple(record.id for record, _ in entries)


def _recorded(record: Installed) -> Any:
    """The lock file, without what another hashing changes: the file system's numbers, and when it was."""
    found = msgspec.to_builtins(record)
    found.pop("verified_at")
    for file in found["files"]:
        file.pop("identity")
    return found


def _facts(known: tuple[Any, Any]) -> Any:
    """The catalogue's entry with the one form that is installed, and without the engine's memory curves."""
    model, form = known
    facts = msgspec.to_builtins(msgspec.structs.replace(model, artifacts=(form,)))
    facts.pop("memory")
    return facts


def _software(context: Context, made_at: str) -> Part:
    part: Part = {"version.json": (_json(version_of_all(context).data), "Versions of the parts that decide.")}
    for version in bom.VERSIONS:
        meaning = f"Python's packages and the engine's libraries as CycloneDX {version} SBOM."
        part[f"software-{version}.cdx.json"] = (_json(bom.of_software(version, made_at)), meaning)
    return part


def _policy(context: Context) -> Part:
    """The rules in force, and the files that they stand in."""
    part: Part = {"policy.json": (_json(show(context).data), "The rules in force; without a file all is allowed.")}
    for number, document in enumerate(context.policy.documents, start=1):
        with disk_errors(Path(document.file)):
            content = Path(document.file).read_bytes()
        part[f"policy-{number}.toml"] = (content, f"Copy of {document.file}.")
    return part


def _report(context: Context, request: EvidenceRequest) -> str | None:
    """The report that was named, or the newest one, or one that is made now; None where the audit cannot be."""
    reports = sorted((context.paths.state / "audits").glob("*.json"))
    if request.audit is not None or reports:
        return request.audit or str(reports[-1])
    if sys.platform != "linux":
        return None
    made = audit(context, AuditRequest()).data
    return None if made is None else made.report


def _audit(context: Context, path: str | None, made_at: str) -> tuple[Part, str | None, tuple[Message, ...]]:
    """Raises IntegrityError for a report that is not as this host signed it."""
    found = None if path is None else _checked(context, path)
    if path is None or found is None:
        return {}, None, (warning("There is no audit report in it: the audit is for Linux."),)
    part: Part = {AUDIT: (Path(path).expanduser().read_bytes(), "Signed report: the sealed engine was attacked.")}
    return part, found.findings.made_at, tuple(map(warning, _doubts(found, made_at)))


def _checked(context: Context, path: str) -> VerifiedData | None:
    try:
        return verify(context, path).data
    except IntegrityError as error:
        raise IntegrityError(
            f"The audit report {path} cannot be included: {error.message}",
            hint="Run `landfast audit` for a new one, or give another one with --audit.",
        ) from error


def _doubts(found: VerifiedData, made_at: str) -> Iterator[str]:
    """What a report does not show, or not of this host as it is now."""
    report = found.findings
    if not report.holds:
        yield "The audit report says that the seal does not hold."
    libraries = {(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in engine_libraries()}
    audited = {(subject.name, subject.digest.get("sha256")) for subject in found.subject}
    if report.landfast != __version__ or not libraries <= audited:
        yield (
            "The audit report is about another version of Landfast or of its engine than is here now; "
            "`landfast audit` makes a new one."
        )
    if report.made_at > made_at:
        yield (
            f"The audit report has a later date than this evidence, {report.made_at}: a clock was changed. "
            "With --audit another report is taken."
        )


def _journal(context: Context) -> tuple[Part, str, tuple[Message, ...]]:
    verdict = verify_journal(context).data
    if verdict is None:
        return {}, "", ()
    head = f"{verdict.lines}:{verdict.head}"
    doubts = () if verdict.whole else (warning(f"The journal is not whole: {verdict.problem}"),)
    part: Part = {"journal.json": (_json(verdict), "Length and end of the journal: kept, it shows later cuts.")}
    return part, head, doubts


def _vouched(found: Collected, made_at: str, key: str, pem: bytes) -> dict[str, bytes]:
    """With the page that explains them, and the public key."""
    meanings = found.meanings | {KEY: "The public key of this host.", README: "This page."}
    text = _readme(replace(found, meanings=meanings), made_at, key)
    return {**found.files, KEY: pem, README: text.encode()}


def _readme(found: Collected, made_at: str, key: str) -> str:
    width = max(map(len, found.meanings))
    listed = "\n".join(f"    {name:<{width}}  {found.meanings[name]}" for name in sorted(found.meanings))
    audited = _AUDITED.format(made_at=found.audit_made_at) if found.audit_made_at else ""
    doubts = "".join(f"  ! {message.text}\n" for message in found.messages)
    return _PAGE.format(
        models=", ".join(found.models) or "none",
        made_at=made_at,
        landfast=__version__,
        listed=listed,
        count=len(found.meanings) + 2,
        key=key,
        head=found.journal_head,
        audited=audited,
        host=platform.node() or "unknown",
        doubts=f"\nWhat to look at first\n---------------------\n{doubts}" if doubts else "",
        not_covered="\n".join(f"  - {sentence}" for sentence in found.not_covered),
    )


def _write(out: Path, files: dict[str, bytes]) -> None:
    """Put the whole folder in place in one move, or leave nothing. Raises NotWritable and NotEnoughSpace."""
    with disk_errors(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        try:
            for name, content in files.items():
                (staged / name).write_bytes(content)
                (staged / name).chmod(0o644)
            staged.chmod(0o755)
            os.replace(staged, out)  # noqa: PTH105 - Path.replace would say the same
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def _json(value: Any) -> bytes:
    """In one order, so that two folders can be compared line by line."""
    found = msgspec.to_builtins(value)
    return json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


_PAGE: Final = """Evidence of the language models on one host
===========================================

Host: {host}
Models: {models}
Made at {made_at} by Landfast {landfast}. All model files were hashed for it.
{doubts}
Files
-----
{listed}
    SHA256SUMS and SHA256SUMS.sig vouch for all of them: {count} files in all.

How to check it
---------------
With openssl 3.0 or newer and sha256sum, in this folder. The first command must say that the signature is verified,
the second OK for each file, and the third that there is no other file:

    openssl pkeyutl -verify -pubin -inkey signing.pub -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig
    sha256sum --check --strict SHA256SUMS
    test "$(ls -A | wc -l)" -eq {count} && echo "{count} files, and no other"

The fingerprint of the key, to be compared with one that reached you in another way:

    openssl pkey -pubin -in signing.pub -outform DER | tail -c 32 | sha256sum

    {key}

The files *.cdx.json follow the JSON schemas that CycloneDX publishes for their versions.
On the host, a model file can be hashed with sha256sum: its name in the store is its SHA-256.
{audited}
The journal ended at {head}.
Later, on the host, `landfast journal verify --head` with it finds lines that were removed.

What it does not cover
----------------------
{not_covered}
"""
_AUDITED: Final = """
The audit report was made at {made_at}. It has a signature of its own, by the same key:

    field() {{ sed -n "s/.*\\"$1\\": \\"\\([^\\"]*\\)\\".*/\\1/p" audit.json | openssl base64 -d -A; }}
    scratch=$(mktemp -d); field payload > $scratch/statement; field sig > $scratch/signature
    size=$(wc -c < $scratch/statement)
    {{ printf 'DSSEv1 28 application/vnd.in-toto+json %d ' $size; cat $scratch/statement; }} > $scratch/signed
    openssl pkeyutl -verify -pubin -inkey signing.pub -rawin -in $scratch/signed -sigfile $scratch/signature

"""
