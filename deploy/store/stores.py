"""One's own store with the host's beside it, as one: what is read is found in both, what is changed is one's own."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from deploy.errors import IntegrityError, LandfastError, NotFound, NotWritable
from deploy.paths import Paths
from deploy.sources.base import Report
from deploy.store.checks import FileVerdict
from deploy.store.records import Damaged, Installed
from deploy.store.sharing import require_open, why_closed
from deploy.store.store import Store

ADMINISTRATOR = "Ask the administrator to run `landfast --system models verify --repair`."


class Stores(Store):
    """One's own models, and those of the host that one does not have oneself."""

    def __init__(self, root: Path, host: Path) -> None:
        """Name both folders. Nothing is ever written to the host's."""
        super().__init__(root)
        self._host = Store(host, shared=True, read_only=True)
        self.closed = why_closed(host)
        """Why this user gets nothing from the host."""

    def installed(self) -> tuple[Installed, ...]:
        """One's own models and the host's, by id. Of one that is in both, one's own counts."""
        own = self.own()
        taken = {record.id for record in own}
        beside = (record for record in self.of_host() if record.id not in taken)
        return tuple(sorted((*own, *beside), key=lambda record: record.id))

    def of_host(self) -> tuple[Installed, ...]:
        """What the host has, as far as this user may read it."""
        return () if self.closed else self._host.installed()

    def former(self, model_id: str) -> tuple[Installed, ...]:
        """The former versions of a model, in the store in which it is."""
        return self._host.former(model_id) if not self.closed and self._lacks(model_id) else super().former(model_id)

    def damaged(self) -> tuple[Damaged, ...]:
        """Lock files that cannot be understood, in both stores."""
        beside = () if self.closed else self._host.damaged()
        return (*super().damaged(), *(_for_readers(record) for record in beside if self._lacks(record.id)))

    def open_files(self, installed: Installed, report: Report) -> tuple[Path, ...]:
        """The model's files, from where it is. Raises as a store alone does."""
        if not self.is_of_host(installed):
            return super().open_files(installed, report)
        try:
            return self._host.open_files(installed, report)
        except (NotFound, IntegrityError) as error:
            raise type(error)(error.message, hint=_hint(installed.id)) from error

    def open_projector(self, installed: Installed, report: Report) -> Path | None:
        """What lets the model look at images, from where the model is. Raises as a store alone does."""
        if not self.is_of_host(installed):
            return super().open_projector(installed, report)
        try:
            return self._host.open_projector(installed, report)
        except (NotFound, IntegrityError) as error:
            raise type(error)(error.message, hint=_hint(installed.id)) from error

    def verify_all(self, records: Sequence[Installed], report: Report) -> tuple[tuple[FileVerdict, ...], ...]:
        """Hash the files of several models. A bad one of the host's is told, and stays where it is."""
        beside = tuple(record for record in records if self.is_of_host(record))
        own = iter(super().verify_all(tuple(record for record in records if record not in beside), report))
        others = iter(self._host.verify_all(beside, report))
        return tuple(next(others if record in beside else own) for record in records)

    def remove(self, model_id: str) -> int:
        """Uninstall one's own model. Raises NotWritable for one of the host's."""
        self._require_own(model_id)
        return super().remove(model_id)

    def switch(self, model_id: str, serial: int, report: Report) -> Installed:
        """Take a former version of one's own model into use. Raises NotWritable for one of the host's."""
        self._require_own(model_id)
        return super().switch(model_id, serial, report)

    def forget(self, model_id: str, serial: int) -> int:
        """Take a former version of one's own model away. Raises NotWritable for one of the host's."""
        self._require_own(model_id)
        return super().forget(model_id, serial)

    def _require_own(self, model_id: str) -> None:
        there = {record.id for record in self.of_host()} | {record.id for record in self.damaged()}
        if self._lacks(model_id) and model_id in there:
            raise NotWritable(
                f"{model_id} belongs to the host, and is not yours to change.",
                hint="An administrator can change it with `landfast --system models`.",
            )

    def is_of_host(self, installed: Installed) -> bool:
        """Whether a model is the host's."""
        return not self.closed and self._lacks(installed.id) and self._host.get(installed.id) is not None

    def _lacks(self, model_id: str) -> bool:
        return not self._layout.record(model_id).exists()


def store_of(paths: Paths) -> Store:
    """The store of these locations. Raises PolicyRefused for a user whom the host's is closed to."""
    if paths.shared:
        require_open(paths.store)
        return Store(paths.store, shared=True)
    return Store(paths.store) if paths.host is None else Stores(paths.store, paths.host.store)


def closed_to(store: Store) -> LandfastError | None:
    """Why the host's models are not for this user; None where they are, or where there are none."""
    return store.closed if isinstance(store, Stores) else None


def ids_of_host(store: Store) -> tuple[str, ...]:
    """The models that are the host's."""
    return tuple(r.id for r in store.installed() if store.is_of_host(r)) if isinstance(store, Stores) else ()


def _for_readers(damaged: Damaged) -> Damaged:
    """A damaged lock file of the host, with what someone can do who may not write there."""
    return msgspec.structs.replace(damaged, hint=_hint(damaged.id))


def _hint(model_id: str) -> str:
    return f"{ADMINISTRATOR} Or install it for yourself: `landfast install {model_id}`."
