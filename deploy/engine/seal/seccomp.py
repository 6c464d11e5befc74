"""seccomp: the list of system calls that the engine may still make, and the small program that enforces it.

Three filters are laid over each other, each narrower than the one before, and none can be taken off:
`import` lets the engine's own code be loaded, `load` lets files be opened for reading only, and `serve` lets no
file be opened at all. No filter has a call for networks, for programs or for other processes.
"""

import ctypes
import errno
import hashlib
import struct
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, Literal, NamedTuple

from deploy.engine.seal.kernel import PR_SET_NO_NEW_PRIVS, call, prctl
from deploy.engine.seal.syscalls import Architecture, number

Stage = Literal["import", "load", "serve"]

COMPUTING: Final = (
    *("read", "readv", "pread64", "write", "writev", "lseek", "close", "dup", "dup2", "dup3", "fstat", "fadvise64"),
    *("poll", "ppoll", "select", "pselect6", "epoll_wait"),
    *("mmap", "mremap", "munmap", "mprotect", "madvise", "brk", "membarrier"),
    *("mbind", "set_mempolicy", "get_mempolicy"),
    *("futex", "futex_waitv", "set_robust_list", "rseq", "gettid", "getpid", "sched_yield", "getcpu"),
    *("sched_getaffinity", "nanosleep", "clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall"),
    *("getrandom", "getrusage", "sysinfo", "uname", "getuid", "geteuid", "getgid", "getegid"),
    *("exit", "exit_group"),
)
"""Memory, threads, clocks, and descriptors that are already open."""
LOOKING: Final = (
    *("newfstatat", "stat", "lstat", "statx", "access", "faccessat", "faccessat2"),
    *("readlink", "readlinkat", "getdents64", "getcwd"),
)
"""Names and properties of files, which Landlock does not restrict."""
TIGHTENING: Final = ("seccomp",)
GPU_DRIVERS: Final = (
    *("ioctl", "eventfd2", "pipe2", "epoll_create1", "epoll_ctl", "epoll_pwait", "memfd_create"),
    *("sched_setaffinity", "mlock", "munlock", "statfs", "prctl"),
)

EVERY_BIT: Final = 0xFFFFFFFF
CLONE_THREAD: Final = 0x00010000
CLONE_NEW: Final = 0x7E020080
"""Every namespace: mount, cgroup, uts, ipc, user, pid, net, time."""
WRITING: Final = 0o3 | 0o100 | 0o1000 | 0o20000000
"""O_ACCMODE, O_CREAT, O_TRUNC and the bit of O_TMPFILE; the same on both processors."""
FCNTL_COMMANDS: Final = (0, 1, 2, 3, 4, 1030)
"""Duplicate, descriptor flags, status flags. F_SETOWN is not among them: it sends signals."""
IOCTLS: Final = (0x5401, 0x5421, 0x5450, 0x5451)
"""TCGETS, FIONBIO, FIONCLEX, FIOCLEX, which Python uses."""

LOAD, AND, JUMP_EQUAL, JUMP_NOT_LESS, RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
ALLOW, REFUSE, NO_SUCH_CALL, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
"""SECCOMP_RET_ALLOW, _ERRNO with EPERM, _ERRNO with ENOSYS, _KILL_PROCESS."""
NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16
"""Offsets in struct seccomp_data (linux/seccomp.h); both processors are little-endian."""
AUDIT_ARCHITECTURE: Final[dict[Architecture, int]] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X32_BIT: Final = 0x40000000
SET_MODE_FILTER, TSYNC = 1, 1


class Instruction(NamedTuple):
    """One step of classic BPF."""

    code: int
    if_true: int
    if_false: int
    operand: int


class Test(NamedTuple):
    """A call is allowed when this argument, masked, is one of these values."""

    argument: int
    mask: int
    values: tuple[int, ...]


def allowed(stage: Stage, *, gpu: bool = False) -> tuple[str, ...]:
    """Names of all calls that a stage lets through, some of them only with certain arguments."""
    plain, tested = _policy(stage, process_id=0, gpu=gpu)
    return tuple(sorted({*plain, *tested}))


