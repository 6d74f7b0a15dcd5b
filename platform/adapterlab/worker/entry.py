"""The door of a worker: one order in, done to its end by one process.

What comes in and goes out is JSON. Results themselves go into the catalog and to MLflow, under the
claims the driver holds. Whether Ray started this process, or it is the driver's own, nothing here knows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adapterlab.errors import BackboneError, CancelledError
from adapterlab.patience import Patience
from adapterlab.private_files import private_umask
from adapterlab.records import RunInWork
from adapterlab.train.capacity import Capacity
from adapterlab.train.layers import Backbone
from adapterlab.worker.arrival import receive_backbone
from adapterlab.worker.joint_runs import train_joint_order
from adapterlab.worker.orders import (
    BackboneFiles,
    Context,
    JointOrder,
    SelectionOrder,
    SourcesOrder,
    TrialsOrder,
    order_from_json,
)
from adapterlab.worker.run_tree import SweepTree
from adapterlab.worker.selections import run_selection
from adapterlab.worker.source_runs import train_sources
from adapterlab.worker.study_runs import run_study, run_trials
from adapterlab.worker.worker import Worker

_SWITCH_S = 0.0005
"""How long the thread that writes to MLflow may keep the interpreter while training waits for it. Python's own
5 ms are lost each time a database answers, which for trials of milliseconds adds up."""


def work(
    payload: Mapping[str, Any], stop: Callable[[], bool], in_work: Callable[[Mapping[str, RunInWork]], None]
) -> dict[str, int]:
    """Do one order.

    Args:
        payload: A :data:`~adapterlab.worker.orders.WorkOrder` as JSON.
        stop: Whether to stop at the next chance.
        in_work: Told what is in work whenever that changes; whoever is told may end this process when
            something takes too long.

    Returns:
        Counts of the runs that ended, by state.

    Raises:
        CancelledError: It was asked to stop, or the sweep was cancelled.
    """
    order = order_from_json(payload)
    with open_worker(order.context, order.name, stop, in_work) as worker:
        if isinstance(order, JointOrder):
            return train_joint_order(worker, order)
        if isinstance(order, SourcesOrder):
            return train_sources(worker, order)
        if isinstance(order, SelectionOrder):
            return run_selection(worker, order)
        if isinstance(order, TrialsOrder):
            return run_trials(worker, order)
        return run_study(worker, order)


@contextmanager
def open_worker(
    context: Context,
    name: str,
    stop: Callable[[], bool],
    in_work: Callable[[Mapping[str, RunInWork]], None],
) -> Iterator[Worker]:
    """Load the backbone and open the stores; runs still open when it ends are closed as killed.

    Args:
        context: Of the sweep.
        name: Of the worker.
        stop: Whether to stop at the next chance.
        in_work: Told what is in work whenever that changes.

    Raises:
        BackboneError: The weights in the folder are not those the plan was made for.
    """
    from adapterlab.train.device import prepare

    def check() -> None:
        if stop():
            raise CancelledError("stopped while a server was away", remedy="Submit again to continue.")

    def patience() -> Patience:
        return Patience(context.patience_s, check=check)

    in_work({"": RunInWork("", "loading the backbone")})
    device = prepare(threads=context.threads, gpu=context.gpu)
    with (
        private_umask(),
        _switching_fast(),
        context.catalog(patience()) as catalog,
        SweepTree.open(context, catalog, patience()) as tree,
    ):
        context = receive_backbone(context)
        backbone = _load_backbone(context.backbone, device, context.stores.cache)
        in_work({})
        yield Worker(
            context=context,
            name=name,
            backbone=backbone,
            catalog=catalog,
            tree=tree,
            capacity=Capacity(context.lanes),
            stop=stop,
            in_work=in_work,
            patience=patience(),
        )


@contextmanager
def _switching_fast() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _load_backbone(files: BackboneFiles, device: Any, cache: Path) -> Backbone:
    from adapterlab.backbones.weight_files import weight_files, weights_digest
    from adapterlab.registry.entry_points import backbone_family
    from adapterlab.train.device import precision_of
    from adapterlab.train.tensor_files import check_model_files

    folder = Path(files.folder)
    found = weights_digest(weight_files(folder), cache)
    if found != files.digest:
        raise BackboneError(
            f"{folder}: the weights have sha256 {found}, the plan was made for {files.digest}",
            remedy="Every machine of the cluster must see the same files; fetch the model again.",
        )
    family = backbone_family(files.architecture)
    check_model_files(weight_files(folder), family.holds)
    return family.load(folder, dtype=precision_of(files.precision), device=device)
