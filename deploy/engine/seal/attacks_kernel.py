"""Attacks on the kernel's rarer doors, through which sandboxes have been left before."""

import ctypes
import os
import struct
from collections.abc import Callable
from typing import Final

from deploy.engine.attack_protocol import Targets
from deploy.engine.seal.kernel import call

CLONE_NEWUSER: Final = 0x10000000
IPC_CREAT: Final = 0o1000
SESSION_KEYRING: Final = -3
BPF_ATTRIBUTES: Final = 128
PERF_ATTRIBUTES: Final = 112
IO_URING_PARAMETERS: Final = 120


def io_uring(_: Targets) -> None:
    """Sets up a queue through which the kernel does file and network calls unseen by filters."""
    os.close(call("io_uring_setup", 2, ctypes.create_string_buffer(IO_URING_PARAMETERS)))


def bpf(_: Targets) -> None:
    """Makes a map for programs inside the kernel."""
    fields = struct.pack("=IIII", 2, 4, 4, 1)  # an array of one element: type, key size, value size, entries
    os.close(call("bpf", 0, ctypes.create_string_buffer(fields, BPF_ATTRIBUTES), BPF_ATTRIBUTES))


def userfaultfd(_: Targets) -> None:
    """Takes over page faults, a tool of many attacks on the kernel."""
    os.close(call("userfaultfd", 1))


def perf_events(_: Targets) -> None:
    """Counts its own processor events, a tool to listen in on other programs."""
    fields = struct.pack("=II", 1, PERF_ATTRIBUTES)
    os.close(call("perf_event_open", ctypes.create_string_buffer(fields, PERF_ATTRIBUTES), 0, -1, -1, 0))


def session_keys(_: Targets) -> None:
    """Reaches for the keys of the user's session."""
    call("keyctl", 0, SESSION_KEYRING, 0)


def shared_memory_segment(_: Targets) -> None:
    """Makes a piece of memory that others can attach."""
    call("shmctl", call("shmget", 0x5EA1ED, 4096, IPC_CREAT | 0o600), 0, None)


def new_user_namespace(_: Targets) -> None:
    """Becomes root in a world of its own, from where much more of the kernel can be reached."""
    call("unshare", CLONE_NEWUSER)


def mount(targets: Targets) -> None:
    """Mounts a file system."""
    path = os.fsencode(targets.mount_path) + b"\0"
    call("mount", b"none\0", path, b"tmpfs\0", 0, None)
    call("umount2", path, 0)


def change_root(_: Targets) -> None:
    """Changes what it sees as the root folder."""
    os.chroot("/")


def anonymous_file(_: Targets) -> None:
    """Makes a file in memory, which could be handed on or run."""
    os.close(call("memfd_create", b"x\0", 0))


def pipe(_: Targets) -> None:
    """Makes a pipe, one end of which could be handed on."""
    for end in os.pipe():
        os.close(end)


ATTACKS: Final[tuple[Callable[[Targets], None], ...]] = (
    io_uring,
    bpf,
    userfaultfd,
    perf_events,
    session_keys,
    shared_memory_segment,
    new_user_namespace,
    mount,
    change_root,
    anonymous_file,
    pipe,
)
