"""Who may do what in a store: one's own is open to read; a host's is its owner's to change and its group's to read.

The group is that of the store's folder, `landfast` where Landfast makes it. Everybody else is kept out by the folder
itself. Readers write nothing there, neither locks nor what they find out.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.errors import NotWritable, PolicyRefused

GROUP: Final = "landfast"
"""Its members read what the host has, where nobody chose another group for the folder."""


@dataclass(frozen=True, slots=True)
class Modes:
    """The rights that a store gives to what it makes; None leaves a folder to the user's own settings."""

    blob: int
    paper: int
    """Of lock files."""
    folder: int | None = None
    private: int | None = None
    """Of folders whose contents nobody has verified yet."""


OWN: Final = Modes(blob=0o444, paper=0o644)
SHARED: Final = Modes(blob=0o440, paper=0o640, folder=0o2750, private=0o2700)
"""The third digit of the folders' modes hands their group on to whatever is made in them."""


def make_root(root: Path) -> None:
    """Make the folder of a shared store, closed to everyone but its owner until it has its group."""
    if root.exists():
        return
    group = _group_number()
    root.parent.mkdir(parents=True, exist_ok=True)
    root.mkdir(0o700)
    os.chown(root, -1, group)
    root.chmod(SHARED.folder or 0)


def set_mode(folder: Path, mode: int | None) -> None:
    """Give a folder its rights where it has others."""
    if mode is not None and stat.S_IMODE(folder.stat().st_mode) != mode:
        folder.chmod(mode)


def adopt_group(path: Path) -> None:
    """Give a file the group of its folder: one that was moved here keeps what it had elsewhere."""
    group = path.parent.stat().st_gid
    if path.stat().st_gid != group:
        os.chown(path, -1, group)


def is_owner(root: Path) -> bool:
    """Whether this user may change the store, or make it."""
    place = next(folder for folder in (root, *root.parents) if folder.exists())
    return os.access(place, os.W_OK | os.X_OK)


def require_owner(root: Path) -> None:
    """Raises NotWritable for a user who may at most read the store."""
    if not is_owner(root):
        raise NotWritable(
            f"Only {_owner(root)} may change the models of this host.",
            hint="Run the command as that user, such as with sudo, or leave --system out to have a model for yourself.",
        )


def why_closed(root: Path) -> PolicyRefused | None:
    """Why nothing is taken from a host's store by this user; None where it may be, or where there is none."""
    try:
        status = root.stat()
    except FileNotFoundError:
        return None
    except OSError:
        return _outsider("those who may enter its folder", "")
    if not os.access(root, os.R_OK | os.X_OK):
        name = _group_name(status.st_gid)
        return _outsider(f"the group {name}", f"`usermod -aG {name} {_user()}`, and then log in again")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return PolicyRefused(
            f"Others than its owner may change the models of this host in {root}, so none is taken from there.",
            hint=f"Ask the administrator for `chmod g-w,o-w {root}` and `landfast --system models verify`.",
        )
    return None


def require_open(root: Path) -> None:
    """Raises PolicyRefused for a user whom the store is closed to."""
    if (closed := why_closed(root)) is not None:
        raise closed


def _outsider(readers: str, command: str) -> PolicyRefused:
    return PolicyRefused(
        f"The models of this host are for {readers}, and you are not one of them.",
        hint=f"Ask the administrator for {command}." if command else "Ask the administrator to let you in.",
    )


def _group_number() -> int:
    import grp

    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError as error:
        raise NotWritable(
            f"There is no group {GROUP}, whose members are to use the models of this host.",
            hint=f"Make it with `groupadd --system {GROUP}`, and add each user with `usermod -aG {GROUP} USER`.",
        ) from error


def _group_name(number: int) -> str:
    import grp

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _owner(root: Path) -> str:
    import pwd

    if not root.exists():
        return "an administrator"
    number = root.stat().st_uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"the user {number}"


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
