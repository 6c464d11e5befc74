"""What a host keeps beside its models: trusted keys, and the journal of a certain age."""

import datetime as dt
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from deploy.bundle.signing import trust, trusted_keys
from deploy.commands.context import Context
from deploy.errors import IntegrityError
from deploy.journal import Journal
from deploy.keys import fingerprint
from deploy.provision.files import read
from deploy.provision.receipt import read_receipt, write_receipt
from deploy.provision.steps import Change, Finding, Unseen
from deploy.store.files import disk_errors

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_ENDED: Final = re.compile(r"journal-\d{8}-(\d{8})-")


class _Timed(msgspec.Struct):
    """What is read of a journal's line here."""

    time: dt.datetime


@dataclass(frozen=True, slots=True)
class TrustStep:
    """A public key whose bundles are to be taken in."""

    context: Context
    key: "Ed25519PublicKey"

    @property
    def name(self) -> str:
        """Of the step."""
        return f"key {fingerprint(self.key)[:16]}"

    def look(self) -> Finding:
        """Look among the trusted keys, where this user may."""
        if is_closed(self.context):
            return Unseen(f"{self.context.paths.keys} is closed to this user.")
        wanted = fingerprint(self.key)
        before = [known.fingerprint for known in trusted_keys(self.context.paths)]
        if wanted in before:
            return None
        return Change(
            sentence=f"Trust bundles signed by {wanted}.",
            before="".join(f"{known}\n" for known in before),
            after="".join(f"{known}\n" for known in sorted((*before, wanted))),
        )

    def do(self) -> None:
        """Trust it."""
        trust(self.context.paths, self.key)


@dataclass(frozen=True, slots=True)
class DistrustStep:
    """A public key that the site file listed before and lists no longer."""

    context: Context
    fingerprint: str

    @property
    def name(self) -> str:
        """Of the step."""
        return f"old key {self.fingerprint[:16]}"

    def look(self) -> Finding:
        """Look among the trusted keys, where this user may."""
        if is_closed(self.context):
            return Unseen(f"{self.context.paths.keys} is closed to this user.")
        if self._file() is None:
            return None
        return Change(
            sentence=f"No longer trust bundles signed by {self.fingerprint}: the site file no longer lists it.",
            before=f"{self.fingerprint}\n",
        )

    def do(self) -> None:
        """Delete its file, and then its line in the receipt."""
        file = self._file()
        if file is not None:
            with disk_errors(file.parent):
                file.unlink(missing_ok=True)
        receipt = read_receipt(self.context)
        left = tuple(key for key in receipt.keys if key != self.fingerprint)
        write_receipt(self.context, msgspec.structs.replace(receipt, keys=left))

    def _file(self) -> Path | None:
        found = (known.path for known in trusted_keys(self.context.paths) if known.fingerprint == self.fingerprint)
        return next((Path(path) for path in found), None)


def is_closed(context: Context) -> bool:
    """Whether this user may not see whose bundles are taken in."""
    folder = context.paths.keys
    return folder.exists() and not os.access(folder, os.R_OK | os.X_OK)


@dataclass(frozen=True, slots=True)
class JournalStep:
    """A journal that is not older than it is to be kept."""

    context: Context
    days: int
    today: dt.date
    name: str = "journal"

    def look(self) -> Finding:
        """Look at the date of the first line, and at those in the names of earlier journals."""
        try:
            first = self._first_day()
        except PermissionError as error:
            return Unseen(f"The journal cannot be read: {error.strerror}.")
        old = [path.name for path in self._outdated()]
        begin = first is not None and (self.today - first).days >= self.days
        if not begin and not old:
            return None
        said = [f"begin a new journal, for this one began on {first}"] * begin
        said += [f"delete {name}" for name in old]
        text = ", and ".join(said)
        return Change(sentence=f"{text[:1].upper()}{text[1:]}.", before="".join(f"{name}\n" for name in old))

    def do(self) -> None:
        """Close the journal; a new one begins with a line that names its end. Then delete what is too old."""
        first = self._first_day()
        if first is not None and (self.today - first).days >= self.days:
            Journal(self.context.paths).begin_anew(first, self.today)
        for path in self._outdated():
            with disk_errors(path.parent):
                path.unlink(missing_ok=True)

    def _first_day(self) -> dt.date | None:
        content = read(self.context.paths.journal / "journal.jsonl")
        if not content:
            return None
        try:
            return msgspec.json.decode(content.partition(b"\n")[0], type=_Timed).time.date()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise IntegrityError(
                "The first line of the journal is damaged.", hint="Run `landfast journal verify`."
            ) from error

    def _outdated(self) -> list[Path]:
        return [
            path for path in sorted((self.context.paths.journal / "ended").glob("journal-*.jsonl")) if self._old(path)
        ]

    def _old(self, path: Path) -> bool:
        ended = _ENDED.match(path.name)
        return ended is not None and (self.today - dt.datetime.strptime(ended[1], "%Y%m%d").date()).days >= self.days  # noqa: DTZ007 - a day
