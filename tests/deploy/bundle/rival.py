"""A process that installs a model from a bundle once, or clears the store again and again until its input ends.

Arguments: "install" or "gc", the host's home, the bundle.
"""

import select
import sys
import time
from pathlib import Path

from deploy.commands.install import InstallRequest, install
from deploy.commands.upkeep import collect
from deploy.sources.base import Progress
from tests.deploy.bundle.kit import heard_by, taker


def slowly(progress: Progress) -> None:
    """Give the other process time to come in between."""
    if progress.step == "download":
        time.sleep(0.02)


def main() -> None:
    """Do it, and print what came of it."""
    how, home, bundle = sys.argv[1:]
    here = heard_by(taker(Path(home)), slowly)
    if how == "install":
        result = install(here, InstallRequest(model="big", folder=bundle))
        sys.stdout.write(f"{'installed' if result.changed else 'present'}\n")
        return
    collect(here)
    sys.stdout.write("collecting\n")
    sys.stdout.flush()
    while not select.select([sys.stdin], [], [], 0)[0]:
        collect(here)
    sys.stdout.write("collected\n")


if __name__ == "__main__":
    main()
