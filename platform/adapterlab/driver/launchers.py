"""What starts workers: Ray, or this process itself, one order after another.

Both take the same orders, hand the same JSON to the same ``worker.entry.work``, and say in the same way how
each order ended. In this process a debugger sees everything, and nothing of Ray is imported.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from adapterlab.caching.leftovers import Leftover, remove_abandoned, scratch_folder, scratch_folders
from adapterlab.cluster.gpus import worker_device
from adapterlab.cluster.outcomes import InWork, Stop, WorkerOutcome, attempt, never_ended, outcome_of
from adapterlab.cluster.placement import Node, WorkerNeeds, WorkersNow, room
from adapterlab.cluster.ray_process import RayProcess, open_ray
from adapterlab.cluster.stop_signals import StopSignals
from adapterlab.cluster.tune import GRACE_S
from adapterlab.spec.model import ClusterSpec
from adapterlab.worker.orders import WorkOrder, to_json

OnOutcome = Callable[[WorkOrder, WorkerOutcome], None]
"""Told of each order as it ends."""
OnWorkers = Callable[[WorkersNow], None]
"""Told how many workers run, and what they wait for, at every change."""

_POLL_S = 0.5
_SCRATCH_PREFIX = "driver-"
_HASTY_GRACE_S = 5.0
"""Grace of workers when a machine asks (SIGTERM, SIGHUP): what asks so kills after ten seconds or thirty."""


class Launcher(Protocol):
    """Starts workers for orders."""

    @property
    def groups(self) -> int:
        """How many workers can train sources side by side, >= 1."""

    @property
    def gpus(self) -> float:
        """GPUs of a worker, perhaps a fraction; 0: it trains on the CPU."""

    @property
    def keeps_order(self) -> bool:
        """Whether a waiting order takes no place from others, so that studies may queue behind their sources."""

    def run(
        self,
        orders: Sequence[WorkOrder],
        *,
        name: str,
        on_outcome: OnOutcome,
        should_stop: Callable[[], bool],
        on_workers: OnWorkers,
    ) -> None:
        """Do orders to their end, the first ones first.

        Args:
            orders: What to do.
            name: What people see of the run.
            on_outcome: Told of each order as it ends, in this thread.
            should_stop: Asked about twice a second; when true, workers are asked to stop.
            on_workers: Told, in this thread, how many workers run, and what they wait for while none can start.

        Raises:
            CancelledError: A signal arrived; ``details["signal"]`` names it.
            UnavailableError: Ray was lost.
            UsageError: A worker needs more than there is.
        """


@contextmanager
def tune_folder(home: Path) -> Iterator[Path]:
    """Make a folder of this process for Ray Tune's files, and remove it afterwards.

    Those of processes that were killed are removed as well.

    Args:
        home: The home folder.
    """
    parent = home / "ray"
    parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(tune_folders(home))
    with scratch_folder(_SCRATCH_PREFIX, parent) as folder:
        yield folder


def tune_folders(home: Path) -> Iterator[Leftover]:
    """Yield the folders of Ray Tune's files in a home, those of living drivers as well."""
    return scratch_folders(_SCRATCH_PREFIX, home / "ray")


@contextmanager
def open_launcher(
    cluster: ClusterSpec, precision: str, home: Path, signals: StopSignals
) -> Iterator[Launcher]:
    """Make ready what starts workers, as a spec says.

    Args:
        cluster: The spec's section.
        precision: Of the frozen backbone, which not every card computes in.
        home: The home folder; logs are kept there.
        signals: What they ask for while orders are done; a second one ends them at once.

    Raises:
        UnavailableError: The cluster cannot be reached.
    """
    if cluster.launcher == "in_process":
        gpus = worker_device(cluster, precision).gpus or 0.0
        yield InProcess(home / "logs" / "in_process.log", signals, gpus)
        return
    runtime_env = cluster.runtime_env.for_ray()
    with (
        open_ray(cluster.address, log_folder=home / "logs", runtime_env=runtime_env) as ray,
        tune_folder(home) as scratch,
    ):
        session = ray.session
        needs = needs_of(cluster, _gpus_on(session.nodes, cluster, precision))
        yield OnRay(
            needs,
            ray,
            signals,
            storage=scratch,
            groups=cluster.workers or max(1, room(session.nodes, needs)),
            # On a shared cluster a waiting study would block a place.
            keeps_order=session.private,
        )


