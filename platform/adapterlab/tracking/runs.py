"""Runs in MLflow: find, create, reopen, write, end. Everything here may be done twice without harm.

A run is known by its node, a stable name kept in a tag, never by what this process remembers: that is
what lets a resumed sweep add to the tree it left. Calls may come from several threads.
"""

from __future__ import annotations

import hashlib
import logging
import math
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import filelock

from adapterlab.errors import NotFoundError
from adapterlab.records import State
from adapterlab.tracking.entities import NOTE_TAG, PARENT_TAG, chunks, cut, dataset_inputs, node_of
from adapterlab.tracking.values import (
    ATTEMPT_TAG,
    MLFLOW_STATUS,
    NODE_TAG,
    NON_FINITE_TAG,
    REASON_TAG,
    ROOT_TAG,
    STATE_TAG,
    Node,
    RunIds,
)

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun
    from mlflow.tracking import MlflowClient

_log = logging.getLogger(__name__)

_METRICS_PER_CALL = 1000
_ITEMS_PER_CALL = 100
_PARAM_CHARACTERS = 6000
_TAG_CHARACTERS = 8000
_RUNS_PER_PAGE = 1000
_OLDEST_FIRST = ["attributes.start_time ASC"]
_LOCK_TIMEOUT_S = 60.0
_LOCK_STRIPES = 64
_RUNNING = MLFLOW_STATUS[State.RUNNING]


@dataclass
class _Known:
    """What this process knows of one run."""

    run_id: str
    root: str
    attempt: str
    created_here: bool
    tags: dict[str, str]
    params: set[str]
    points: set[tuple[str, int]] = field(default_factory=set)
    """Points (metric, step) that are in MLflow."""
    looked_up: set[str] = field(default_factory=set)
    """Metrics whose older points are in ``points``."""
    non_finite: list[str] = field(default_factory=list)


