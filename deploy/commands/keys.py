"""`landfast keys`: whose bundles this machine takes in, and the key by which it signs its own."""

from pathlib import Path

import msgspec

from deploy.bundle.signing import TrustedKey, read_key, trust, trusted_keys
from deploy.commands.context import Context
from deploy.keys import fingerprint, public_key_pem, signing_key
from deploy.results import Result, info


class KeysData(msgspec.Struct, frozen=True, kw_only=True):
    """Trusted public keys."""

    trusted: tuple[TrustedKey, ...]


class ExportData(msgspec.Struct, frozen=True, kw_only=True):
    """The public half of this machine's own key."""

    fingerprint: str
    pem: str


class TrustData(msgspec.Struct, frozen=True, kw_only=True):
    """A key that is trusted now."""

    key: TrustedKey


def list_keys(context: Context) -> Result[KeysData]:
    """List the keys whose bundles are taken in here."""
    return Result(command="keys list", data=KeysData(trusted=trusted_keys(context.paths)))


def export(context: Context) -> Result[ExportData]:
    """Give the public half of this machine's key, made at its first use."""
    key = signing_key(context.paths).public_key()
    return Result(
        command="keys export", data=ExportData(fingerprint=fingerprint(key), pem=public_key_pem(key).decode())
    )


def trust_key(context: Context, file: str) -> Result[TrustData]:
    """Take in bundles that this key has signed, from now on. Raises NotFound, UsageError."""
    known, fresh = trust(context.paths, read_key(Path(file).expanduser()))
    messages = () if fresh else (info("This key was trusted already."),)
    return Result(command="keys trust", changed=fresh, data=TrustData(key=known), messages=messages)
