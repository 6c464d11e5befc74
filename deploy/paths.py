"""Every place that Landfast writes to, in one object. Nothing is written anywhere else."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import UsageError


@dataclass(frozen=True, slots=True)
class Paths:
    """Locations for one user, or under one folder when LANDFAST_HOME is set."""

    data: Path
    """Models: kept until removed, so it stands with the user's data and not in a cache."""
    state: Path
    """What was learned on this machine; may be deleted at the cost of learning it again."""
    config: Path
    """What belongs to the user and cannot be had again: keys."""

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
    def journal(self) -> Path:
        """The record of what ran."""
        return self.state / "journal"


def resolve(environment: Mapping[str, str]) -> Paths:
    """Find the locations that hold for this environment. Creates nothing.

    Raises UsageError when LANDFAST_HOME is set to a relative path: its meaning would change with the
    working directory.
    """
    home = environment.get("LANDFAST_HOME")
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
        data=Path(places.user_data_dir), state=Path(places.user_state_dir), config=Path(places.user_config_dir)
    )


def current() -> Paths:
    """The locations for this process."""
    return resolve(os.environ)
