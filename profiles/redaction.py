"""Takes out of recorded text what names a person, a host or one specimen of a device. Readings stay as they are."""

import getpass
import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

REMOVED: Final = "[removed]"
"""No angle brackets: it has to stand in XML as well."""
_SHORTEST_SECRET: Final = 3
"""A user called "a" cannot be taken out of a text without taking the text apart."""
_COMMON: Final = (
    "root",
    "user",
    "ubuntu",
    "admin",
    "localhost",
    "runner",
    "home",
    "linux",
    "windows",
    "darwin",
    "none",
)
"""Names that name nobody and that stand in many texts for other reasons."""

_HEX: Final = "[0-9a-fA-F]"
_IDENTITY: Final = "serial|uuid|udid|unique id|asset tag|host ?name|user name"
_PATTERNS: Final = (
    # UUIDs of GPUs, disks and hosts. Kept as a shape, so that parsers meet what they will meet in the field.
    (
        re.compile(rf"\b{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}\b"),
        "0" * 8 + "-0000-0000-0000-" + "0" * 12,
    ),
    # Container and machine identities.
    (re.compile(rf"\b{_HEX}{{64}}\b"), "0" * 64),
    (re.compile(rf"\b{_HEX}{{32}}\b"), "0" * 32),
    # Network addresses of a card, and of a host.
    (re.compile(rf"\b(?:{_HEX}{{2}}[:-]){{5}}{_HEX}{{2}}\b"), REMOVED),
    (re.compile(r"\b(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}\b(?!\.\d)"), REMOVED),
    # Lines, XML elements and JSON members whose name speaks of a serial number or an identity.
    (
        re.compile(rf"(?im)^(\s*[\w \t()/-]*(?:{_IDENTITY})[\w \t()/-]*[:=][ \t]*)\S.*$"),
        rf"\1{REMOVED}",
    ),
    (re.compile(r"(?i)(<(?:\w*serial\w*|uuid|board_id|\w*guid\w*|host_id)>)[^<]*(<)"), rf"\1{REMOVED}\2"),
    (
        re.compile(
            r'(?i)("[^"\n]*(?:serial|uuid|udid|unique[ _]id|host[ _]?name|user[ _]?name)[^"\n]*"\s*:\s*)"[^"\n]*"'
        ),
        rf'\1"{REMOVED}"',
    ),
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Give the text without identities. `secrets` are words to take out wherever they stand on their own."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET and secret.lower() not in _COMMON:
            text = re.sub(rf"(?<![\w-]){re.escape(secret)}(?![\w-])", REMOVED, text)
    return text


def redact_value(value: Any, secrets: Iterable[str] = ()) -> Any:
    """Do the same to every text within lists and mappings."""
    if isinstance(value, str):
        return redact(value, secrets)
    if isinstance(value, dict):
        return {redact(str(name), secrets): redact_value(part, secrets) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [redact_value(part, secrets) for part in value]
    return value


def own_secrets() -> tuple[str, ...]:
    """List the words that name this host and this user."""
    node = platform.node()
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without an entry, as in many containers
        user = ""
    home = os.path.expanduser("~")  # noqa: PTH111 - a Path would raise where there is no home
    return tuple(word for word in (node, node.partition(".")[0], user, home, Path(home).name) if word.strip("/~"))
