"""Who may fill this machine from a bundle: signatures, and the public keys that are trusted here."""

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from deploy.errors import IntegrityError, NotFound, PolicyRefused, UsageError
from deploy.keys import Envelope, fingerprint, load_public_key, public_key_pem, sign_dsse, verify_dsse
from deploy.paths import Paths
from deploy.store.files import disk_errors, write_durably
from deploy.store.records import Sha256

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PAYLOAD_TYPE: Final = "application/vnd.landfast.bundle-manifest.sha256"
"""What is signed: the manifest's SHA-256, and that it is one."""


class TrustedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A public key whose bundles are taken in."""

    fingerprint: Sha256
    """SHA-256 of the key's 32 bytes: what two people compare."""
    path: str
    """Deleting this file ends the trust."""


def sign(manifest: bytes, key: "Ed25519PrivateKey") -> bytes:
    """The signature file for a manifest. Ed25519 gives the same bytes every time."""
    return msgspec.json.encode(sign_dsse(key, PAYLOAD_TYPE, _digest(manifest))) + b"\n"


def read_signature(raw: bytes) -> Envelope:
    """Read a signature file. Raises IntegrityError."""
    try:
        signature = msgspec.json.decode(raw, type=Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _altered("its signature file holds no signature") from error
    if len(signature.signatures) != 1 or signature.payloadType != PAYLOAD_TYPE:
        raise _altered("its signature is not that of a bundle")
    if raw != _written(signature):
        raise _altered("its signature file is not as it was written")
    return signature


def _written(signature: Envelope) -> bytes:
    """The file's only form: base64 has several for the same bytes, and JSON many."""
    try:
        one = signature.signatures[0]
        plain = msgspec.structs.replace(one, sig=_canonical(one.sig))
        same = msgspec.structs.replace(signature, payload=_canonical(signature.payload), signatures=(plain,))
    except ValueError:
        return b""
    return msgspec.json.encode(same) + b"\n"


def _canonical(text: str) -> str:
    return base64.b64encode(base64.b64decode(text, validate=True)).decode()


def signer(signature: Envelope) -> str:
    """Fingerprint of the key that is said to have signed."""
    return signature.signatures[0].keyid


def verify(manifest: bytes, signature: Envelope, paths: Paths) -> None:
    """Accept a manifest whose signature a trusted key has made.

    Raises PolicyRefused for a key that is not trusted here, IntegrityError for a signature that does not fit.
    """
    known = next((known for known in trusted_keys(paths) if known.fingerprint == signer(signature)), None)
    if known is None:
        raise PolicyRefused(
            f"The bundle is signed by a key that is not trusted here: {signer(signature)}.",
            hint="Ask who made the bundle for the fingerprint of their key. If it is this one, run "
            "`landfast keys trust` with their key file, such as landfast-bundle.pub in the bundle.",
        )
    verify_with(manifest, signature, load_public_key(Path(known.path)))


def verify_with(manifest: bytes, signature: Envelope, key: "Ed25519PublicKey") -> None:
    """Check a signature against one key. Raises IntegrityError."""
    try:
        signed = verify_dsse(key, signature)
    except IntegrityError as error:
        raise _altered("its signature does not match") from error
    if signed != _digest(manifest):
        raise _altered("its manifest is not the one that was signed")


def trusted_keys(paths: Paths) -> tuple[TrustedKey, ...]:
    """All trusted keys. A file whose name is not its key's fingerprint trusts nobody."""
    found = []
    with disk_errors(_folder(paths)):
        files = sorted(_folder(paths).glob("*.pem"))
    for path in files:
        try:
            key = fingerprint(load_public_key(path))
        except (IntegrityError, NotFound):
            continue
        if key == path.stem:
            found.append(TrustedKey(fingerprint=key, path=str(path)))
    return tuple(found)


def trust(paths: Paths, key: "Ed25519PublicKey") -> tuple[TrustedKey, bool]:
    """Trust a public key from now on, and say whether that is new. Raises NotWritable."""
    path = _folder(paths) / f"{fingerprint(key)}.pem"
    known = TrustedKey(fingerprint=fingerprint(key), path=str(path))
    if known in trusted_keys(paths):
        return known, False
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, public_key_pem(key))
    return known, True


def read_key(path: Path) -> "Ed25519PublicKey":
    """A public key out of a file. Raises NotFound, and UsageError for what holds none."""
    try:
        return load_public_key(path)
    except IntegrityError as error:
        raise UsageError(error.message, hint="Give one that `landfast keys export` wrote.") from error
    except NotFound as error:
        raise NotFound(error.message, hint="Check the path.") from error


def _folder(paths: Paths) -> Path:
    return paths.keys / "trusted"


def _digest(manifest: bytes) -> bytes:
    return hashlib.sha256(manifest).hexdigest().encode()


def _altered(reason: str) -> IntegrityError:
    return IntegrityError(
        f"The bundle was altered: {reason}.",
        hint="Do not use this one. Copy it again from where it was made.",
    )
