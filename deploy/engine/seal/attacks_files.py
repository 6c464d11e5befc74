"""Attacks on files: to read what is not the model, and to leave something behind."""

import ctypes
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from deploy.engine.attack_protocol import Targets
from deploy.engine.seal.kernel import call

MARK: Final = b"landfast-attack"
HANDLE_BYTES: Final = 128
AT_FDCWD: Final = -100
SHARED_MEMORY: Final = "/dev/shm/landfast-attack"  # noqa: S108 - where a leak would be left


def read_password_hashes(_: Targets) -> None:
    """Reads /etc/shadow, as only root can."""
    _read("/etc/shadow")


def read_user_list(_: Targets) -> None:
    """Reads /etc/passwd, as everybody can."""
    _read("/etc/passwd")


def read_a_secret(targets: Targets) -> None:
    """Reads a file that belongs to its own user."""
    _read(targets.secret_path)


def list_a_folder(targets: Targets) -> None:
    """Lists a folder that belongs to its own user."""
    os.listdir(Path(targets.secret_path).parent)  # noqa: PTH208 - the call itself is the attack


def look_at_a_file(targets: Targets) -> None:
    """Asks for size and time of a file that belongs to its own user."""
    os.stat(targets.secret_path)  # noqa: PTH116 - the call itself is the attack


def open_by_file_handle(targets: Targets) -> None:
    """Opens a file by its number on the disk, past all folders."""
    handle = ctypes.create_string_buffer(struct.pack("=Ii", HANDLE_BYTES, 0), HANDLE_BYTES + 8)
    mount_id = ctypes.create_string_buffer(4)
    call("name_to_handle_at", AT_FDCWD, os.fsencode(targets.secret_path) + b"\0", handle, mount_id, 0)
    folder = os.open(Path(targets.secret_path).parent, os.O_RDONLY)
    try:
        os.close(call("open_by_handle_at", folder, handle, os.O_RDONLY))
    finally:
        os.close(folder)


def write_a_file(targets: Targets) -> None:
    """Writes a file into a folder of its own user."""
    _write(targets.drop_path)


def write_to_shared_memory(_: Targets) -> None:
    """Writes a file into memory that other programs see."""
    _write(SHARED_MEMORY)


def make_a_folder(targets: Targets) -> None:
    """Makes a folder: its name alone could carry a message."""
    os.mkdir(targets.drop_path)  # noqa: PTH102 - the call itself is the attack
    os.rmdir(targets.drop_path)  # noqa: PTH106


def make_a_link(targets: Targets) -> None:
    """Makes a symbolic link, whose target could carry a message."""
    os.symlink("landfast-attack", targets.drop_path)  # noqa: PTH211 - the call itself is the attack
    os.unlink(targets.drop_path)  # noqa: PTH108


def rename_a_file(targets: Targets) -> None:
    """Renames a file of its own user."""
    os.rename(targets.secret_path, targets.drop_path)  # noqa: PTH104 - the call itself is the attack
    os.rename(targets.drop_path, targets.secret_path)  # noqa: PTH104


def change_rights_of_a_file(targets: Targets) -> None:
    """Changes who may read a file of its own user."""
    os.chmod(targets.secret_path, 0o600)  # noqa: PTH101 - the call itself is the attack


def change_time_of_a_file(targets: Targets) -> None:
    """Changes the time of a file of its own user."""
    os.utime(targets.secret_path, (1, 1))


def open_the_model_for_writing(targets: Targets) -> None:
    """Opens the model's file for writing, to change it for the next run."""
    os.close(os.open(targets.model_path, os.O_RDWR))


def read_a_secret_through_proc(targets: Targets) -> None:
    """Reads a file that belongs to its own user by way of its own root link."""
    _read(f"/proc/self/root{targets.secret_path}")


def use_a_forgotten_descriptor(_: Targets) -> None:
    """Looks for a descriptor that leads out: a second socket, a folder, or a file open for writing."""
    import fcntl
    import stat

    sockets = 0
    for descriptor in range(3, 1024):
        with suppress(OSError):
            kind = stat.S_IFMT(_mode(descriptor))
            writable = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
            sockets += kind == stat.S_IFSOCK
            if kind == stat.S_IFDIR or (kind == stat.S_IFREG and writable) or sockets > 1:
                return
    raise OSError(2, "nothing but the channel and the model")


def _mode(descriptor: int) -> int:
    """File type and rights by the plain call: the C library's own one takes a path, which the seal forbids."""
    buffer = ctypes.create_string_buffer(256)
    call("fstat", descriptor, buffer)
    offset = 24 if os.uname().machine == "x86_64" else 16
    return int(struct.unpack_from("=I", buffer.raw, offset)[0])


def _read(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.read(descriptor, 8)
    finally:
        os.close(descriptor)


def _write(path: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, MARK)
    finally:
        os.close(descriptor)
        os.unlink(path)  # noqa: PTH108 - as few layers as can be


ATTACKS: Final[tuple[Callable[[Targets], None], ...]] = (
    read_password_hashes,
    read_user_list,
    read_a_secret,
    list_a_folder,
    look_at_a_file,
    open_by_file_handle,
    write_a_file,
    write_to_shared_memory,
    make_a_folder,
    make_a_link,
    rename_a_file,
    change_rights_of_a_file,
    change_time_of_a_file,
    open_the_model_for_writing,
    read_a_secret_through_proc,
    use_a_forgotten_descriptor,
)