class Runs:
    """The runs of one experiment.

    Args:
        client: MLflow's client.
        experiment_id: The experiment they are in.
        run_ids: Where run ids are kept as well, if anywhere.
        locks: Folder of lock files; with it, two processes of this machine never create one node twice.
    """

    def __init__(
        self, client: MlflowClient, experiment_id: str, run_ids: RunIds | None, locks: Path | None
    ) -> None:
        self._client = client
        self.experiment_id = experiment_id
        """MLflow's id of the experiment."""
        self._run_ids = run_ids
        self._locks = locks
        self._known: dict[str, _Known] = {}
        self._mutex = threading.RLock()

    def run_id(self, node: str) -> str | None:
        """Return the node's run id, if it has a run."""
        known = self._lookup(node)
        return None if known is None else known.run_id

    def open(
        self,
        node: str,
        *,
        attempt: str,
        name: str,
        parent: str | None,
        tags: Mapping[str, str],
        params: Mapping[str, str],
        datasets: Sequence[Mapping[str, Any]],
        description: str | None,
        start_ms: int,
    ) -> None:
        """Create the node's run, or reopen the one it has; a later attempt is never taken over.

        Raises:
            NotFoundError: ``parent`` has no run.
        """
        with self._mutex:
            wanted = {**tags, NODE_TAG: node, ATTEMPT_TAG: attempt, STATE_TAG: str(State.RUNNING)}
            if description:
                wanted[NOTE_TAG] = description
            known = self._known.get(node)
            if known is None:
                with self._creating(node):
                    known = self._lookup(node) or self._create(node, attempt, name, parent, wanted, start_ms)
            if attempt < known.attempt:
                return
            if not known.created_here or known.tags.get(STATE_TAG) != wanted[STATE_TAG]:
                self._reopen(known, wanted)
            known.attempt = attempt
            self._write_params(known, params)
            if datasets:
                self._client.log_inputs(known.run_id, datasets=list(dataset_inputs(datasets)))

    def write(
        self, node: str, points: Iterable[tuple[str, float, int, int]], tags: Mapping[str, str]
    ) -> None:
        """Write points (metric, value, step, time in ms) and tags; points that are there are left out.

        Infinities are written as NaN, because MLflow's SQL store turns them into 1.8e308, which
        flattens every chart; a tag tells which points were not finite.
        """
        from mlflow.entities import Metric

        with self._mutex:
            known = self._get(node)
            metrics = []
            for key, value, step, time_ms in points:
                self._look_up_points(known, key)
                if (key, step) in known.points:
                    continue
                known.points.add((key, step))
                if not math.isfinite(value):
                    known.non_finite.append(f"{key} {value} at step {step}")
                    value = math.nan  # noqa: PLW2901
                metrics.append(Metric(key, value, time_ms, step))
            changed = {key: value for key, value in tags.items() if known.tags.get(key) != value}
            if known.non_finite:
                changed[NON_FINITE_TAG] = "; ".join(known.non_finite)
            try:
                self._log_batches(known, metrics, changed)
            except Exception:
                known.points.difference_update((metric.key, metric.step) for metric in metrics)
                raise

    def artifact(self, node: str, name: str, data: bytes) -> None:
        """Store a file beside the run, replacing one of the same name."""
        with self._mutex, tempfile.TemporaryDirectory(prefix="adapterlab-") as folder:
            path = PurePosixPath(name)
            file = Path(folder) / path.name
            file.write_bytes(data)
            below = None if str(path.parent) == "." else str(path.parent)
            self._client.log_artifact(self._get(node).run_id, str(file), below)

    def end(self, node: str, attempt: str, state: State, reason: str | None, end_ms: int) -> bool:
        """End the run; return whether it was ours to end (a later attempt may have reopened it)."""
        with self._mutex:
            known = self._get(node)
            # Asked again: an owner that slept through its lease must not end what another now runs.
            now = self._client.get_run(known.run_id).data.tags
            if attempt < now.get(ATTEMPT_TAG, ""):
                return False
            if reason is None and REASON_TAG in now:
                self._client.delete_tag(known.run_id, REASON_TAG)
            self._log_batches(known, [], {STATE_TAG: str(state), **({REASON_TAG: reason} if reason else {})})
            self._client.set_terminated(known.run_id, MLFLOW_STATUS[state], end_ms)
            known.points.clear()
            known.looked_up.clear()
            known.created_here = False
            return True

    def below(self, node: str) -> list[Node]:
        """Return every run below a node, at any depth, parents before children."""
        with self._mutex:
            top = self._get(node)
            runs = list(self._search(f"tags.`{ROOT_TAG}` = '{top.root}'", order_by=_OLDEST_FIRST))
        children: dict[str | None, list[MlflowRun]] = {}
        for run in runs:
            children.setdefault(run.data.tags.get(PARENT_TAG), []).append(run)
        found: list[Node] = []
        level: list[tuple[str, str]] = [(node, top.run_id)]
        while level:
            parent, parent_id = level.pop(0)
            for run in children.get(parent_id, []):
                found.append(node_of(run, parent))
                level.append((found[-1].node, run.info.run_id))
        return found

    def kill(self, run: Node, reason: str, end_ms: int) -> bool:
        """End a run that nobody works on any more; return ``False`` if it has ended meanwhile."""
        with self._mutex:
            if self._client.get_run(run.run_id).info.status != _RUNNING:
                return False
            known = self._get(run.node)
            self._log_batches(known, [], {STATE_TAG: str(State.KILLED), REASON_TAG: reason})
            self._client.set_terminated(run.run_id, MLFLOW_STATUS[State.KILLED], end_ms)
            known.created_here = False
            return True

    def forget(self, node: str) -> None:
        """Drop what is remembered of a node, so that it is looked up again."""
        with self._mutex:
            self._known.pop(node, None)

    def _get(self, node: str) -> _Known:
        known = self._lookup(node)
        if known is None:
            raise NotFoundError(
                f"MLflow has no run for {node!r}", remedy="Open it with Tracker.run before writing to it."
            )
        return known

    def _lookup(self, node: str) -> _Known | None:
        with self._mutex:
            known = self._known.get(node)
            if known is None and (run := self._find(node)) is not None:
                known = self._known[node] = _known(run)
            return known

    def _find(self, node: str) -> MlflowRun | None:
        run = self._valid(node, self._kept(node))
        if run is None:
            by_tag = f"tags.`{NODE_TAG}` = '{node}'"
            run = next(self._search(by_tag, order_by=_OLDEST_FIRST, limit=1), None)
            if run is not None:
                self._keep(node, run.info.run_id)
        return run

    def _valid(self, node: str, run_id: str | None) -> MlflowRun | None:
        """Return the run of that id if it is there, not deleted, and the node's."""
        from mlflow.exceptions import MlflowException

        if run_id is None:
            return None
        try:
            run = self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        fits = run.info.lifecycle_stage == "active" and run.data.tags.get(NODE_TAG) == node
        return run if fits else None

    def _kept(self, node: str) -> str | None:
        if self._run_ids is None:
            return None
        try:
            return self._run_ids.get(node)
        except Exception as error:  # noqa: BLE001 - runs are found by their tag as well
            _log.warning("cannot look up the run of %s (%s)", node, error)
            return None

    def _keep(self, node: str, run_id: str) -> None:
        if self._run_ids is None:
            return
        try:
            self._run_ids.put(node, run_id)
        except Exception as error:  # noqa: BLE001 - runs are found by their tag as well
            _log.warning("cannot keep the run of %s (%s)", node, error)

    def _create(
        self, node: str, attempt: str, name: str, parent: str | None, tags: dict[str, str], start_ms: int
    ) -> _Known:
        tags[ROOT_TAG] = node
        if parent is not None:
            above = self._get(parent)
            tags |= {PARENT_TAG: above.run_id, ROOT_TAG: above.root}
        tags = {key: cut(value, _TAG_CHARACTERS) for key, value in tags.items()}
        run = self._client.create_run(self.experiment_id, start_time=start_ms, tags=tags, run_name=name)
        self._keep(node, run.info.run_id)
        kept = self._kept(node)
        if kept != run.info.run_id and (first := self._valid(node, kept)) is not None:
            # Another machine made the node's run at this very moment, and was first.
            self._client.delete_run(run.info.run_id)
            known = _known(first)
        else:
            known = _Known(run.info.run_id, tags[ROOT_TAG], attempt, True, tags, set())
        self._known[node] = known
        return known

    def _reopen(self, known: _Known, wanted: Mapping[str, str]) -> None:
        if known.tags.pop(REASON_TAG, None) is not None:
            self._client.delete_tag(known.run_id, REASON_TAG)
        changed = {key: value for key, value in wanted.items() if known.tags.get(key) != value}
        self._log_batches(known, [], changed)
        self._client.update_run(known.run_id, status=_RUNNING)

    def _write_params(self, known: _Known, params: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        missing = [key for key in params if key not in known.params]
        for keys in chunks(missing, _ITEMS_PER_CALL):
            batch = [Param(key, cut(params[key], _PARAM_CHARACTERS)) for key in keys]
            self._client.log_batch(known.run_id, params=batch, synchronous=True)
            known.params.update(keys)

    def _log_batches(self, known: _Known, metrics: Sequence[Any], tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        tag_batches = list(chunks(list(tags.items()), _ITEMS_PER_CALL))
        metric_batches = list(chunks(metrics, _METRICS_PER_CALL))
        for number in range(max(len(tag_batches), len(metric_batches))):
            some = tag_batches[number] if number < len(tag_batches) else []
            self._client.log_batch(
                known.run_id,
                metrics=metric_batches[number] if number < len(metric_batches) else [],
                tags=[RunTag(key, cut(value, _TAG_CHARACTERS)) for key, value in some],
                synchronous=True,  # whatever MLFLOW_ENABLE_ASYNC_LOGGING says: what returned is written
            )
            known.tags.update(some)

    def _look_up_points(self, known: _Known, key: str) -> None:
        if known.created_here or key in known.looked_up:
            return
        history = self._client.get_metric_history(known.run_id, key)
        known.points.update((key, point.step) for point in history)
        known.looked_up.add(key)

    def _search(
        self, query: str, *, order_by: list[str] | None = None, limit: int | None = None
    ) -> Iterator[MlflowRun]:
        page = None
        while True:
            found = self._client.search_runs(
                [self.experiment_id],
                query,
                max_results=limit or _RUNS_PER_PAGE,
                order_by=order_by,
                page_token=page,
            )
            yield from found
            page = found.token
            if limit or not page:
                return

    @contextmanager
    def _creating(self, node: str) -> Iterator[None]:
        """Let one process of this machine at a time decide whether a node needs a run."""
        if self._locks is None:
            with nullcontext():
                yield
            return
        self._locks.mkdir(parents=True, exist_ok=True)
        stripe = int(hashlib.sha256(node.encode()).hexdigest(), 16) % _LOCK_STRIPES
        with filelock.FileLock(self._locks / f"mlflow-run-{stripe:02d}.lock", timeout=_LOCK_TIMEOUT_S):
            yield


def _known(run: MlflowRun) -> _Known:
    tags = dict(run.data.tags)
    root = tags.get(ROOT_TAG) or tags.get(NODE_TAG) or ""
    return _Known(str(run.info.run_id), root, tags.get(ATTEMPT_TAG) or "", False, tags, set(run.data.params))
