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
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import filelock

from adapterlab.caching.leftovers import scratch_folder
from adapterlab.errors import NotFoundError
from adapterlab.records import State
from adapterlab.tracking.entities import (
    ATTEMPT_TAG,
    KIND_TAG,
    MLFLOW_STATUS,
    NODE_TAG,
    NON_FINITE_TAG,
    NOTE_TAG,
    PARENT_TAG,
    REASON_TAG,
    ROOT_TAG,
    STATE_TAG,
    Node,
    RunIds,
    chunks,
    cut,
    dataset_inputs,
    node_of,
)

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun
    from mlflow.tracking import MlflowClient

_log = logging.getLogger(__name__)

UPLOADS = "adapterlab-upload-"
"""Beginning of the names of folders from which a file goes to MLflow, in the temporary folder."""

_METRICS_PER_CALL = 800  # MLflow takes 1000 items of all kinds in one call
_ITEMS_PER_CALL = 100
_PARAM_CHARACTERS = 6000
_TAG_CHARACTERS = 8000
_RUNS_PER_PAGE = 1000
_OLDEST_FIRST = ["attributes.start_time ASC"]
_LOCK_TIMEOUT_S = 60.0
_LOCK_STRIPES = 64
_YOUNG_S = 1.0
"""A run made less than this ago, in the same go, was not taken over by anybody: leases last longer."""
_RUNNING = MLFLOW_STATUS[State.RUNNING]


@dataclass
class _RunState:
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
    ended: bool = False
    """Whether we have ended it, so that it need not be remembered."""
    created_s: float = -math.inf
    """When it was created, by the monotonic clock; forgotten once what came with it is written."""
    new_params: dict[str, str] = field(default_factory=dict)
    new_metrics: list[Any] = field(default_factory=list)
    new_tags: dict[str, str] = field(default_factory=dict)
    """What waits for :meth:`Runs.flush`; a call costs about as much whatever it holds."""


