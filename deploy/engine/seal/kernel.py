"""Calls into the Linux kernel that Python's standard library has no name for, through ctypes alone."""

import ctypes
import errno
import os
from functools import cache
from typing import Final

from deploy.engine.seal.syscalls import architecture, number

PR_SET_DUMPABLE: Final = 4
PR_CAPBSET_DROP: Final = 24
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4

Argument = int | bytes | ctypes.Array[ctypes.c_char] | None


def call(name: str, *arguments: Argument) -> int:
    """Make a system call by its name. Raises OSError, also (ENOSYS) where this processor does not have it."""
    here = architecture()
    which = None if here is None else number(name, here)
    if which is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return _checked(_libc().syscall(ctypes.c_long(which), *map(_native, arguments)))


def prctl(option: int, *arguments: int) -> int:
    """Change something about this process. Raises OSError."""
    padded = (*arguments, 0, 0, 0, 0)[:4]
    return _checked(_libc().prctl(ctypes.c_int(option), *map(ctypes.c_ulong, padded)))


def _native(argument: Argument) -> object:
    return ctypes.c_long(argument) if isinstance(argument, int) else argument


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


@cache
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library
