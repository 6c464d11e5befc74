"""A JSON file that carries the SHA-256 of its own text, so that a single altered byte shows."""

import hashlib
import re
from typing import Final

_CHECKSUM: Final = re.compile(rb',\n  "checksum": "([0-9a-f]{64})"\n\}\n\Z')


def checksummed(document: bytes) -> bytes:
    """Add the checksum as the last field of a JSON object that has others."""
    body = document.rstrip().removesuffix(b"}").rstrip()
    return body + b',\n  "checksum": "' + hashlib.sha256(body).hexdigest().encode() + b'"\n}\n'


def is_intact(document: bytes) -> bool:
    """Whether every byte is as it was when the checksum was set. False for a document without one."""
    found = _CHECKSUM.search(document)
    return found is not None and hashlib.sha256(document[: found.start()]).hexdigest().encode() == found[1]
