"""Every place that Landfast writes to, in one object. Nothing is written anywhere else."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from unicodedata import combining, normalize

from deploy.errors import UsageError, of_the_machine

SCOPE: Final = "LANDFAST_SCOPE"
"""`system` for the folders of the whole host; what --system sets."""
SYSTEM_ROOT: Final = "LANDFAST_SYSTEM_ROOT"
"""Stands for / in the system's folders: the host that is being prepared is not always the one that runs."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Locations for one user, for the whole host, or under one folder when LANDFAST_HOME is set."""

    data: Path
    """Models: kept until removed, so it stands with the user's data and not in a cache."""
    state: Path
    """What was learned on this machine; may be deleted at the cost of learning it again."""
    config: Path
    """What belongs to the user and cannot be had again: keys."""
    host: "Paths | None" = None
    """The whole host's locations, whose models are read beside one's own; None for the host itself and for a home."""
    shared: bool = False
    """Whether these are the whole host's."""

    @property
    def store(self) -> Path:
        """The content-addressed store. Staging lies inside it, so that a rename never crosses file systems."""
        return self.data / "store"

    @property
    def catalogue(self) -> Path:
        """The catalogue that an update brought."""
        return self.data / "catalog.json"

    @property
    def keys(self) -> Path:
        """The key that this user signs with."""
        return self.config / "keys"

    @property
    def conversations(self) -> Path:
        """Conversations that the user asked to keep; not there before the first of them."""
        return self.data / "conversations" / "conversations.db"

    @property
    def adapters(self) -> Path:
        """The store of adapters, beside that of the models."""
        return self.data / "adapters"

    @property
    def sessions(self) -> Path:
        """Sessions that the user asked to keep; not there before the first of them."""
        return self.state / "sessions"

    @property
    def journal(self) -> Path:
        """The record of what ran."""
        return self.state / "journal"


def resolve(environment: Mapping[str, str]) -> Paths:
    """Find the locations that hold for this environment. Creates nothing.

    Raises UsageError when LANDFAST_HOME is set to a relative path, whose meaning would change with the working
    directory, to one that is not UTF-8, and where the whole host's folders cannot be had.
    """
    home = environment.get("LANDFAST_HOME")
    if environment.get(SCOPE):
        return _chosen(environment, home)
    if home:
        root = _text(Path(home).expanduser())
        if not root.is_absolute():
            raise UsageError(
                f"LANDFAST_HOME is the relative path {home!r}.", hint="Set it to an absolute path, or unset it."
            )
        return Paths(data=root / "data", state=root / "state", config=root / "config")
    data, state, config = map(_text, _of_user())
    return Paths(data=data, state=state, config=config, host=None if os.name == "nt" else system_paths(environment))


def _text(path: Path) -> Path:
    """The same path. Raises UsageError for other bytes than UTF-8, which no JSON and no journal could hold."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        hint = "Set LANDFAST_HOME to a folder with a plain name."
        raise UsageError(f"The folder {str(path)!a} is not UTF-8 text.", hint=hint) from None
    return path


def _of_user() -> tuple[Path, Path, Path]:
    """The platform's folders for data, state and settings. Raises UsageError for a user without a home."""
    from platformdirs import PlatformDirs

    try:
        places = PlatformDirs("landfast", appauthor=False)
        found = Path(places.user_data_dir), Path(places.user_state_dir), Path(places.user_config_dir)
    except RuntimeError:  # HOME is not set, and no account of this user names one
        found = (Path(), Path(), Path())
    if not all(path.is_absolute() for path in found):
        raise UsageError(
            "This user has no home directory to keep models in.",
            hint="Set LANDFAST_HOME to a folder of this user's, or set HOME.",
        )
    return found


def system_paths(environment: Mapping[str, str]) -> Paths:
    """The folders of the whole host. Raises UsageError for a relative path."""
    root = Path(environment.get(SYSTEM_ROOT) or "/")
    if not root.is_absolute():
        raise UsageError(f"{SYSTEM_ROOT} is the relative path {str(root)!r}.", hint="Set it to an absolute path.")
    data = root / "var" / "lib" / "landfast"
    return Paths(data=data, state=data / "state", config=root / "etc" / "landfast", shared=True)


def _chosen(environment: Mapping[str, str], home: str | None) -> Paths:
    """The scope that was asked for by name. Raises UsageError."""
    if environment[SCOPE] != "system":
        raise UsageError(f"{SCOPE} is {environment[SCOPE]!r}.", hint="Set it to `system`, or unset it.")
    if home:
        raise UsageError(
            "LANDFAST_HOME names one folder for everything, and --system asks for the host's own folders.",
            hint="Leave out one of the two.",
        )
    if os.name == "nt":
        raise UsageError("A store for the whole host is kept on Linux and macOS only.", hint="Leave out --system.")
    return system_paths(environment)


def named_path(name: str) -> Path:
    """The path that a person wrote, with ~ as in a shell. Raises NotFound for the ~ of a user who is not known here."""
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise (of_the_machine(error) or error) from error


def plain_name(text: str) -> str:
    """A text as the name of a file on any system: small letters of ASCII, digits and ._-; "Ü" becomes "u"."""
    letters = (letter for letter in normalize("NFKD", text.lower()) if not combining(letter))
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in letters)
    return kept.strip("._-")


def current() -> Paths:
    """The locations for this process."""
    return resolve(os.environ)
