"""A process that installs a model from a bundle once, or clears the store again and again.

Arguments: "install" or "gc", the host's home, the bundle.
"""

import sys
import time
from pathlib import Path

from deploy.commands.install import InstallRequest, install
from deploy.commands.upkeep import collect
from deploy.sources.base import Progress
from tests.deploy.bundle.kit import heard_by, taker

GC_TIME_S = 3.0


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
    end_s = time.monotonic() + GC_TIME_S
    rounds = 0
    while time.monotonic() < end_s:
        collect(here)
        rounds += 1
    sys.stdout.write(f"collected {rounds > 1}\n")


if __name__ == "__main__":
    main()
