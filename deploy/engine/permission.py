"""Whether the owner of this machine allows an engine without its seal: one line in a file that only root can write."""

import tomllib
from pathlib import Path
from typing import Final

from deploy.errors import PolicyRefused

SETTINGS: Final = Path("/etc/landfast/engine.toml")
"""Not below LANDFAST_HOME: a user must not be able to put another one in its place."""
ROOT: Final = 0
WRITABLE_BY_OTHERS: Final = 0o022
HINT: Final = f"An administrator can allow it: `allow_unsealed = true` in {SETTINGS}."


def require_unsealed_allowed(settings: Path = SETTINGS) -> None:
    """Raises PolicyRefused unless the administrator's settings allow runs without the seal."""
    try:
        found = settings.stat()
        allowed = tomllib.loads(settings.read_text(encoding="utf-8")).get("allow_unsealed")
    except FileNotFoundError:
        raise PolicyRefused("Running without the seal is not allowed on this machine.", hint=HINT) from None
    except (OSError, ValueError) as error:
        raise PolicyRefused(f"{settings} cannot be read, so the seal stays on: {error}.", hint=HINT) from error
    if found.st_uid != ROOT or found.st_mode & WRITABLE_BY_OTHERS:
        raise PolicyRefused(
            f"{settings} can be written by users other than root, so the seal stays on.",
            hint=f"Run `chown root {settings}` and `chmod 644 {settings}` as root.",
        )
    if allowed is not True:
        raise PolicyRefused("Running without the seal is not allowed on this machine.", hint=HINT)
