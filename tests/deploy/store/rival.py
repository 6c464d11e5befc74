"""A process that installs a model once, slowly, unless another one was faster. Arguments: the store's folder."""

import sys
import time
from pathlib import Path

from deploy.sources.base import Progress
from deploy.store.store import Store
from tests.deploy.store.kit import KEY, ONE, check, description, pins, stage


def note(progress: Progress) -> None:
    """Print what the store says while it waits."""
    if progress.step == "note":
        sys.stdout.write(f"{progress.text}\n")


def main() -> None:
    """Install, and print whether it was this process that did it."""
    with Store(Path(sys.argv[1])).transaction(KEY, 0, note) as transaction:
        if transaction.present:
            sys.stdout.write("present\n")
            return
        paths = stage(transaction, ONE)
        time.sleep(0.5)
        transaction.commit(paths, pins(ONE), check, lambda _: description())
        sys.stdout.write("installed\n")


if __name__ == "__main__":
    main()
