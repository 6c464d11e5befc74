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
ENTRANCE: Final = 0o755
"""Of the folders above a shared store: the store keeps strangers out by itself."""


def make_root(root: Path) -> None:
    """Make the folder of a shared store, closed to everyone but its owner until it has its group.

    What an earlier call that was cut off has left is finished.
    """
    if root.exists() and not _is_begun(root):
        return
    group = _group_number()
    _make_entrance(root.parent)
    if _is_closed(root.parent):
        root.parent.chmod(ENTRANCE)
    root.mkdir(0o700, exist_ok=True)
    os.chown(root, -1, group)
    root.chmod(SHARED.folder or 0)


def _make_entrance(folder: Path) -> None:
    """Make a folder and those above it so that everyone can pass through, whatever rights new folders get here."""
    if not folder.exists():
        _make_entrance(folder.parent)
        folder.mkdir(0o700, exist_ok=True)
        folder.chmod(ENTRANCE)
    elif _is_begun(folder):
        folder.chmod(ENTRANCE)


def _is_begun(folder: Path) -> bool:
    """Whether a folder is as a call that was cut off leaves it: closed, and empty."""
    return _is_closed(folder) and next(folder.iterdir(), None) is None


def _is_closed(folder: Path) -> bool:
    """Whether a folder is one's own and shuts everybody else out."""
    status = folder.stat()
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO)


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
            hint="Run the command as that user, such as with sudo, or leave out --system to have a model for yourself.",
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
        return _not_a_reader(root, status)
    parent = root.parent.stat()
    if parent.st_uid not in {0, os.getuid(), status.st_uid} or (_is_open(parent) and not parent.st_mode & stat.S_ISVTX):
        return PolicyRefused(
            f"Users other than its owner can replace {root}, so no model is taken from there.",
            hint=f"Ask the administrator for `chown root {root.parent}` and `chmod g-w,o-w {root.parent}`.",
        )
    if _is_open(status):
        return PolicyRefused(
            f"Users other than its owner can change the models of this host in {root}, so none is taken from there.",
            hint=f"Ask the administrator for `chmod g-w,o-w {root}` and `landfast --system models verify`.",
        )
    return None


def require_open(root: Path) -> None:
    """Raises PolicyRefused for a user whom the store is closed to."""
    if (closed := why_closed(root)) is not None:
        raise closed


def _is_open(status: os.stat_result) -> bool:
    """Whether others than the owner may change what lies in a folder."""
    return bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _not_a_reader(root: Path, status: os.stat_result) -> PolicyRefused:
    """What lets this user in: membership of the folder's group, or first a group that people may belong to."""
    joined = f"`usermod -aG {GROUP} {_user()}`, and then log in again"
    if status.st_gid == 0:
        return _outsider(
            "administrators only", f"`chgrp -R {GROUP} {root}`, `chmod {SHARED.folder:o} {root}` and {joined}"
        )
    name = _group_name(status.st_gid)
    if status.st_mode & (stat.S_IRGRP | stat.S_IXGRP) != stat.S_IRGRP | stat.S_IXGRP:
        return _outsider("their owner only", f"`chmod {SHARED.folder:o} {root}`")
    return _outsider(f"the group {name}", f"`usermod -aG {name} {_user()}`, and then log in again")


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
            hint=f"Create it with `groupadd --system {GROUP}`, and add each user with `usermod -aG {GROUP} USER`.",
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
