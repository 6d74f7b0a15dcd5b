"""What every worker of a sweep must know: where things are, never work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from adapterlab.catalog.store import Catalog, open_catalog
from adapterlab.data.task_library import TaskLibrary
from adapterlab.home import Stores


@dataclass(frozen=True)
class Context:
    """Where a sweep's state lives and how its workers run; none of it is in a key."""

    sweep_key: str
    name: str
    """Name of the sweep."""
    stores: Stores
    experiment: str
    """MLflow experiment."""
    backbone: Mapping[str, Any]
    """``folder`` and ``architecture``, ``digest`` of the weights, ``precision`` to run them in."""
    library: TaskLibrary
    """Where the rows of its tasks are."""
    max_length: int
    max_train_rows: int | None
    lanes: int | None
    """Lanes in one pass; ``None``: chosen on the worker."""
    threads: int
    """CPU threads of a worker."""
    gpu: bool

    def to_json(self) -> dict[str, Any]:
        """Return the context as a JSON-able mapping."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        return plain | {"stores": asdict(self.stores), "library": self.library.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Context:
        """Return the context that :meth:`to_json` described."""
        stores, library = Stores(**value["stores"]), TaskLibrary.from_json(value["library"])
        return cls(**{**value, "stores": stores, "library": library})

    def catalog(self) -> Catalog:
        """Open the catalog; its schema is already there."""
        return open_catalog(self.stores.catalog, self.stores.blobs, locks=self.stores.locks, migrate=False)
