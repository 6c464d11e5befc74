"""Attacks on programs and processes: to start one, to look into one, to disturb one."""

import ctypes
import errno
import fcntl
import os
import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from deploy.engine.attack_protocol import Targets
from deploy.engine.seal.kernel import PR_SET_DUMPABLE, call, prctl

PTRACE_SEIZE: Final = 0x4206
AT_EMPTY_PATH: Final = 0x1000
F_SETOWN: Final = 8
TRUE: Final = "/bin/true"


def start_a_program(_: Targets) -> None:
    """Starts another program."""
    _wait(os.posix_spawn(TRUE, ["true"], {}))


def become_a_program(_: Targets) -> None:
    """Replaces itself by another program; by one that is not there, so that the trial goes on."""
    try:
        call("execve", b"/landfast-attack-is-not-there\0", None, None)
    except FileNotFoundError:
        return


def run_a_program_from_memory(_: Targets) -> None:
    """Runs a program that lies in memory only."""
    child = os.fork()
    if child == 0:
        try:
            program = call("memfd_create", b"x\0", 0)
            os.write(program, Path(TRUE).read_bytes())
            call("execveat", program, b"\0", ctypes.create_string_buffer(8), None, AT_EMPTY_PATH)
        finally:
            os._exit(1)
    _wait(child)


def fork(_: Targets) -> None:
    """Makes a copy of itself, which could outlive it."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    _wait(child)


def trace_a_process(targets: Targets) -> None:
    """Takes control of another process as a debugger does."""
    call("ptrace", PTRACE_SEIZE, targets.victim, 0, 0)


def read_memory_of_a_process(targets: Targets) -> None:
    """Reads a secret out of another process by a system call."""
    taken = ctypes.create_string_buffer(8)
    own = struct.pack("=QQ", ctypes.addressof(taken), 8)
    foreign = struct.pack("=QQ", targets.victim_address, 8)
    call("process_vm_readv", targets.victim, own, 1, foreign, 1, 0)


def read_memory_file_of_a_process(targets: Targets) -> None:
    """Reads a secret out of another process through /proc."""
    descriptor = os.open(f"/proc/{targets.victim}/mem", os.O_RDONLY)
    try:
        os.pread(descriptor, 8, targets.victim_address)
    finally:
        os.close(descriptor)


def read_environment_of_a_process(targets: Targets) -> None:
    """Reads the environment of another process, where tokens often stand."""
    os.close(os.open(f"/proc/{targets.victim}/environ", os.O_RDONLY))


def list_descriptors_of_a_process(targets: Targets) -> None:
    """Lists the open files of another process."""
    os.listdir(f"/proc/{targets.victim}/fd")  # noqa: PTH208 - the call itself is the attack


def take_a_descriptor_of_a_process(targets: Targets) -> None:
    """Takes an open file out of another process."""
    held = call("pidfd_open", targets.victim, 0)
    try:
        os.close(call("pidfd_getfd", held, 0, 0))
    finally:
        os.close(held)


def signal_a_process(targets: Targets) -> None:
    """Sends a signal to another process."""
    os.kill(targets.victim, 0)


def signal_a_thread(targets: Targets) -> None:
    """Sends a signal to a thread of another process."""
    call("tgkill", targets.victim, targets.victim, 0)


def signal_by_file_owner(targets: Targets) -> None:
    """Has the kernel signal another process when something arrives on an open descriptor."""
    fcntl.fcntl(0, F_SETOWN, targets.victim)


def limit_a_process(targets: Targets) -> None:
    """Reads and sets the limits of another process."""
    resource.prlimit(targets.victim, resource.RLIMIT_CORE, resource.prlimit(targets.victim, resource.RLIMIT_CORE))


def move_a_process(targets: Targets) -> None:
    """Moves another process to other processors."""
    os.sched_setaffinity(targets.victim, os.sched_getaffinity(targets.victim))


def be_open_to_debuggers(_: Targets) -> None:
    """Lets others look into its memory."""
    prctl(PR_SET_DUMPABLE, 1)


def leave_a_core_file(_: Targets) -> None:
    """Allows itself a core file, which would hold the conversation."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == 0:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def signal_its_group(_: Targets) -> None:
    """Sends a signal to all processes that were started with it."""
    os.kill(0, 0)


def _wait(child: int) -> None:
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


ATTACKS: Final[tuple[Callable[[Targets], None], ...]] = (
    start_a_program,
    become_a_program,
    run_a_program_from_memory,
    fork,
    trace_a_process,
    read_memory_of_a_process,
    read_memory_file_of_a_process,
    read_environment_of_a_process,
    list_descriptors_of_a_process,
    take_a_descriptor_of_a_process,
    signal_a_process,
    signal_a_thread,
    signal_by_file_owner,
    signal_its_group,
    limit_a_process,
    move_a_process,
    be_open_to_debuggers,
    leave_a_core_file,
)
