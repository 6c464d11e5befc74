"""A process that changes a store without end until it is killed. Arguments: the store's folder."""

import itertools
import sys
from pathlib import Path

from deploy.store.store import Store
from tests.deploy.store.kit import EVEN, KEY, ODD, install


def main() -> None:
    """Install one version of a model after the other, and now and then remove it."""
    store = Store(Path(sys.argv[1]))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for turn in itertools.count():
        install(store, ODD if turn % 2 else EVEN)
        sys.stdout.write("installed\n")
        sys.stdout.flush()
        if turn % 5 == 4:
            store.remove(KEY)


if __name__ == "__main__":
    main()
