"""The evidence folder is checked by openssl and sha256sum alone, and no byte of it can be changed unseen."""

import datetime as dt
import hashlib
import json
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deploy import __version__
from deploy.catalog.loader import load
from deploy.catalog.model import Model
from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from deploy.engine.protocol import SealReport
from deploy.engine.seal.places import engine_libraries
from deploy.errors import IntegrityError, UsageError
from deploy.journal import Event, Journal
from deploy.keys import public_key_pem, sign_dsse, signing_key
from deploy.policy.policy import NO_POLICY
from deploy.provision import bom
from deploy.provision.evidence import EvidenceData, EvidenceRequest, evidence
from deploy.store.records import Installed, StoredFile, now
from tests.deploy.provision.kit import host
from tests.support.cli import Landfast

NOON: Final = dt.datetime(2025, 6, 1, 12, tzinfo=dt.UTC)
CODE: Final = re.compile(r"^    (.*)$", re.MULTILINE)
SCHEMAS: Final = {"1.6": SchemaVersion.V1_6, "1.7": SchemaVersion.V1_7}
EVERY: Final = {
    *("README.txt", "SHA256SUMS", "SHA256SUMS.sig", "audit.json", "journal.json", "machine.json", "models.json"),
    *("models-1.6.cdx.json", "models-1.7.cdx.json", "software-1.6.cdx.json", "software-1.7.cdx.json"),
    *("policy-1.toml", "policy.json", "signing.pub", "version.json"),
}


def report(context: Context, **other: Any) -> str:
    """An audit report of this host's key, as short as one can be."""
    findings: dict[str, Any] = {
        "holds": True,
        "landfast": __version__,
        "engine": "test",
        "made_at": "2025-06-01T11:00:00+00:00",
        "kernel": "Testix",
        "as_root": False,
        "seal": msgspec.to_builtins(SealReport(level="full")),
        "calls_allowed": [],
        "outside": [],
        "working": [],
    }
    libraries = [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in engine_libraries()]
    subject = [{"name": name, "digest": {"sha256": digest}} for name, digest in libraries]
    statement = {"_type": "x", "subject": subject, "predicateType": "y", "predicate": findings | other}
    kind = "application/vnd.in-toto+json"
    envelope = sign_dsse(signing_key(context.paths), kind, json.dumps(statement).encode())
    path = context.paths.state / "audits" / "audit-20250601T110000Z.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(envelope), indent=1) + b"\n")
    return str(path)


def furnished(home: Path) -> Context:
    """A host with two models, a policy and an audit report."""
    context = host(home)
    for name in ("one:Q4_0", "two:Q4_0"):
        install(context, InstallRequest(model=name))
    report(context)
    rules = home / "config" / "policy.toml"
    rules.write_text('[allow]\nlicence = ["Apache-2.0"]\n')
    return replace(context, policy=NO_POLICY.with_file(rules))


def made(context: Context, out: Path) -> EvidenceData:
    """Make the folder."""
    data = evidence(context, EvidenceRequest(out=str(out)), lambda: NOON).data
    assert data is not None
    return data


def checks(folder: Path) -> list[str]:
    """The commands that the page in the folder tells an auditor to run."""
    lines = CODE.findall((folder / "README.txt").read_text("utf-8"))
    return [line for line in lines if line.startswith(("openssl pkeyutl", "sha256sum", "test "))][:3]


def passes(folder: Path, commands: list[str]) -> bool:
    """Whether all of them succeed; nothing of Landfast is run."""
    assert len(commands) == 3
    path = {"PATH": "/usr/bin:/bin"}
    return all(
        subprocess.run(["/bin/sh", "-c", line], cwd=folder, env=path, capture_output=True, check=False).returncode == 0
        for line in commands
    )