@dataclass(frozen=True)
class RunDescription:
    """What a run is made with, see ``Tracker.run``."""

    name: str
    parent: str | None
    """The node it hangs under; ``None``: the top of a tree."""
    tags: Mapping[str, str]
    params: Mapping[str, str]
    datasets: Sequence[Mapping[str, Any]]
    description: str | None
    start_ms: int
    """When it began, in milliseconds since 1970."""


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
        self._known: dict[str, _RunState] = {}
        self._mutex = threading.RLock()

    def run_id(self, node: str) -> str | None:
        """Return the node's run id, if it has a run."""
        known = self._lookup(node)
        return None if known is None else known.run_id

    def open(
        self,
        node: str,
        run: RunDescription,
        *,
        attempt: str,
        new: bool = False,
    ) -> None:
        """Create the node's run, or reopen the one it has; a later attempt is never taken over.

        Parameters wait for :meth:`flush`. ``new``: nobody can have made this run before, so that it is
        looked for by its kept id only.

        Raises:
            NotFoundError: The parent has no run.
        """
        with self._mutex:
            wanted = {**run.tags, NODE_TAG: node, ATTEMPT_TAG: attempt, STATE_TAG: str(State.RUNNING)}
            if run.description:
                wanted[NOTE_TAG] = run.description
            known = self._known.get(node)
            if known is None:
                with self._creating(node):
                    known = self._lookup(node, search=not new) or self._create(
                        node, attempt, run.name, run.parent, wanted, run.start_ms
                    )
            if attempt < known.attempt:
                return
            if not known.created_here or known.tags.get(STATE_TAG) != wanted[STATE_TAG]:
                self._reopen(known, wanted)
            known.attempt, known.ended = attempt, False
            known.new_params |= {key: value for key, value in run.params.items() if key not in known.params}
            if run.datasets:
                self._client.log_inputs(known.run_id, datasets=list(dataset_inputs(run.datasets)))

    def write(
        self, node: str, points: Iterable[tuple[str, float, int, int]], tags: Mapping[str, str]
    ) -> None:
        """Take points (metric, value, step, time in ms) and tags; points that are there are left out.

        They are written by :meth:`flush`, with what else waits.
        Infinities are written as NaN, because MLflow's SQL store turns them into 1.8e308, which
        flattens every chart; a tag tells which points were not finite.
        """
        from mlflow.entities import Metric

        with self._mutex:
            known = self._get(node)
            for key, value, step, time_ms in points:
                self._look_up_points(known, key)
                if (key, step) in known.points:
                    continue
                known.points.add((key, step))
                if not math.isfinite(value):
                    known.non_finite.append(f"{key} {value} at step {step}")
                    value = math.nan  # noqa: PLW2901
                known.new_metrics.append(Metric(key, value, time_ms, step))
            known.new_tags |= tags
            if known.non_finite:
                known.new_tags[NON_FINITE_TAG] = "; ".join(known.non_finite)

    def flush(self, node: str) -> None:
        """Write what waits of a node; after a failure, ``forget`` it and begin again."""
        with self._mutex:
            known = self._get(node)
            self._flush(known)
            known.created_s = -math.inf
            if known.ended:  # a study has thousands; one that goes on is looked up
                self._known.pop(node, None)

    def artifact(self, node: str, name: str, data: bytes) -> None:
        """Store a file beside the run, replacing one of the same name."""
        with self._mutex, scratch_folder(UPLOADS, Path(tempfile.gettempdir())) as folder:
            path = PurePosixPath(name)
            file = folder / path.name
            file.write_bytes(data)
            below = None if str(path.parent) == "." else str(path.parent)
            self._client.log_artifact(self._get(node).run_id, str(file), below)

    def end(self, node: str, attempt: str, state: State, reason: str | None, end_ms: int) -> bool:
        """Write what waits and end the run; return ``False`` if a later attempt has reopened it."""
        with self._mutex:
            known = self._get(node)
            if time.monotonic() - known.created_s > _YOUNG_S:
                # Asked again: an owner that slept through its lease must not end what another now runs.
                now = self._client.get_run(known.run_id).data.tags
                if attempt < now.get(ATTEMPT_TAG, ""):
                    self._flush(known)
                    return False
                if reason is None and REASON_TAG in now:
                    self._client.delete_tag(known.run_id, REASON_TAG)
            known.new_tags |= {STATE_TAG: str(state), **({REASON_TAG: reason} if reason else {})}
            self._flush(known)
            self._client.set_terminated(known.run_id, MLFLOW_STATUS[state], end_ms)
            known.ended = True
            known.points.clear()
            known.looked_up.clear()
            known.created_here = False
            return True

    def below(self, node: str, *, without: str | None = None) -> list[Node]:
        """Return every run below a node, at any depth, parents before children.

        Args:
            node: The top, itself left out.
            without: Kind of runs to leave out, with what is below them.
        """
        query = f" AND tags.`{KIND_TAG}` != '{without}'" if without else ""
        children: dict[str | None, list[Node]] = {}
        with self._mutex:
            top = self._get(node)
            # MLflow's own runs are large: one page of them is held at a time.
            for run in self._search(f"tags.`{ROOT_TAG}` = '{top.root}'{query}", order_by=_OLDEST_FIRST):
                children.setdefault(run.data.tags.get(PARENT_TAG), []).append(node_of(run, ""))
        found: list[Node] = []
        level = deque([(node, top.run_id)])
        while level:
            parent, parent_id = level.popleft()
            for one in children.get(parent_id, []):
                found.append(replace(one, parent=parent))
                level.append((one.node, one.run_id))
        return found

    def ended(self, top: str, *, without: str) -> set[str]:
        """Return the nodes of a whole tree whose runs have ended; see ``Tracker.ended``."""
        query = f"tags.`{ROOT_TAG}` = '{top}' AND tags.`{KIND_TAG}` != '{without}' AND status != '{_RUNNING}'"
        with self._mutex:
            return {str(run.data.tags.get(NODE_TAG)) for run in self._search(query)}

    def metrics(self, top: str, kind: str) -> dict[str, dict[str, float]]:
        """Return the latest metrics of a tree's runs of one kind, by node."""
        query = f"tags.`{ROOT_TAG}` = '{top}' AND tags.`{KIND_TAG}` = '{kind}'"
        with self._mutex:
            return {str(run.data.tags.get(NODE_TAG)): dict(run.data.metrics) for run in self._search(query)}

    def metrics_of(self, run_id: str) -> dict[str, float]:
        """Return the latest metrics of a run of any experiment; empty where there is none of that id."""
        from mlflow.exceptions import MlflowException

        try:
            return dict(self._client.get_run(run_id).data.metrics)
        except MlflowException as error:
            if error.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                raise
            return {}

    def describe_experiment(self, tags: Mapping[str, str], note: Callable[[str], str]) -> None:
        """Set tags of the experiment, and its note, made of the one that is there."""
        with self._mutex:
            before = self._client.get_experiment(self.experiment_id).tags
            for key, value in {**tags, NOTE_TAG: note(before.get(NOTE_TAG, ""))}.items():
                if before.get(key) != value:
                    self._client.set_experiment_tag(self.experiment_id, key, value)

    def running_below(self, node: str) -> list[Node]:
        """Return the runs below a node that say RUNNING; of a whole tree only those are read."""
        with self._mutex:
            top = self._get(node)
            if top.root != node:
                return [one for one in self.below(node) if one.status == _RUNNING]
            query = f"tags.`{ROOT_TAG}` = '{top.root}' AND attributes.status = '{_RUNNING}'"
            runs = [
                one for one in self._search(query, order_by=_OLDEST_FIRST) if one.info.run_id != top.run_id
            ]
            return [node_of(one, self._node_of(one.data.tags.get(PARENT_TAG, "")) or node) for one in runs]

    def adopt(self, node: str) -> int:
        """Hang every run of a node's tree below the run its parent has now; return how many hung elsewhere.

        A run that was deleted in MLflow is made anew at the next submit; those below still name the old one.
        """
        with self._mutex:
            top = self._get(node)
            query = f"tags.`{ROOT_TAG}` = '{top.root}'"
            runs = {
                str(run.info.run_id): run.data.tags.get(PARENT_TAG)
                for run in self._search(query, order_by=_OLDEST_FIRST)
            }
            mended = 0
            for run_id, above in runs.items():
                if above is None or above in runs or run_id == top.run_id:
                    continue
                parent = self._lookup(self._node_of(above) or node) or top
                self._client.set_tag(run_id, PARENT_TAG, parent.run_id)
                mended += 1
            return mended

    def _node_of(self, run_id: str) -> str | None:
        """Return the node a run stood for, deleted or not; ``None`` if MLflow has no trace of it."""
        from mlflow.exceptions import MlflowException

        try:
            return str(self._client.get_run(run_id).data.tags.get(NODE_TAG) or "") or None
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def kill(self, run: Node, reason: str, end_ms: int, state: State = State.KILLED) -> bool:
        """End a run that nobody works on any more; return ``False`` if it has ended meanwhile."""
        with self._mutex:
            if self._client.get_run(run.run_id).info.status != _RUNNING:
                return False
            known = self._get(run.node)
            known.new_tags |= {STATE_TAG: str(state), REASON_TAG: reason}
            self._flush(known)
            self._client.set_terminated(run.run_id, MLFLOW_STATUS[state], end_ms)
            known.created_here = False
            return True

    def forget(self, node: str) -> None:
        """Drop what is remembered of a node, so that it is looked up again."""
        with self._mutex:
            self._known.pop(node, None)

    def _get(self, node: str) -> _RunState:
        known = self._lookup(node)
        if known is None:
            raise NotFoundError(
                f"MLflow has no run for {node!r}", remedy="Open it with Tracker.run before writing to it."
            )
        return known

    def _lookup(self, node: str, *, search: bool = True) -> _RunState | None:
        with self._mutex:
            known = self._known.get(node)
            if known is None and (run := self._find(node, search=search)) is not None:
                known = self._known[node] = _state_of(run)
            return known

    def _find(self, node: str, *, search: bool) -> MlflowRun | None:
        run = self._valid(node, self._stored_id(node))
        if run is None and search:
            by_tag = f"tags.`{NODE_TAG}` = '{node}'"
            run = next(self._search(by_tag, order_by=_OLDEST_FIRST, limit=1), None)
            if run is not None:
                self._store_id(node, run.info.run_id)
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

    def _stored_id(self, node: str) -> str | None:
        if self._run_ids is None:
            return None
        try:
            return self._run_ids.get(node)
        except Exception as error:  # noqa: BLE001 - runs are found by their tag as well
            _log.warning("cannot look up the run of %s (%s)", node, error)
            return None

    def _store_id(self, node: str, run_id: str) -> str | None:
        """Keep a run's id; return the one that is kept, which may be another's."""
        if self._run_ids is None:
            return None
        try:
            return self._run_ids.put(node, run_id)
        except Exception as error:  # noqa: BLE001 - runs are found by their tag as well
            _log.warning("cannot keep the run of %s (%s)", node, error)
            return None

    def _create(
        self, node: str, attempt: str, name: str, parent: str | None, tags: dict[str, str], start_ms: int
    ) -> _RunState:
        tags[ROOT_TAG] = node
        if parent is not None:
            above = self._get(parent)
            tags |= {PARENT_TAG: above.run_id, ROOT_TAG: above.root}
        tags = {key: cut(value, _TAG_CHARACTERS) for key, value in tags.items()}
        run = self._client.create_run(self.experiment_id, start_time=start_ms, tags=tags, run_name=name)
        kept = self._store_id(node, run.info.run_id)
        if kept != run.info.run_id and (first := self._valid(node, kept)) is not None:
            # Another machine made the node's run at this very moment, and was first.
            self._client.delete_run(run.info.run_id)
            known = _state_of(first)
        else:
            now_s = time.monotonic()
            known = _RunState(run.info.run_id, tags[ROOT_TAG], attempt, True, tags, set(), created_s=now_s)
        self._known[node] = known
        return known

    def _reopen(self, known: _RunState, wanted: Mapping[str, str]) -> None:
        if known.tags.pop(REASON_TAG, None) is not None:
            self._client.delete_tag(known.run_id, REASON_TAG)
        known.new_tags |= wanted
        self._flush(known)
        self._client.update_run(known.run_id, status=_RUNNING)

    def _flush(self, known: _RunState) -> None:
        """Write what waits, all kinds of it in the same calls."""
        from mlflow.entities import Param, RunTag

        params = [Param(key, cut(value, _PARAM_CHARACTERS)) for key, value in known.new_params.items()]
        changed = {key: value for key, value in known.new_tags.items() if known.tags.get(key) != value}
        tags = [RunTag(key, cut(value, _TAG_CHARACTERS)) for key, value in changed.items()]
        for metrics, some_params, some_tags in zip_longest(
            chunks(known.new_metrics, _METRICS_PER_CALL),
            chunks(params, _ITEMS_PER_CALL),
            chunks(tags, _ITEMS_PER_CALL),
            fillvalue=(),
        ):
            self._client.log_batch(
                known.run_id,
                metrics=metrics,
                params=some_params,
                tags=some_tags,
                synchronous=True,  # whatever MLFLOW_ENABLE_ASYNC_LOGGING says: what returned is written
            )
        known.tags |= changed
        known.params |= known.new_params.keys()
        known.new_params, known.new_metrics, known.new_tags = {}, [], {}

    def _look_up_points(self, known: _RunState, key: str) -> None:
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
            yield
            return
        self._locks.mkdir(parents=True, exist_ok=True)
        stripe = int(hashlib.sha256(node.encode()).hexdigest(), 16) % _LOCK_STRIPES
        with filelock.FileLock(self._locks / f"mlflow-run-{stripe:02d}.lock", timeout=_LOCK_TIMEOUT_S):
            yield


def _state_of(run: MlflowRun) -> _RunState:
    tags = dict(run.data.tags)
    root = tags.get(ROOT_TAG) or tags.get(NODE_TAG) or ""
    return _RunState(
        str(run.info.run_id), root, tags.get(ATTEMPT_TAG) or "", False, tags, set(run.data.params)
    )
