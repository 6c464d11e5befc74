"""Signs a catalogue: writes FILE.sig beside it, a signed statement of its SHA-256.

    python -m scripts.sign_catalog FILE KEY.pem

KEY.pem is an Ed25519 private key, such as `openssl genpkey -algorithm ed25519` makes, or the one in the folder keys of
one's own configuration, whose public half `landfast keys export` prints.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.catalog.loader import load_intact
from deploy.catalog.signature import ENDING, sign
from deploy.errors import LandfastError
from deploy.keys import fingerprint

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def sign_file(file: Path, key: Path) -> None:
    """Sign a whole catalogue with an Ed25519 key in PEM form."""
    signer = _private_key(key)
    try:
        load_intact(file)
    except LandfastError as error:
        raise SystemExit(str(error)) from error
    beside = file.with_name(file.name + ENDING)
    beside.write_bytes(sign(file.read_bytes(), signer))
    print(f"{beside}, signed with the key {fingerprint(signer.public_key())}")


def _private_key(file: Path) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        found = load_pem_private_key(file.read_bytes(), password=None)
    except OSError as error:
        raise SystemExit(f"The key {file} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError) as error:  # TypeError: it is under a password
        raise SystemExit(f"{file} holds no Ed25519 private key without a password.") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise SystemExit(f"{file} holds no Ed25519 private key without a password.")
    return found


def main(arguments: Sequence[str]) -> None:
    """Sign what was named."""
    match arguments:
        case [file, key]:
            sign_file(Path(file), Path(key))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