def assemble(stage: Stage, on: Architecture, process_id: int, *, gpu: bool = False) -> tuple[Instruction, ...]:
    """The filter as a program. A call under another architecture's numbers ends the process."""
    plain, tested = _policy(stage, process_id, gpu=gpu)
    program = [
        Instruction(LOAD, 0, 0, ARCHITECTURE_AT),
        Instruction(JUMP_EQUAL, 1, 0, AUDIT_ARCHITECTURE[on]),
        Instruction(RETURN, 0, 0, KILL),
        Instruction(LOAD, 0, 0, NUMBER_AT),
    ]
    if on == "x86_64":
        program += [Instruction(JUMP_NOT_LESS, 0, 1, X32_BIT), Instruction(RETURN, 0, 0, KILL)]
    # The C library falls back to clone, whose flags a filter can read.
    program += _on_call(number("clone3", on), [Instruction(RETURN, 0, 0, NO_SUCH_CALL)])
    for name in plain:
        program += _on_call(number(name, on), [Instruction(RETURN, 0, 0, ALLOW)])
    for name, test in tested.items():
        program += _on_call(number(name, on), _tested(test))
    return (*program, Instruction(RETURN, 0, 0, REFUSE))


def install(program: Iterable[Instruction]) -> str:
    """Lay the filter over every thread of this process, for good; gives its SHA-256. Raises OSError."""
    raw = b"".join(struct.pack("=HBBI", *step) for step in program)
    code = ctypes.create_string_buffer(raw, len(raw))
    header = struct.pack("@HP", len(raw) // 8, ctypes.addressof(code))
    _promise()
    if blocked := call("seccomp", SET_MODE_FILTER, TSYNC, header):  # TSYNC fails with a thread's number, not with -1
        raise OSError(errno.EBUSY, f"thread {blocked} has another filter")
    return hashlib.sha256(raw).hexdigest()


def _policy(stage: Stage, process_id: int, *, gpu: bool) -> tuple[tuple[str, ...], dict[str, Test]]:
    tested = {
        "clone": Test(0, CLONE_THREAD | CLONE_NEW, (CLONE_THREAD,)),
        "fcntl": Test(1, EVERY_BIT, FCNTL_COMMANDS),
        "ioctl": Test(1, EVERY_BIT, IOCTLS),
        "tgkill": Test(0, EVERY_BIT, (process_id,)),
        "prlimit64": Test(0, EVERY_BIT, (0, process_id)),
    }
    plain: tuple[str, ...] = COMPUTING
    if gpu:
        plain += GPU_DRIVERS
        del tested["ioctl"]
    if stage == "serve":
        return plain, tested
    plain += (*LOOKING, *TIGHTENING)
    if stage == "import":
        return (*plain, "openat", "open"), tested
    return plain, {**tested, "openat": Test(2, WRITING, (0,)), "open": Test(1, WRITING, (0,))}


def _promise() -> None:
    """Gain no privileges, ever: the kernel asks for it. Later filters find the call gone, and the promise in force."""
    with suppress(PermissionError):
        prctl(PR_SET_NO_NEW_PRIVS, 1)


def _on_call(which: int | None, then: list[Instruction]) -> list[Instruction]:
    """Do it when the call has this number; on with the next comparison otherwise."""
    if which is None:
        return []
    return [Instruction(JUMP_EQUAL, 0, len(then), which), *then]


def _tested(test: Test) -> list[Instruction]:
    """Compare the lower half of an argument: all that are tested here are 32 bits wide in the kernel."""
    values = [
        step
        for value in test.values
        for step in (Instruction(JUMP_EQUAL, 0, 1, value), Instruction(RETURN, 0, 0, ALLOW))
    ]
    return [
        Instruction(LOAD, 0, 0, ARGUMENTS_AT + 8 * test.argument),
        Instruction(AND, 0, 0, test.mask),
        *values,
        Instruction(RETURN, 0, 0, REFUSE),
    ]