@dataclass(frozen=True)
class Made:
    """A host, its evidence folder, and what was said of that."""

    context: Context
    folder: Path
    data: EvidenceData

    def copy(self, where: Path) -> Path:
        """The folder again, to change."""
        return shutil.copytree(self.folder, where / "evidence")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A folder that is only looked at."""
    home, folder = tmp_path_factory.mktemp("host") / "home", tmp_path_factory.mktemp("out") / "evidence"
    context = furnished(home)
    return Made(context, folder, made(context, folder))


@pytest.fixture(autouse=True)
def _tools() -> None:
    """What every auditor has."""
    for tool in ("openssl", "sha256sum"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")


def test_the_folder_holds_everything_and_is_checked_without_landfast(whole: Made) -> None:
    """By the commands that stand in it."""
    assert set(whole.data.files) == {path.name for path in whole.folder.iterdir()} == EVERY
    assert whole.data.models == ("one:Q4_0", "two:Q4_0")
    assert passes(whole.folder, checks(whole.folder))


@pytest.mark.parametrize("name", sorted(EVERY))
def test_a_changed_byte_is_found_in_every_file(whole: Made, tmp_path: Path, name: str) -> None:
    """At the start, in the middle and at the end; in the signature everywhere."""
    folder = whole.copy(tmp_path)
    commands, good = checks(folder), (folder / name).read_bytes()
    places = range(len(good)) if name == "SHA256SUMS.sig" else {0, len(good) // 3, len(good) // 2, len(good) - 1}
    for at in places:
        for bit in (1, 128):
            changed = bytearray(good)
            changed[at] ^= bit
            (folder / name).write_bytes(changed)
            assert not passes(folder, commands), (at, bit)
    (folder / name).write_bytes(good)
    assert passes(folder, commands)


def test_a_file_more_or_less_is_found(whole: Made, tmp_path: Path) -> None:
    """Nothing can be slipped in beside what was signed."""
    folder = whole.copy(tmp_path)
    commands = checks(folder)
    (folder / ".extra").touch()
    assert not passes(folder, commands)
    (folder / ".extra").unlink()
    (folder / "policy-1.toml").unlink()
    assert not passes(folder, commands)


def test_the_audit_report_in_it_is_checked_by_the_page_too(whole: Made, tmp_path: Path) -> None:
    """All commands of the page, as they stand there, in one shell."""
    folder = whole.copy(tmp_path)
    script = (folder / "README.txt").read_text("utf-8").partition("signature of its own")[2].partition("The journal")[0]
    done = subprocess.run(
        ["/bin/sh", "-ec", "\n".join(CODE.findall(script))], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "Signature Verified Successfully")
    assert whole.data.audit_made_at == "2025-06-01T11:00:00+00:00"


def test_the_fingerprint_on_the_page_is_that_of_the_key(whole: Made, tmp_path: Path) -> None:
    """By the command on the page."""
    folder = whole.copy(tmp_path)
    line = next(line for line in CODE.findall((folder / "README.txt").read_text()) if "tail -c 32" in line)
    done = subprocess.run(["/bin/sh", "-c", line], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == whole.data.signed_by
    assert whole.data.signed_by in (folder / "README.txt").read_text()


@pytest.mark.parametrize("version", bom.VERSIONS)
@pytest.mark.parametrize("kind", ["models", "software"])
def test_the_bills_of_materials_are_valid_strictly(whole: Made, kind: str, version: str) -> None:
    """And the validator is one: it refuses a key that the format has not."""
    text = (whole.folder / f"{kind}-{version}.cdx.json").read_text("utf-8")
    validator = JsonStrictValidator(SCHEMAS[version])
    assert validator.validate_str(text) is None
    spoilt = json.loads(text)
    spoilt["components"][0]["bogus"] = 1
    assert validator.validate_str(json.dumps(spoilt)) is not None


@pytest.mark.parametrize("version", bom.VERSIONS)
def test_every_model_of_the_catalogue_can_stand_in_a_bill_of_materials(version: str) -> None:
    """With its licence, whichever it is, and its publisher."""
    entries = [(installed(model), (model, model.artifacts[0])) for model in load().models if model.artifacts]
    found = bom.of_models(version, NOON.isoformat(), entries)
    assert JsonStrictValidator(SCHEMAS[version]).validate_str(json.dumps(found)) is None
    card = next(c for c in found["components"] if c["name"].startswith("qwen3-8b:"))
    assert card["supplier"] == {"name": "Qwen"} or "Alibaba" in card["supplier"]["name"]
    assert card["licenses"] == [{"expression": "Apache-2.0"}]
    assert card["modelCard"]["modelParameters"]["modelArchitecture"] == "qwen3"


def installed(model: Model) -> Installed:
    """A record as an install of the model's first form would have written."""
    form = model.artifacts[0]
    files = tuple(
        StoredFile(name=file.name, sha256=f"{n:064x}", size_bytes=file.size_bytes, pinned="first-use")
        for n, file in enumerate(form.files)
    )
    return Installed(
        id=f"{model.id}:{form.quant}",
        model_id=model.id,
        name=model.name,
        quant=form.quant,
        publisher=form.publisher,
        architecture=model.architecture,
        licence=model.licence.id,
        source="the test",
        files=files,
        installed_at=now(),
        verified_at=now(),
    )


def test_two_folders_of_one_host_are_the_same(tmp_path: Path) -> None:
    """At the same time, byte for byte: order and serial numbers come from the contents."""
    context = furnished(tmp_path / "home")
    made(context, tmp_path / "a")
    made(context, tmp_path / "b")
    assert {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "b").iterdir()
    }


def test_the_models_stand_in_it_with_hashes_licence_and_publisher(whole: Made) -> None:
    """And with who promised the hashes."""
    one = json.loads((whole.folder / "models.json").read_bytes())[0]
    assert one["installed"]["files"][0]["sha256"] == whole.context.store.installed()[0].files[0].sha256
    assert one["installed"]["files"][0]["pinned"] == "catalogue"
    assert (one["catalogued"]["publisher"], one["catalogued"]["licence"]["id"]) == ("Testers", "Apache-2.0")
    assert (whole.folder / "policy-1.toml").read_text().startswith("[allow]")


