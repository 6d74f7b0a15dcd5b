"""What killed processes may have left on this machine outside of the blob store: where each room leaves it.

Everything here is removed by whoever finds it first, at the start of a sweep or by ``platform catalog gc``, and
only when its owner is certainly gone, see :mod:`adapterlab.caching.leftovers`. What waits in the spool for MLflow
is no leftover: the next sweep writes it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from adapterlab.caching.leftovers import Leftover, cache_drafts, scratch_folders
from adapterlab.catalog.database import COPIES
from adapterlab.cluster.session import session_folders
from adapterlab.driver.launchers import tune_folders
from adapterlab.home import Stores
from adapterlab.tracking import schema, spool
from adapterlab.tracking.runs import UPLOADS


def found_at_once(stores: Stores) -> Iterator[Leftover]:
    """Yield what takes a look into a few folders to find, living processes' as well; for the start of a sweep."""
    home, temporary = Path(stores.home), Path(tempfile.gettempdir())
    yield from tune_folders(home)
    yield from session_folders()
    for prefix in (COPIES, UPLOADS):
        yield from scratch_folders(prefix, temporary)
    yield from spool.drafts(stores.spool)
    yield from schema.drafts(stores.tracking)


def found_by_searching(stores: Stores) -> Iterator[Leftover]:
    """Yield everything, which takes a walk through the caches; living processes' as well."""
    yield from found_at_once(stores)
    yield from cache_drafts(stores.cache)
