"""A process that takes models in without end until it is killed. Arguments: how, the host's home, the place.

"bundle" installs from a bundle, "adopt" takes in the files of a folder; both remove what they installed.
"""

import itertools
import sys
from pathlib import Path

from deploy.commands.adopt import adopt, look
from deploy.commands.context import Context
from deploy.commands.install import InstallRequest, install
from tests.deploy.bundle.kit import taker


def main() -> None:
    """Take in, remove and begin again."""
    how, home, place = sys.argv[1:]
    here = taker(Path(home))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for _ in itertools.count():
        if how == "bundle":
            install(here, InstallRequest(model="big", folder=place))
        else:
            _adopt(here, place)
        here.store.remove("big:Q4_0")


def _adopt(here: Context, place: str) -> None:
    found = look(here, place).data
    if found is not None:
        adopt(here, found)


if __name__ == "__main__":
    main()
