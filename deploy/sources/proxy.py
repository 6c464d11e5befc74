"""The proxy that is set for this machine, where the HTTP client cannot use it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from deploy.errors import Unreachable

HINT: Final = "Set HTTPS_PROXY to an HTTP proxy and unset ALL_PROXY, or install from a folder or a bundle."


@contextmanager
def usable_proxy() -> Iterator[None]:
    """Raises Unreachable where a client that is made in the block refuses the proxy of the environment."""
    import httpx2

    try:
        yield
    except ImportError as error:  # a package that the client would need for it
        raise Unreachable("The proxy that is set here is a SOCKS proxy, which cannot be used.", hint=HINT) from error
    except (ValueError, httpx2.InvalidURL) as error:
        raise Unreachable(f"The proxy that is set here cannot be used: {error}.", hint=HINT) from error
