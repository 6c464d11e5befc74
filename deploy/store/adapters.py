"""The store of adapters: a store like that of the models, beside it, so that neither is taken for the other."""

from deploy.paths import Paths
from deploy.store.sharing import require_open
from deploy.store.store import Store
from deploy.store.stores import Stores


def adapters_of(paths: Paths) -> Store:
    """The store of adapters of these locations. Raises PolicyRefused for a user whom the host's is closed to."""
    if paths.shared:
        require_open(paths.adapters)
        return Store(paths.adapters, shared=True)
    return Store(paths.adapters) if paths.host is None else Stores(paths.adapters, paths.host.adapters)
