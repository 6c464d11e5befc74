"""A catalogue's detached signature: a signed statement of the file's SHA-256, beside it under its name and ".sig"."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from deploy.errors import IntegrityError, NotFound
from deploy.keys import Envelope, sign_dsse, verify_dsse

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PAYLOAD_TYPE: Final = "application/vnd.landfast.catalog-sha256"
ENDING: Final = ".sig"


def sign(raw: bytes, key: "Ed25519PrivateKey") -> bytes:
    """The contents of the signature's file."""
    return msgspec.json.encode(sign_dsse(key, PAYLOAD_TYPE, hashlib.sha256(raw).hexdigest().encode()))


def require_signed(raw: bytes, path: Path, key: "Ed25519PublicKey") -> None:
    """Check the signature beside a catalogue. Raises NotFound where there is none, IntegrityError where it is wrong."""
    beside = path.with_name(path.name + ENDING)
    try:
        envelope = msgspec.json.decode(beside.read_bytes(), type=Envelope)
    except OSError as error:
        raise NotFound(f"There is no signature {beside}.", hint="Put it beside the catalogue.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{beside} is not a signature: {error}.") from error
    if envelope.payloadType != PAYLOAD_TYPE:
        raise IntegrityError(f"{beside} is not the signature of a catalogue.")
    if verify_dsse(key, envelope) != hashlib.sha256(raw).hexdigest().encode():
        raise IntegrityError(
            f"{beside} belongs to another catalogue than {path}.", hint="Copy both again from where they were made."
        )
