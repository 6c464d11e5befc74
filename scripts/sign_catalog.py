"""Signs a catalogue: writes FILE.sig beside it, a signed statement of its SHA-256.

    python -m scripts.sign_catalog FILE KEY.pem

KEY.pem is an Ed25519 private key, such as `openssl genpkey -algorithm ed25519` makes, or the one in the folder keys of
one's own configuration, whose public half `landfast keys export` prints.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.catalog.loader import load_intact
from deploy.catalog.signature import ENDING, sign
from deploy.keys import fingerprint


def sign_file(file: Path, key: Path) -> None:
    """Sign a whole catalogue with an Ed25519 key in PEM form."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    signer = load_pem_private_key(key.read_bytes(), password=None)
    if not isinstance(signer, Ed25519PrivateKey):
        raise SystemExit(f"{key} holds no Ed25519 private key.")
    load_intact(file)
    beside = file.with_name(file.name + ENDING)
    beside.write_bytes(sign(file.read_bytes(), signer))
    print(f"{beside}, signed with the key {fingerprint(signer.public_key())}")


def main(arguments: Sequence[str]) -> None:
    """Sign what was named."""
    match arguments:
        case [file, key]:
            sign_file(Path(file), Path(key))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