def _gpus_on(nodes: Sequence[Node], cluster: ClusterSpec, precision: str) -> float:
    """Return the GPUs of a worker: what the spec says, else one if there are any on nodes it may be placed on."""
    gpus = worker_device(cluster, precision).gpus
    if gpus is not None:
        return gpus
    return 1.0 if room(nodes, needs_of(cluster, 1.0)) else 0.0


def needs_of(cluster: ClusterSpec, gpus: float) -> WorkerNeeds:
    """Return what a spec gives each worker, with so many GPUs."""
    return WorkerNeeds(
        cpus=cluster.cpus_per_worker,
        gpus=gpus,
        side_by_side=cluster.workers,
        max_retries=cluster.max_retries,
        step_timeout_s=cluster.step_timeout_s,
        resources=cluster.resources,
        labels=cluster.labels,
    )


@dataclass(frozen=True)
class OnRay:
    """A worker is a process that Ray places, starts again when it dies, and stops."""

    needs: WorkerNeeds
    ray: RayProcess
    signals: StopSignals
    storage: Path
    """Folder for Ray Tune's scratch files."""
    groups: int
    keeps_order: bool

    @property
    def gpus(self) -> float:
        """See :attr:`Launcher.gpus`."""
        return self.needs.gpus

    def run(
        self,
        orders: Sequence[WorkOrder],
        *,
        name: str,
        on_outcome: OnOutcome,
        should_stop: Callable[[], bool],
        on_workers: OnWorkers,
    ) -> None:
        """See :meth:`Launcher.run`."""
        from adapterlab.worker.entry import work

        asked = _Asked(should_stop)

        def grace_s() -> float | None:
            if self.signals.count > 1:
                return 0.0
            if self.signals.first is not None:
                return GRACE_S if self.signals.first == "SIGINT" else _HASTY_GRACE_S
            return GRACE_S if asked.stopped() else None

        self.ray.run(
            [to_json(order) for order in orders],
            work,
            self.needs,
            storage=self.storage,
            name=name,
            on_outcome=lambda outcome: on_outcome(orders[outcome.index], outcome),
            should_stop=grace_s,
            on_workers=on_workers,
        )
        self.signals.check()


@dataclass(frozen=True)
class InProcess:
    """The worker is this process: one order after another, in this thread."""

    log: Path
    """Where the tracebacks of orders that failed go."""
    signals: StopSignals
    gpus: float = 0.0
    groups: int = 1
    keeps_order: bool = True

    def run(
        self,
        orders: Sequence[WorkOrder],
        *,
        name: str,
        on_outcome: OnOutcome,
        should_stop: Callable[[], bool],
        on_workers: OnWorkers,
    ) -> None:
        """See :meth:`Launcher.run`."""
        asked, signals = _Asked(should_stop), self.signals

        def stop() -> bool:
            return signals.first is not None or asked.stopped()

        on_workers(WorkersNow(1))
        for index, order in enumerate(orders):
            told = _attempt(order, stop, signals)
            outcome = never_ended(index) if signals.count > 1 else outcome_of(index, told, 1)
            if signals.count <= 1 and (trace := json.loads(told).get("traceback")):
                self._keep(f"{name}, {order.name}:\n{trace}\n")
            on_outcome(order, outcome)
            if stop():
                break
        signals.check()

    def _keep(self, text: str) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as file:
            file.write(text)


def _attempt(order: WorkOrder, stop: Callable[[], bool], signals: StopSignals) -> str:
    from adapterlab.worker.entry import work

    def interruptible(payload: Any, stop: Stop, in_work: InWork) -> Mapping[str, Any]:
        with signals.interrupting(request=2):  # ends what is being done there and then
            return work(payload, stop, in_work)

    return attempt(json.dumps(to_json(order), allow_nan=False), interruptible, stop)


class _Asked:
    """Whether to stop, asked twice a second at most; once true, it stays so."""

    def __init__(self, should_stop: Callable[[], bool]) -> None:
        self._should_stop = should_stop
        self._asked = 0.0
        self._stopped = False

    def stopped(self) -> bool:
        now = time.monotonic()
        if not self._stopped and now - self._asked >= _POLL_S:
            self._asked = now
            self._stopped = self._should_stop()
        return self._stopped
