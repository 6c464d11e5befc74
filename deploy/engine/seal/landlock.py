"""Landlock: from here on this process sees only the files that it is given (Linux 5.13 and newer, no root needed).

Numbers are of linux/landlock.h. Each version of the interface ("ABI") can refuse more; what this kernel does not
know is left to the filter of system calls.
"""

import ctypes
import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, NamedTuple

from deploy.engine.seal.kernel import PR_SET_NO_NEW_PRIVS, call, prctl

WRITE_FILE: Final = 1 << 1
READ_FILE: Final = 1 << 2
READ_DIR: Final = 1 << 3
REFER: Final = 1 << 13
TRUNCATE: Final = 1 << 14
IOCTL_DEV: Final = 1 << 15
FIRST_RIGHTS: Final = (1 << 13) - 1
"""All that the first version could refuse."""
LATER_RIGHTS: Final = ((2, REFER), (3, TRUNCATE), (5, IOCTL_DEV))
TCP: Final = 0b11
"""Binding and connecting, since version 4."""
SCOPES: Final = 0b11
"""Abstract unix sockets and signals of processes outside, since version 6."""
CREATE_RULESET_VERSION: Final = 1
RULE_PATH_BENEATH: Final = 1


class Rule(NamedTuple):
    """Something that stays usable: a path, or better an open descriptor, and how."""

    what: str | int
    rights: int


def supported_abi() -> int:
    """The version that this kernel offers; 0 where there is none, or a container forbids to ask."""
    try:
        return call("landlock_create_ruleset", None, 0, CREATE_RULESET_VERSION)
    except OSError:
        return 0


def restrict(rules: Iterable[Rule], abi: int) -> None:
    """Give up every file but those of the rules, and as much of the network as this version can.

    Covers only the calling thread and its later children. Raises OSError.
    """
    handled = FIRST_RIGHTS | sum(right for since, right in LATER_RIGHTS if abi >= since)
    ruleset = _create(handled, abi)
    try:
        for rule in rules:
            with suppress(FileNotFoundError):
                _add(ruleset, rule, handled)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)


def _create(handled: int, abi: int) -> int:
    """A kernel refuses fields that it does not know, so the structure is as long as its version."""
    fields = [handled]
    if abi >= 4:  # noqa: PLR2004 - see TCP
        fields.append(TCP)
    if abi >= 6:  # noqa: PLR2004 - see SCOPES
        fields.append(SCOPES)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    return call("landlock_create_ruleset", attributes, len(attributes), 0)


def _add(ruleset: int, rule: Rule, handled: int) -> None:
    held = rule.what if isinstance(rule.what, int) else os.open(rule.what, os.O_PATH | os.O_CLOEXEC)
    try:
        attributes = struct.pack("=Qi", rule.rights & handled, held)
        call("landlock_add_rule", ruleset, RULE_PATH_BENEATH, ctypes.create_string_buffer(attributes), 0)
    finally:
        if held != rule.what:
            os.close(held)
