"""A catalogue's detached signature: a signed statement of the file's SHA-256, beside it under its name and ".sig"."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from deploy.errors import IntegrityError, NotFound
from deploy.keys import Envelope, fingerprint, load_public_key, sign_dsse, verify_dsse

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PAYLOAD_TYPE: Final = "application/vnd.landfast.catalog-sha256"
ENDING: Final = ".sig"
KEY_ENDING: Final = ".pub"
"""Of the public key with which the catalogue in force was checked; its fingerprint says whose it is."""


def sign(raw: bytes, key: "Ed25519PrivateKey") -> bytes:
    """The contents of the signature's file."""
    return msgspec.json.encode(sign_dsse(key, PAYLOAD_TYPE, hashlib.sha256(raw).hexdigest().encode()))


def claimed_signer(path: Path) -> str | None:
    """Fingerprint of the key that is said to have signed a catalogue; None where no signature lies beside it.

    Raises IntegrityError for a signature that cannot be read.
    """
    beside = path.with_name(path.name + ENDING)
    return _envelope(beside).signatures[0].keyid if beside.exists() else None


def checked_signer(path: Path) -> str | None:
    """Fingerprint of the key that signed a catalogue in force and lies beside it; None where nobody signed it.

    Raises IntegrityError for a signature that does not fit.
    """
    beside = path.with_name(path.name + KEY_ENDING)
    if not beside.exists() or not path.exists():
        return None
    key = load_public_key(beside)
    require_signed(path.read_bytes(), path, key)
    return fingerprint(key)


def require_signed(raw: bytes, path: Path, key: "Ed25519PublicKey") -> None:
    """Check the signature beside a catalogue. Raises NotFound where there is none, IntegrityError where it is wrong."""
    beside = path.with_name(path.name + ENDING)
    envelope = _envelope(beside)
    if verify_dsse(key, envelope) != hashlib.sha256(raw).hexdigest().encode():
        raise IntegrityError(
            f"{beside} belongs to a catalogue other than {path}.", hint="Copy both again from where they were made."
        )


def _envelope(beside: Path) -> Envelope:
    try:
        envelope = msgspec.json.decode(beside.read_bytes(), type=Envelope)
    except OSError as error:
        raise NotFound(f"There is no signature {beside}.", hint="Put it beside the catalogue.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(
            f"{beside} is not a signature: {error}.", hint="Copy it again from where it was made."
        ) from error
    if envelope.payloadType != PAYLOAD_TYPE or not envelope.signatures:
        raise IntegrityError(
            f"{beside} is not the signature of a catalogue.", hint="Copy it again from where it was made."
        )
    return envelope
