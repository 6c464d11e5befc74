"""Every place that Landfast writes to, in one object. Nothing is written anywhere else."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.errors import UsageError

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
    def journal(self) -> Path:
        """The record of what ran."""
        return self.state / "journal"


def resolve(environment: Mapping[str, str]) -> Paths:
    """Find the locations that hold for this environment. Creates nothing.

    Raises UsageError when LANDFAST_HOME is set to a relative path, whose meaning would change with the working
    directory, and where the whole host's folders cannot be had.
    """
    home = environment.get("LANDFAST_HOME")
    if environment.get(SCOPE):
        return _chosen(environment, home)
    if home:
        root = Path(home).expanduser()
        if not root.is_absolute():
            raise UsageError(
                f"LANDFAST_HOME is the relative path {home!r}.", hint="Set it to an absolute path, or unset it."
            )
        return Paths(data=root / "data", state=root / "state", config=root / "config")
    from platformdirs import PlatformDirs

    places = PlatformDirs("landfast", appauthor=False)
    return Paths(
        data=Path(places.user_data_dir),
        state=Path(places.user_state_dir),
        config=Path(places.user_config_dir),
        host=None if os.name == "nt" else system_paths(environment),
    )


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
            hint="Leave one of the two out.",
        )
    if os.name == "nt":
        raise UsageError("A store for the whole host is kept on Linux and macOS only.", hint="Leave --system out.")
    return system_paths(environment)


def current() -> Paths:
    """The locations for this process."""
    return resolve(os.environ)
