"""The Ed25519 key of this installation, and statements signed with it (DSSE envelopes, checked by openssl alone)."""

import base64
import hashlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from deploy.errors import IntegrityError, NotFound, explain
from deploy.paths import Paths

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PRIVATE_NAME: Final = "signing.pem"
PUBLIC_NAME: Final = "signing.pub"
SECRET_NAME: Final = "sessions.key"  # noqa: S105 - the name of a file
SECRET_BYTES: Final = 32


class Signature(msgspec.Struct, frozen=True):
    """One signature of an envelope."""

    keyid: str
    """SHA-256 of the public key's 32 bytes."""
    sig: str


class Envelope(msgspec.Struct, frozen=True):
    """A signed statement (DSSE v1). Field names are those of the format."""

    payloadType: str  # noqa: N815 - the format's own name
    payload: str
    signatures: tuple[Signature, ...]


def signing_key(paths: Paths) -> "Ed25519PrivateKey":
    """The private key of this user, made at the first use. Raises NotWritable, and IntegrityError for a spoilt one."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = paths.keys / PRIVATE_NAME
    try:
        if not path.exists():
            _make(path)
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise explain(error, path) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _spoilt(path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _spoilt(path)
    return key


def public_key(paths: Paths) -> "Ed25519PublicKey | None":
    """The public half, where a key was made, or where it alone is: an auditor's copy has no private key.

    Raises IntegrityError for a spoilt one.
    """
    if (paths.keys / PRIVATE_NAME).exists():
        return signing_key(paths).public_key()
    public = paths.keys / PUBLIC_NAME
    return load_public_key(public) if public.exists() else None


def public_key_pem(key: "Ed25519PublicKey") -> bytes:
    """A public key as text, as openssl reads it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def load_public_key(path: Path) -> "Ed25519PublicKey":
    """Read a public key from a file. Raises NotFound, and IntegrityError when it holds none."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise NotFound(
            f"{path} cannot be read: {error.strerror}.", hint="Check the path and its permissions."
        ) from error
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise IntegrityError(f"{path} holds no Ed25519 public key.", hint="Give one that `landfast keys export` wrote.")
    return key


def secret_key(paths: Paths) -> bytes:
    """The secret by which this user's kept sessions are known, made at the first use.

    Raises NotWritable, and IntegrityError for a spoilt one.
    """
    path = paths.keys / SECRET_NAME
    try:
        if not path.exists():
            _place_private(path, secrets.token_bytes(SECRET_BYTES))
        key = path.read_bytes()
    except OSError as error:
        raise explain(error, path) from error
    if len(key) != SECRET_BYTES:
        raise IntegrityError(f"{path} holds no key of {SECRET_BYTES} bytes.", hint="Put back a copy, or move it away.")
    return key


def fingerprint(key: "Ed25519PublicKey") -> str:
    """SHA-256 of the key's 32 bytes: what two people compare."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def sign_dsse(key: "Ed25519PrivateKey", payload_type: str, payload: bytes) -> Envelope:
    """Put a statement into a signed envelope."""
    made = key.sign(_signed_bytes(payload_type, payload))
    return Envelope(
        payloadType=payload_type,
        payload=base64.b64encode(payload).decode(),
        signatures=(Signature(fingerprint(key.public_key()), base64.b64encode(made).decode()),),
    )


def verify_dsse(key: "Ed25519PublicKey", envelope: Envelope) -> bytes:
    """The statement in an envelope. Raises IntegrityError unless this key signed exactly these bytes."""
    from cryptography.exceptions import InvalidSignature

    try:
        payload = base64.b64decode(envelope.payload, validate=True)
        signed = _signed_bytes(envelope.payloadType, payload)
        for signature in envelope.signatures:
            if signature.keyid == fingerprint(key):
                key.verify(base64.b64decode(signature.sig, validate=True), signed)
                return payload
    except (InvalidSignature, ValueError) as error:
        raise IntegrityError(
            "The signature does not match: the statement was altered after it was signed.",
            hint="Ask for a copy from where it was signed.",
        ) from error
    raise IntegrityError(
        "The statement was signed with another key.", hint="Give the signer's public key with --key FILE."
    )


def _signed_bytes(payload_type: str, payload: bytes) -> bytes:
    """The bytes under the signature: type and contents, each with its length ("PAE" of DSSE v1)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _make(path: Path) -> None:
    """Make a new key; of two processes at once, one makes it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    if _place_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())):
        (path.parent / PUBLIC_NAME).write_bytes(public_key_pem(key.public_key()))


def _place_private(path: Path, contents: bytes) -> bool:
    """Put a whole file in place that its owner alone can read, unless another process was faster."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    staged = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write_private(staged, contents)
        path.hardlink_to(staged)
    except FileExistsError:
        return False
    finally:
        staged.unlink(missing_ok=True)
    return True


def _write_private(path: Path, contents: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(contents)
        file.flush()
        os.fsync(descriptor)


def _spoilt(path: Path) -> IntegrityError:
    return IntegrityError(
        f"{path} holds no Ed25519 private key.", hint="Put back a copy of it; or move it away, and a new one is made."
    )
