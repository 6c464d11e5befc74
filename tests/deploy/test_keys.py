"""The key of this installation, and statements that anybody can check with openssl."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from deploy.errors import IntegrityError, NotFound
from deploy.keys import (
    Envelope,
    fingerprint,
    load_public_key,
    public_key,
    public_key_pem,
    sign_dsse,
    signing_key,
    verify_dsse,
)
from deploy.paths import Paths

TYPE = "application/vnd.in-toto+json"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Empty places."""
    return Paths(data=tmp_path / "data", state=tmp_path / "state", config=tmp_path / "config")


def test_a_key_is_made_once_and_for_its_owner_alone(paths: Paths) -> None:
    """The second call gives the same key; file and folder are closed to others."""
    assert public_key(paths) is None
    first = signing_key(paths)
    assert fingerprint(signing_key(paths).public_key()) == fingerprint(first.public_key())
    assert (paths.keys / "signing.pem").stat().st_mode & 0o777 == 0o600
    assert paths.keys.stat().st_mode & 0o777 == 0o700
    assert sorted(entry.name for entry in paths.keys.iterdir()) == ["signing.pem", "signing.pub"]


def test_two_processes_at_once_get_the_same_key(paths: Paths, tmp_path: Path) -> None:
    """One of them makes it, the others take it."""
    code = (
        "from pathlib import Path\nfrom deploy.paths import Paths\nfrom deploy.keys import fingerprint, signing_key\n"
        f"base = Path({str(tmp_path)!r})\n"
        "paths = Paths(data=base / 'data', state=base / 'state', config=base / 'config')\n"
        "print(fingerprint(signing_key(paths).public_key()))\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        for _ in range(4)
    ]
    said = {process.communicate()[0] for process in running}
    assert {process.returncode for process in running} == {0}
    assert len(said) == 1


def test_a_spoilt_key_is_named_and_not_replaced(paths: Paths) -> None:
    """A new key would make every earlier signature worthless without a word."""
    signing_key(paths)
    (paths.keys / "signing.pem").write_bytes(b"nonsense")
    with pytest.raises(IntegrityError, match="no Ed25519 private key"):
        signing_key(paths)
    assert (paths.keys / "signing.pem").read_bytes() == b"nonsense"


def test_a_statement_comes_back_from_its_envelope(paths: Paths) -> None:
    """Byte for byte, also through JSON."""
    key = signing_key(paths)
    sealed = msgspec.json.decode(msgspec.json.encode(sign_dsse(key, TYPE, b'{"a": 1}')), type=Envelope)
    assert verify_dsse(key.public_key(), sealed) == b'{"a": 1}'


@pytest.mark.parametrize("field", ["payload", "payloadType", "signature"])
def test_an_altered_envelope_is_refused(paths: Paths, field: str) -> None:
    """Contents, type and signature belong together."""
    key = signing_key(paths)
    good = sign_dsse(key, TYPE, b"statement")
    other = sign_dsse(key, "another/type", b"another statement")
    altered = {
        "payload": Envelope(good.payloadType, other.payload, good.signatures),
        "payloadType": Envelope(other.payloadType, good.payload, good.signatures),
        "signature": Envelope(good.payloadType, good.payload, other.signatures),
    }[field]
    with pytest.raises(IntegrityError, match="altered after it was signed"):
        verify_dsse(key.public_key(), altered)


def test_another_key_is_said_to_be_another(paths: Paths, tmp_path: Path) -> None:
    """The reader is told to get the signer's key."""
    elsewhere = Paths(data=tmp_path, state=tmp_path, config=tmp_path / "elsewhere")
    sealed = sign_dsse(signing_key(paths), TYPE, b"statement")
    with pytest.raises(IntegrityError, match="another key"):
        verify_dsse(signing_key(elsewhere).public_key(), sealed)


def test_a_public_key_is_read_from_a_file(paths: Paths, tmp_path: Path) -> None:
    """As the key's folder has it; what is none is refused, what is missing is not found."""
    key = signing_key(paths).public_key()
    assert fingerprint(load_public_key(paths.keys / "signing.pub")) == fingerprint(key)
    assert (paths.keys / "signing.pub").read_bytes() == public_key_pem(key)
    with pytest.raises(IntegrityError, match="holds no Ed25519 public key"):
        load_public_key(Path(__file__))
    with pytest.raises(NotFound):
        load_public_key(tmp_path / "nowhere")


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
def test_the_private_key_is_never_wider_than_its_owner(paths: Paths) -> None:
    """Also with a careless umask."""
    before = os.umask(0)
    try:
        signing_key(paths)
    finally:
        os.umask(before)
    assert (paths.keys / "signing.pem").stat().st_mode & 0o077 == 0


UNKNOWN_CURVE = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoEcz1UBgi0DQgAEU0UTQV+GSctlyaLY6ChRiLeCx9e3
W8mzTt4mq0U6PfTNwKr3G1PcNIL8y4/MUWvZjMZ80ZZYWa3jPlSv0FQ/Aw==
-----END PUBLIC KEY-----
"""


def test_a_key_of_a_kind_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    """It is a key, and none that could have signed anything here."""
    (tmp_path / "other.pub").write_text(UNKNOWN_CURVE)
    with pytest.raises(IntegrityError, match="holds no Ed25519 public key"):
        load_public_key(tmp_path / "other.pub")


def test_the_public_key_alone_is_enough_to_check_with(paths: Paths) -> None:
    """As an auditor has it; no private key is made beside it."""
    pem = public_key_pem(signing_key(paths).public_key())
    (paths.keys / "signing.pem").unlink()
    found = public_key(paths)
    assert found is not None
    assert public_key_pem(found) == pem
    assert not (paths.keys / "signing.pem").exists()
