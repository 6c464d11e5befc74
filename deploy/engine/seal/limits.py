"""What a process may use at most, and the privileges that it lays down."""

import ctypes
import resource
import struct
from contextlib import suppress
from typing import Final

from deploy.engine.seal.kernel import (
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_CAPBSET_DROP,
    PR_SET_DUMPABLE,
    call,
    prctl,
)

SPARE_DESCRIPTORS: Final = 64
"""The engine's code is read through a few at a time; a model's files are already open."""
CAPABILITY_VERSION: Final = 0x20080522
CAPABILITIES: Final = 64
"""More than any kernel has; the first unknown one ends the list."""


def limit_resources(held: int, data_bytes: int | None) -> None:
    """No core file, no byte written to a file, few descriptors, and so much memory of its own."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_NOFILE, 2 * held + SPARE_DESCRIPTORS)  # the engine opens each of them once more
    if data_bytes is not None:
        _lower(resource.RLIMIT_DATA, data_bytes)


def drop_privileges() -> None:
    """Give up every capability, for root too, and hide memory and descriptors from others. Linux; raises OSError."""
    for capability in range(CAPABILITIES):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:  # unknown from here on, or an ordinary user, whose set is of no use after no_new_privs
            break
    with suppress(OSError):
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = ctypes.create_string_buffer(struct.pack("=II", CAPABILITY_VERSION, 0), 8)
    call("capset", header, ctypes.create_string_buffer(24))
    prctl(PR_SET_DUMPABLE, 0)


def _lower(which: int, value: int) -> None:
    """Set a limit for good, unless a lower one is in force."""
    _, hard = resource.getrlimit(which)
    wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (wanted, wanted))
