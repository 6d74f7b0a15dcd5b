"""What a worker has at hand for any job: the frozen backbone, the stores, the sweep's run tree."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adapterlab.catalog.records import Claim
from adapterlab.catalog.store import Catalog
from adapterlab.cluster.tune import stop_requested
from adapterlab.errors import BackboneError, CancelledError
from adapterlab.fingerprint import digest_of
from adapterlab.records import State, TaskData
from adapterlab.train.capacity import Capacity
from adapterlab.train.layers import Backbone
from adapterlab.worker.context import Context
from adapterlab.worker.run_tree import SweepTree

_CANCEL_POLL_S = 1.0
_TELL_S = 1.0
_SWITCH_S = 0.0005
"""How long the thread that writes to MLflow may keep the interpreter while training waits for it. Python's own
5 ms are lost each time a database answers, which for trials of milliseconds adds up."""


@dataclass
class Worker:
    """What a worker needs for any job: the backbone, the stores and the sweep's run tree."""

    context: Context
    name: str
    """Stable across restarts of the same job."""
    backbone: Backbone
    catalog: Catalog
    tree: SweepTree
    capacity: Capacity
    """How many lanes share a pass; what it learned holds for all jobs of this worker."""

    def __post_init__(self) -> None:
        self._asked_at = 0.0

    def load_task(
        self,
        task: str,
        rows: Mapping[str, Any] | None = None,
        *,
        tell: Callable[[str], None] | None = None,
    ) -> TaskData:
        """Return a task tokenised for this backbone.

        Args:
            task: Full name.
            rows: Which rows train and validate, as ``planning.rows.RunRows`` says it; ``None``: those
                that the sweep's ``data.max_train_rows`` leaves.
            tell: Told about once a second how far it is, where it is not in this machine's cache yet.
        """
        from adapterlab.data.few_rows import drawn_rows
        from adapterlab.data.load import load_task
        from adapterlab.data.row_sources import DataPlaces

        context = self.context
        data = load_task(
            task,
            root=None if context.data_root is None else Path(context.data_root),
            backbone_folder=Path(context.backbone["folder"]),
            max_length=context.max_length,
            cache=context.stores.cache,
            places=DataPlaces.from_json(context.places),
            progress=None if tell is None else _throttled(tell),
        )
        if rows is None:
            return replace(data, train=data.train.first(context.max_train_rows))
        train = data.train.first(rows["train"])
        if rows["draw"] is not None:
            train = drawn_rows(task, data.train, data.facts.problem_type, rows["train"], rows["draw"])
        return replace(data, train=train, validation=data.validation.first(rows["validation"]))

    def train_texts(self, task: str) -> Sequence[str]:
        """Return the texts a task trains on here."""
        from adapterlab.data.row_sources import DataPlaces
        from adapterlab.data.train_texts import train_texts

        context = self.context
        return train_texts(
            task,
            root=None if context.data_root is None else Path(context.data_root),
            cache=context.stores.cache,
            places=DataPlaces.from_json(context.places),
            limit=context.max_train_rows,
        )

    def texts_digest(self, task: str) -> str:
        """Return what decides :meth:`train_texts`."""
        from adapterlab.data.row_sources import DataPlaces
        from adapterlab.data.task_facts import task_facts

        context = self.context
        root = None if context.data_root is None else Path(context.data_root)
        places = DataPlaces.from_json(context.places)
        facts = task_facts(task, root=root, cache=context.stores.cache, places=places)
        return digest_of({"content": facts.content_digest, "rows": context.max_train_rows})

    def check_cancelled(self) -> None:
        """Ask, at most once a second, whether the sweep is to stop.

        Raises:
            CancelledError: It is; runs in progress are closed as killed and can be resumed.
        """
        if time.monotonic() - self._asked_at < _CANCEL_POLL_S:
            return
        self._asked_at = time.monotonic()
        if stop_requested() or self.catalog.cancel_requested(self.context.sweep_key):
            raise CancelledError(
                "the sweep was stopped on request", remedy="Submit the same spec to continue it."
            )

    def progress(self, claim: Claim, done: int, total: int, detail: str) -> None:
        """Say how far a step is; people see it in ``submit`` and ``status``."""
        self.catalog.progress(
            claim.key, state=State.RUNNING, done=done, total=total, detail=detail, claim=claim
        )


def _throttled(tell: Callable[[str], None]) -> Callable[[str, int, int], None]:
    told = time.monotonic()

    def progress(what: str, done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= _TELL_S:
            told = time.monotonic()
            tell(f"{what}: {done:,} of {total:,} rows")

    return progress


@contextmanager
def open_worker(context: Context, name: str) -> Iterator[Worker]:
    """Load the backbone and open the stores; runs still open when it ends are closed as killed.

    Raises:
        BackboneError: The weights in the folder are not those the plan was made for.
    """
    from adapterlab.train.device import prepare

    device = prepare(threads=context.threads, gpu=context.gpu)
    sys.setswitchinterval(_SWITCH_S)
    with context.catalog() as catalog, SweepTree.open(context, catalog) as tree:
        yield Worker(
            context=context,
            name=name,
            backbone=_load_backbone(context, device),
            catalog=catalog,
            tree=tree,
            capacity=Capacity(context.lanes),
        )


def _load_backbone(context: Context, device: Any) -> Backbone:
    from adapterlab.backbones.weight_files import weight_files, weights_digest
    from adapterlab.registry.entry_points import backbone_family
    from adapterlab.train.device import precision_of

    folder = Path(context.backbone["folder"])
    found = weights_digest(weight_files(folder), context.stores.cache)
    if found != context.backbone["digest"]:
        raise BackboneError(
            f"{folder}: the weights have sha256 {found}, the plan was made for {context.backbone['digest']}",
            remedy="Every machine of the cluster must see the same files; fetch the model again.",
        )
    family = backbone_family(context.backbone["architecture"])
    return family.load(folder, dtype=precision_of(context.backbone["precision"]), device=device)
