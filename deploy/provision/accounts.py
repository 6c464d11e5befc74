"""Groups and accounts of the host, by the system's own commands."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import NotWritable
from deploy.paths import SYSTEM_ROOT
from deploy.provision.files import folders
from deploy.provision.site import Users
from deploy.provision.steps import Change, Step
from deploy.sources.base import Report
from deploy.store.files import disk_errors
from deploy.store.store import Store

NOLOGIN = "/usr/sbin/nologin"
HOME = "/nonexistent"
READ = ("blobs", "models", "versions")
"""Folders of a store that its group reads."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """The user database of a host: of this one, or of one whose files lie under another root."""

    root: Path = Path("/")

    def group_number(self, name: str) -> int | None:
        """The number of a group; None where there is none of that name."""
        if self.root == Path("/"):
            import grp

            try:
                return grp.getgrnam(name).gr_gid
            except KeyError:
                return None
        found = self._entry("group", name)
        return int(found[2]) if found else None

    def has_account(self, name: str) -> bool:
        """Whether there is an account of that name."""
        if self.root == Path("/"):
            import pwd

            try:
                pwd.getpwnam(name)
            except KeyError:
                return False
            return True
        return self._entry("passwd", name) is not None

    def members(self, group: str) -> frozenset[str]:
        """Everyone who was put into a group, and whose own group it is."""
        number = self.group_number(group)
        if number is None:
            return frozenset()
        if self.root == Path("/"):
            import grp
            import pwd

            own = (entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == number)
            return frozenset((*grp.getgrgid(number).gr_mem, *own))
        listed = (self._entry("group", group) or ["", "", "", ""])[3].split(",")
        own = (line[0] for line in self._lines("passwd") if line[3] == str(number))
        return frozenset(name for name in (*listed, *own) if name)

    def run(self, *command: str) -> None:
        """Run a command of the system on this database. Raises NotWritable with its last word."""
        prefix = () if self.root == Path("/") else ("--prefix", str(self.root))
        words = (command[0], *prefix, *command[1:])
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        except FileNotFoundError as error:
            raise NotWritable(
                f"There is no {command[0]} here to change users and groups with.",
                hint="Install it, or create the users and groups in another way and leave out [users].",
            ) from error
        if done.returncode != 0:
            said = (done.stderr.strip() or "it gave no reason").splitlines()[-1].rstrip(".")
            raise NotWritable(f"`{' '.join(command)}` failed: {said}.", hint="Apply the file as root.")

    def _entry(self, table: str, name: str) -> list[str] | None:
        return next((line for line in self._lines(table) if line[0] == name), None)

    def _lines(self, table: str) -> list[list[str]]:
        try:
            text = (self.root / "etc" / table).read_text("utf-8")
        except FileNotFoundError:
            return []
        return [line.split(":") for line in text.splitlines() if line]


def accounts_of(environment: Mapping[str, str]) -> Accounts:
    """The user database of the host that is being prepared."""
    return Accounts(Path(environment.get(SYSTEM_ROOT) or "/"))


@dataclass(frozen=True, slots=True)
class GroupStep:
    """A group that is to be there."""

    accounts: Accounts
    group: str
    name: str = "group"

    def look(self) -> Change | None:
        """Ask the user database."""
        if self.accounts.group_number(self.group) is not None:
            return None
        return Change(sentence=f"Create the group {self.group}.", after=f"group {self.group}\n")

    def do(self) -> None:
        """Make it, as a group of the system."""
        self.accounts.run("groupadd", "--system", self.group)


@dataclass(frozen=True, slots=True)
class AccountStep:
    """An account without login that is to be there."""

    accounts: Accounts
    account: str
    group: str
    name: str = "service account"

    def look(self) -> Change | None:
        """Ask the user database."""
        if self.accounts.has_account(self.account):
            return None
        return Change(sentence=f"Create the account {self.account}, without login.", after=f"account {self.account}\n")

    def do(self) -> None:
        """Make it, without home and without login."""
        self.accounts.run(
            "useradd",
            *("--system", "--gid", self.group, "--home-dir", HOME, "--no-create-home", "--shell", NOLOGIN),
            self.account,
        )


@dataclass(frozen=True, slots=True)
class MemberStep:
    """A user that is to be in a group. Others who are in it stay."""

    accounts: Accounts
    group: str
    user: str
    made_in_it: bool = False
    """Whether an earlier step makes the account where there is none, as a member."""

    @property
    def name(self) -> str:
        """Of the step."""
        return f"member {self.user}"

    def look(self) -> Change | None:
        """Ask the user database."""
        there = self.accounts.members(self.group)
        if self.user in there or (self.made_in_it and not self.accounts.has_account(self.user)):
            return None
        return Change(
            sentence=f"Add {self.user} to the group {self.group}.",
            before="".join(f"{user}\n" for user in sorted(there)),
            after="".join(f"{user}\n" for user in sorted({*there, self.user})),
        )

    def do(self) -> None:
        """Put the user into it. Raises NotWritable where there is no such account."""
        if not self.accounts.has_account(self.user):
            raise NotWritable(
                f"There is no account {self.user}, which is to be in the group {self.group}.",
                hint="Create the account first, or remove the name from [users] members.",
            )
        self.accounts.run("usermod", "--append", "--groups", self.group, self.user)


@dataclass(frozen=True, slots=True)
class StoreFolderStep:
    """The folder of the host's store, for its owner to change and for one group to read, with all that is in it."""

    root: Path
    accounts: Accounts
    group: str
    mode: int
    report: Report
    name: str = "store"

    def look(self) -> Change | None:
        """Compare group and rights, and the group of what the readers read."""
        wanted = _rights(self.group, self.mode)
        if not self.root.exists():
            return Change(sentence=f"Create the folder {self.root} for the group {self.group}.", after=wanted)
        status = self.root.stat()
        number = self.accounts.group_number(self.group)
        strange = next(self._of_others(number), None)
        if status.st_gid == number and status.st_mode & 0o7777 == self.mode and strange is None:
            return None
        before = _rights(str(status.st_gid), status.st_mode & 0o7777)
        before += f"{strange} has another group\n" if strange is not None else ""
        return Change(sentence=f"Give {self.root} to the group {self.group}.", before=before, after=wanted)

    def do(self) -> None:
        """Closed to everyone but its owner until it has its group."""
        number = self.accounts.group_number(self.group)
        if number is None:
            raise NotWritable(f"There is no group {self.group}.", hint="Apply the file as root.")
        with disk_errors(self.root), folders(self.root.parent):
            self.root.mkdir(0o700, exist_ok=True)
            strange = tuple(self._of_others(number))
            for path in strange:
                os.chown(path, -1, number, follow_symlinks=False)
            os.chown(self.root, -1, number)
            self.root.chmod(self.mode)
        if strange:
            self._hash_again()

    def _hash_again(self) -> None:
        """A file with another group counts as touched: hashed now, it is not hashed again by each of its readers."""
        store = Store(self.root, shared=True)
        store.verify_all(store.versions(), self.report)

    def _of_others(self, number: int | None) -> Iterator[Path]:
        """What its readers are to read and another group may: all was made for the group of that time."""
        for name in READ:
            for path in (self.root / name, *(self.root / name).rglob("*")):
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    if path.lstat().st_gid != number:
                        yield path


def steps(users: Users, accounts: Accounts) -> tuple[Step, ...]:
    """What the section [users] asks for."""
    account = () if users.service_account is None else (users.service_account,)
    return (
        GroupStep(accounts, users.group),
        *(AccountStep(accounts, name, users.group) for name in account),
        *(MemberStep(accounts, users.group, name) for name in users.members),
        *(MemberStep(accounts, users.group, name, made_in_it=True) for name in account),
    )


def _rights(group: str, mode: int) -> str:
    return f"group {group}, rights {mode:04o}\n"