def test_there_is_no_evidence_of_a_damaged_model(tmp_path: Path) -> None:
    """Nothing is written."""
    context = furnished(tmp_path / "home")
    blob = next((context.paths.store / "blobs" / "sha256").iterdir())
    blob.chmod(0o644)
    blob.write_bytes(b"!" + blob.read_bytes()[1:])
    with pytest.raises(IntegrityError, match="no evidence of damaged models"):
        made(context, tmp_path / "evidence")
    assert not (tmp_path / "evidence").exists()


def test_nothing_is_written_over(tmp_path: Path) -> None:
    """Not even an empty folder."""
    (tmp_path / "evidence").mkdir()
    with pytest.raises(UsageError, match="already exists"):
        made(furnished(tmp_path / "home"), tmp_path / "evidence")


def test_a_report_that_was_altered_is_refused(tmp_path: Path) -> None:
    """It would be the auditor who finds it."""
    context = furnished(tmp_path / "home")
    path = Path(report(context))
    path.write_text(path.read_text().replace('"sig": "', '"sig": "AAAA'))
    with pytest.raises(IntegrityError):
        made(context, tmp_path / "evidence")


def test_a_seal_that_does_not_hold_is_told(tmp_path: Path) -> None:
    """The report is evidence too."""
    context = furnished(tmp_path / "home")
    report(context, holds=False)
    result = evidence(context, EvidenceRequest(out=str(tmp_path / "evidence")), lambda: NOON)
    assert "does not hold" in result.messages[0].text


@pytest.mark.engine
def test_the_real_thing_from_the_command_line(own_copy: Landfast, tmp_path: Path) -> None:
    """A real model and a real audit, made for it; what is not covered is printed and in the folder."""
    folder = tmp_path / "evidence"
    envelope = own_copy.json("evidence", str(folder), schema="evidence")
    assert passes(folder, checks(folder))
    page = (folder / "README.txt").read_text("utf-8")
    assert all(sentence in page for sentence in envelope["data"]["not_covered"])
    assert envelope["data"]["audit_made_at"] is not None
    for kind in ("models", "software"):
        for version, schema in SCHEMAS.items():
            text = (folder / f"{kind}-{version}.cdx.json").read_text("utf-8")
            assert JsonStrictValidator(schema).validate_str(text) is None
    said = own_copy("evidence", str(tmp_path / "again")).stdout
    assert all(sentence in said for sentence in envelope["data"]["not_covered"])


def test_the_key_in_the_folder_is_the_hosts(whole: Made) -> None:
    """As `landfast keys export` prints it."""
    pem = public_key_pem(signing_key(whole.context.paths).public_key())
    assert (whole.folder / "signing.pub").read_bytes() == pem


def page_of(context: Context, folder: Path) -> str:
    """What the auditor reads first, of a folder made now."""
    made(context, folder)
    return (folder / "README.txt").read_text("utf-8")


def test_the_page_names_the_host_and_has_nothing_to_look_at_where_all_is_well(whole: Made) -> None:
    """Of forty folders each says whose it is."""
    page = (whole.folder / "README.txt").read_text("utf-8")
    assert f"\nHost: {platform.node()}\n" in page
    assert "look at first" not in page


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"holds": False}, "the seal does not hold"),
        ({"landfast": "0.0.1"}, "another version of Landfast or of its engine"),
        ({"made_at": "2031-01-01T00:00:00+00:00"}, "later date than this evidence"),
    ],
    ids=["broken", "of an old engine", "from the future"],
)
def test_what_an_audit_report_does_not_show_stands_on_the_page(
    tmp_path: Path, other: dict[str, Any], told: str
) -> None:
    """Whoever made the folder was told so; the auditor was not there."""
    context = furnished(tmp_path / "home")
    report(context, **other)
    page = page_of(context, tmp_path / "evidence")
    assert told in page.partition("look at first")[2].partition("Files\n")[0]


def test_a_journal_that_is_not_whole_stands_on_the_page(tmp_path: Path) -> None:
    """Its end alone would look like that of a whole one."""
    context = furnished(tmp_path / "home")
    Journal(context.paths).append(Event(kind="answer"))
    file = context.paths.journal / "journal.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"answer"', b'"resume"'))
    assert "The journal is not whole: " in page_of(context, tmp_path / "evidence")


def test_a_report_of_another_host_is_refused_with_what_can_be_done(tmp_path: Path) -> None:
    """The command has no option for another key, and needs none."""
    context, other = furnished(tmp_path / "home"), host(tmp_path / "other")
    request = EvidenceRequest(out=str(tmp_path / "evidence"), audit=report(other))
    with pytest.raises(
        IntegrityError, match="cannot be included: The statement was signed with another key"
    ) as refused:
        evidence(context, request)
    assert "--key" not in refused.value.hint
    assert "landfast audit" in refused.value.hint
