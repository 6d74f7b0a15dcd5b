"""Write a transfer's contributions into its MLflow run, beside its coefficients."""

from __future__ import annotations

from typing import Any

from adapterlab import home
from adapterlab.catalog.store import Catalog
from adapterlab.errors import NotFoundError
from adapterlab.exporting.ablation import Contributions
from adapterlab.exporting.stored_models import spec_of
from adapterlab.worker.run_tree import CatalogRunIds

_FLUSH_S = 30.0


def log_contributions(catalog: Catalog, found: Contributions, picture: bytes) -> str:
    """Add a table, a picture and a metric a source to the transfer's run; return the run's id.

    Written again, they replace what was there; metrics stay as they were first written.

    Args:
        catalog: Where the transfer is from.
        found: What was evaluated.
        picture: PNG of it.

    Raises:
        NotFoundError: The transfer has no run.
        UnavailableError: The store does not answer.
    """
    node, run_id = _node(catalog, found.key)
    spec: Any = spec_of(catalog, found.key) or {}
    tracking = spec.get("tracking") or {}
    stores = home.stores(tracking=tracking.get("uri"))
    from adapterlab.tracking.schema import follow_home
    from adapterlab.tracking.tracker import Tracker
    from adapterlab.tracking.vocabulary import leave_one_out

    follow_home(stores.tracking, stores.artifacts, stores.locks)
    with Tracker.open(
        uri=stores.tracking,
        artifacts=stores.artifacts,
        experiment=tracking.get("experiment") or f"adapterlab/{spec.get('name')}",
        spool=stores.spool,
        run_ids=CatalogRunIds(catalog),
        locks=stores.locks,
        command="platform contributions",
    ) as tracker:
        run = tracker.existing(node)
        # The layout of MLflow's own tables: columns, and rows in their order.
        run.json(f"contributions.{found.split}.json", {**found.to_json(), **found.table()})
        run.picture(f"contributions.{found.split}.png", picture)
        values = {
            leave_one_out(found.split, name): one.difference
            for name, one in zip(_short_names(found), found.sources, strict=True)
        }
        run.metrics(values, step=0)
        tracker.flush(_FLUSH_S)
    return run_id


def _short_names(found: Contributions) -> list[str]:
    """Return the sources' names without their benchmark where that leaves all different, as their run has them."""
    short = [one.task.rsplit("/", 1)[-1] for one in found.sources]
    return short if len(set(short)) == len(short) else [one.task for one in found.sources]


def _node(catalog: Catalog, key: str) -> tuple[str, str]:
    """Return the transfer's node and run in the tree of the sweep that trained it, or reused it."""
    trained_in = catalog.get_transfer(key).run_id
    nodes = [f"{sweep.key}/{key}" for sweep in catalog.sweeps_with(key)]
    runs = {node: run for node in nodes if (run := catalog.run_id(node)) is not None}
    own = [(node, run) for node, run in runs.items() if run == trained_in]
    if not runs:
        raise NotFoundError(f"transfer {key[:12]} has no MLflow run")
    return (own or list(runs.items()))[0]
