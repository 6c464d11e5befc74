"""What the attacks aim at: listeners, a secret, a folder, a process. All of it is made here and goes afterwards."""

import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from deploy.engine.attack_protocol import Targets
from deploy.errors import EngineFailed

VICTIM: Final = """
import ctypes, sys
secret = ctypes.create_string_buffer(b"a secret of another process")
print(ctypes.addressof(secret), flush=True)
sys.stdin.read()
"""
PATIENCE_S: Final = 0.05
RECEIVE_BYTES: Final = 4096


class Planted:
    """Listeners that must hear nothing, and things that must stay as they are."""

    def __init__(self, model: Path | None = None) -> None:
        """Aim at this model file, or at one that is made for the purpose."""
        self._model = model
        self._stack = ExitStack()
        self._listeners: dict[str, socket.socket] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._stack = stack
            self.targets = self._plant()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def received(self) -> tuple[str, ...]:
        """What came to the listeners since the last time, one entry for each connection or packet."""
        return tuple(f"{name}: {size} bytes" for name, listener in self._listeners.items() for size in _sizes(listener))

    def _plant(self) -> Targets:
        folder = Path(tempfile.mkdtemp(prefix="landfast-audit-"))
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        secret, model, mount = folder / "secret", folder / "model.gguf", folder / "mount"
        secret.write_bytes(b"a secret of this user")
        model.write_bytes(b"GGUF")
        mount.mkdir()
        abstract = f"landfast-audit-{secrets.token_hex(8)}"
        victim = self._start_victim()
        assert victim.stdout is not None  # noqa: S101 - a pipe was asked for
        return Targets(
            tcp4_port=self._listen("TCP", socket.AF_INET, ("127.0.0.1", 0)),
            tcp6_port=self._listen("TCP over IPv6", socket.AF_INET6, ("::1", 0)),
            udp_port=self._listen("UDP", socket.AF_INET, ("127.0.0.1", 0), socket.SOCK_DGRAM),
            abstract_name=self._listen_unix("abstract unix socket", f"\0{abstract}")[1:],
            socket_path=self._listen_unix("unix socket", str(folder / "socket")),
            secret_path=str(secret),
            drop_path=str(folder / "left-behind"),
            mount_path=str(mount),
            model_path=str(self._model or model),
            victim=victim.pid,
            victim_address=int(victim.stdout.readline()),
        )

    def _start_victim(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-I", "-S", "-c", VICTIM]
        try:
            victim = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except OSError as error:
            raise EngineFailed(
                f"A process to attack cannot be started: {error.strerror}.", hint="Try again."
            ) from error
        self._stack.callback(_end, victim)
        return victim

    def _listen(
        self,
        name: str,
        family: socket.AddressFamily,
        address: tuple[str, int],
        kind: socket.SocketKind = socket.SOCK_STREAM,
    ) -> int:
        """Open a port that the kernel chooses; 1, where nobody listens, on a machine without this family."""
        try:
            listener = self._open(name, family, kind)
            listener.bind(address)
            if kind == socket.SOCK_STREAM:
                listener.listen(8)
        except OSError:
            self._listeners.pop(name, None)
            return 1
        return int(listener.getsockname()[1])

    def _listen_unix(self, name: str, address: str) -> str:
        listener = self._open(name, socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(address)
        listener.listen(8)
        return address

    def _open(self, name: str, family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
        listener = self._stack.enter_context(socket.socket(family, kind))
        listener.settimeout(PATIENCE_S)
        self._listeners[name] = listener
        return listener


def _sizes(listener: socket.socket) -> list[int]:
    """Sizes of all that waits at a listener; a connection that said nothing counts with 0."""
    sizes: list[int] = []
    with suppress(OSError):
        while True:
            if listener.type == socket.SOCK_DGRAM:
                sizes.append(len(listener.recv(RECEIVE_BYTES)))
                continue
            connection, _ = listener.accept()
            with connection:
                sizes.append(_all_of(connection))
    return sizes


def _all_of(connection: socket.socket) -> int:
    connection.settimeout(PATIENCE_S)
    with suppress(OSError):
        return len(connection.recv(RECEIVE_BYTES))
    return 0


def _end(victim: "subprocess.Popen[bytes]") -> None:
    victim.kill()
    victim.wait()
    for pipe in (victim.stdin, victim.stdout):
        if pipe is not None:
            pipe.close()
