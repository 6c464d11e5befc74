"""Certificates that are not accepted: by whom they are signed, and by the clock of this host."""

import datetime as dt
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from deploy.errors import Unreachable
from deploy.sources.base import silent
from deploy.sources.web import Mirror
from tests.support.world import artifact

NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])


def certificate(folder: Path, begins_in_days: int) -> Path:
    """A certificate for the loopback address, valid for a day from then, and its key, in one file."""
    key = Ed25519PrivateKey.generate()
    begins = dt.datetime.now(dt.UTC) + dt.timedelta(days=begins_in_days)
    made = (
        x509.CertificateBuilder(NAME, NAME, key.public_key(), 1, begins, begins + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, None)
    )
    path = folder / "server.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + secret)
    return path


def no_pause(_seconds: float) -> None:
    """Wait for nothing."""


class Nothing(BaseHTTPRequestHandler):
    """Answers that there is nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Quiet(ThreadingHTTPServer):
    """A server whose clients hang up."""

    def handle_error(self, *_: object) -> None:
        """A refused certificate is the point."""


@contextmanager
def serving(chain: Path) -> Iterator[str]:
    """A server with this certificate; gives its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    with Quiet(("127.0.0.1", 0), Nothing) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("begins_in_days", "said"),
    [(2, "not valid yet by the clock of this host"), (-9, "no longer valid by the clock")],
)
def test_a_certificate_of_another_time_points_at_the_clock(tmp_path: Path, begins_in_days: int, said: str) -> None:
    """Trusted it is: setting up certificates again would not help."""
    chain = certificate(tmp_path, begins_in_days)
    with serving(chain) as address, pytest.raises(Unreachable, match=said) as caught:
        Mirror(address, {"SSL_CERT_FILE": str(chain)}, pause=no_pause).fetch(artifact("Q4_0"), tmp_path, silent)
    assert "clock" in caught.value.hint


def test_a_certificate_of_a_stranger_asks_for_the_companys(tmp_path: Path) -> None:
    """Its time is right, and nobody here trusts it."""
    with serving(certificate(tmp_path, 0)) as address, pytest.raises(Unreachable, match="not trusted") as caught:
        Mirror(address, {}, pause=no_pause).fetch(artifact("Q4_0"), tmp_path, silent)
    assert "SSL_CERT_FILE" in caught.value.hint
