"""Attacks that send something out. All receivers are on this machine and were planted for the purpose."""

import socket
from collections.abc import Callable
from typing import Final

from deploy.engine.attack_protocol import Targets

MARK: Final = b"landfast-attack"
IPPROTO_MPTCP: Final = 262
MSG_FASTOPEN: Final = 0x20000000
AF_NETLINK, AF_PACKET, AF_ALG, AF_VSOCK = 16, 17, 38, 40
DNS_QUESTION: Final = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\4leak\4test\0\0\1\0\1"
HERE4, HERE6 = "127.0.0.1", "::1"
PATIENCE_S: Final = 2.0


def connect_over_tcp(targets: Targets) -> None:
    """Connects over TCP and IPv4 and sends a few bytes."""
    with _open(socket.AF_INET, socket.SOCK_STREAM) as out:
        out.connect((HERE4, targets.tcp4_port))
        out.send(MARK)


def connect_over_tcp6(targets: Targets) -> None:
    """Connects over TCP and IPv6 and sends a few bytes."""
    with _open(socket.AF_INET6, socket.SOCK_STREAM) as out:
        out.connect((HERE6, targets.tcp6_port))
        out.send(MARK)


def connect_over_multipath_tcp(targets: Targets) -> None:
    """Connects over multipath TCP, which Landlock's rules for TCP do not cover."""
    with _open(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP) as out:
        out.connect((HERE4, targets.tcp4_port))
        out.send(MARK)


def send_with_tcp_fast_open(targets: Targets) -> None:
    """Sends data with the opening packet of TCP, without a call to connect."""
    with _open(socket.AF_INET, socket.SOCK_STREAM) as out:
        out.settimeout(None)  # else the kernel says that it is under way, which is no answer
        out.sendto(MARK, MSG_FASTOPEN, (HERE4, targets.tcp4_port))


def listen_for_callers(_: Targets) -> None:
    """Opens a TCP port for others to connect to."""
    with _open(socket.AF_INET, socket.SOCK_STREAM) as door:
        door.bind((HERE4, 0))
        door.listen(1)


def listen_without_binding(_: Targets) -> None:
    """Opens a TCP port that the kernel chooses, without a call to bind."""
    with _open(socket.AF_INET, socket.SOCK_STREAM) as door:
        door.listen(1)


def send_over_udp(targets: Targets) -> None:
    """Sends a question in the form of the DNS over UDP."""
    with _open(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(DNS_QUESTION, (HERE4, targets.udp_port))


def send_over_udp6(_: Targets) -> None:
    """Opens a UDP socket for IPv6."""
    _open(socket.AF_INET6, socket.SOCK_DGRAM).close()


def raw_socket(_: Targets) -> None:
    """Opens a raw socket, from which any packet can be sent."""
    _open(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()


def ping_socket(_: Targets) -> None:
    """Opens a socket for echo requests, which can carry data."""
    _open(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).close()


def packet_socket(_: Targets) -> None:
    """Opens a socket below IP, which sees and sends whole frames."""
    _open(AF_PACKET, socket.SOCK_RAW).close()


def netlink_socket(_: Targets) -> None:
    """Opens a socket to the kernel's network configuration."""
    _open(AF_NETLINK, socket.SOCK_RAW).close()


def vsock_socket(_: Targets) -> None:
    """Opens a socket between a virtual machine and its host."""
    _open(AF_VSOCK, socket.SOCK_STREAM).close()


def crypto_socket(_: Targets) -> None:
    """Opens a socket to the kernel's cryptography, a large piece of kernel code."""
    _open(AF_ALG, socket.SOCK_SEQPACKET).close()


def abstract_unix_socket(targets: Targets) -> None:
    """Connects to a local service by its abstract name, as desktop sessions offer."""
    with _open(socket.AF_UNIX, socket.SOCK_STREAM) as out:
        out.connect("\0" + targets.abstract_name)
        out.send(MARK)


def unix_socket(targets: Targets) -> None:
    """Connects to a local service by its file, as container and key agents offer."""
    with _open(socket.AF_UNIX, socket.SOCK_STREAM) as out:
        out.connect(targets.socket_path)
        out.send(MARK)


def socket_pair(_: Targets) -> None:
    """Makes a pair of connected sockets, which could be handed on."""
    for end in socket.socketpair():
        end.close()


def _open(family: int, kind: int, protocol: int = 0) -> socket.socket:
    opened = socket.socket(family, kind, protocol)
    opened.settimeout(PATIENCE_S)
    return opened


ATTACKS: Final[tuple[Callable[[Targets], None], ...]] = (
    connect_over_tcp,
    connect_over_tcp6,
    connect_over_multipath_tcp,
    send_with_tcp_fast_open,
    listen_for_callers,
    listen_without_binding,
    send_over_udp,
    send_over_udp6,
    raw_socket,
    ping_socket,
    packet_socket,
    netlink_socket,
    vsock_socket,
    crypto_socket,
    abstract_unix_socket,
    unix_socket,
    socket_pair,
)
