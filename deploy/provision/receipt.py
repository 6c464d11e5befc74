"""What `apply` brought to a host: it removes nothing else unless it is told to."""

from pathlib import Path

import msgspec

from deploy.commands.context import Context
from deploy.errors import IntegrityError
from deploy.provision.files import folders
from deploy.store.files import disk_errors, write_durably

NAME = "provision.json"


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What was brought so far, oldest first."""

    models: tuple[str, ...] = ()
    """Ids."""
    keys: tuple[str, ...] = ()
    """Fingerprints of keys that a site file listed: once off the list they are no longer trusted."""


def read_receipt(context: Context) -> Receipt:
    """What was brought so far. Raises IntegrityError for a receipt that cannot be understood."""
    path = _path(context)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Receipt)
    except FileNotFoundError:
        return Receipt()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(
            f"The record {path} of what this file installed cannot be used.",
            hint="Put back a copy, or delete it: models that are here already then count as installed by others.",
        ) from error


def write_receipt(context: Context, receipt: Receipt) -> None:
    """Put it in its place in one move. Raises NotWritable."""
    path = _path(context)
    with disk_errors(path.parent), folders(path.parent):
        write_durably(path, msgspec.json.format(msgspec.json.encode(receipt), indent=2) + b"\n")


def _path(context: Context) -> Path:
    return context.paths.state / NAME
