"""A sweep's tree of runs in MLflow: one parent, a run for each piece of work, at any depth.

    with Tracker.open(uri=…, artifacts=…, experiment="quickstart", spool=…) as tracker:
        tracker.run("<sweep>", name="sweep · quickstart", parent=None)
        run = tracker.run("<sweep>/source/<key>", name="source · mnli · seed 0", parent="<sweep>")
        run.metrics({"validation/accuracy": 0.71}, step=1)
        run.end(State.COMPLETE)

Nothing here waits for MLflow except where it says so; nothing raises because MLflow went away.
"""

from __future__ import annotations

import atexit
import base64
import getpass
import json
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

from adapterlab.errors import AdapterlabError, UnavailableError
from adapterlab.provenance import DIRTY, provenance_of
from adapterlab.records import State
from adapterlab.tracking import store
from adapterlab.tracking.entities import COMMIT_TAG, VERSION_TAG, Dataset, Node, RunIds
from adapterlab.tracking.runs import Runs
from adapterlab.tracking.spool import Spool, new_attempt
from adapterlab.tracking.writer import Writer

_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/:@+=,#-]{0,499}")
_METRIC = re.compile(r"[A-Za-z0-9_. :/-]{1,250}")
_CLOSE_TIMEOUT_S = 20.0
_ANSWER_TIMEOUT_S = 60.0
_log = logging.getLogger(__name__)

_READABLE_CHARACTERS = 10_000
_OPEN_ENDED = frozenset({State.PENDING, State.RUNNING})


class Run:
    """A handle on one run; cheap, and usable before MLflow has created it."""

    def __init__(self, tracker: Tracker, node: str, attempt: str) -> None:
        self._tracker = tracker
        self._attempt = attempt
        self.node = node
        """The run's stable identity."""

    @property
    def id(self) -> str:
        """MLflow's run id; waits until the run exists there.

        Raises:
            UnavailableError: The store does not answer.
        """
        return self._tracker.run_id(self.node)

    def metrics(self, values: Mapping[str, float], *, step: int, time_ms: int | None = None) -> None:
        """Hand over one point of each metric; a point (metric, step) that is there already stays.

        Args:
            values: Metric name to value, for example ``{"validation/accuracy": 0.71}``; MLflow draws
                what is before the slash as one section. NaN and infinities are allowed.
            step: Epoch or step; below 0 for what a later point at 0 is to replace.
            time_ms: When it was measured, in ms since 1970; now if ``None``.

        Raises:
            ValueError: A name MLflow would refuse.
        """
        for name in values:
            if not _METRIC.fullmatch(name):
                raise ValueError(f"metric name: got {name!r}; expected letters, digits and _ . - / : space")
        numbers = {name: float(value) for name, value in values.items()}
        self._hand_over("metrics", values=numbers, step=int(step), time_ms=time_ms or _now_ms())

    def tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; names of ours start with ``adapterlab.``."""
        self._hand_over("tags", tags={key: str(value) for key, value in tags.items()})

    def json(self, name: str, value: Any) -> None:
        """Store a JSON document beside the run, for example ``"coefficients.json"``.

        Numbers that are not finite become ``null``, which JSON can say.
        """
        value = _without_non_finite(value)
        text = json.dumps(value, ensure_ascii=False, default=str)
        if len(text) <= _READABLE_CHARACTERS:  # beyond, one number per line is no easier to read
            text = json.dumps(value, ensure_ascii=False, default=str, indent=2)
        self._artifact(name, f"{text}\n".encode())

    def text(self, name: str, text: str) -> None:
        """Store a text beside the run, for example ``"spec.toml"``."""
        self._artifact(name, text.encode())

    def picture(self, name: str, png: bytes) -> None:
        """Store a PNG beside the run, for example ``"coefficients.png"``."""
        self._artifact(name, png)

    def file(self, name: str, data: bytes) -> None:
        """Store any file beside the run, for example ``"report/report.html"``."""
        self._artifact(name, data)

    def end(self, state: State, reason: str | None = None) -> None:
        """End the run.

        Args:
            state: COMPLETE becomes MLflow's FINISHED; FAILED is FAILED; PRUNED and KILLED are both
                KILLED, told apart by the tag ``adapterlab.state``.
            reason: Why, for the tag ``adapterlab.state_reason``.

        Raises:
            ValueError: ``state`` is not an end.
        """
        if state in _OPEN_ENDED:
            raise ValueError(f"a run cannot end as {state}; expected complete, pruned, failed or killed")
        self._hand_over("end", state=str(state), reason=reason, time_ms=self._tracker._end_ms())

    def _artifact(self, name: str, data: bytes) -> None:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.name or "\\" in name or "\0" in name:
            raise ValueError(f"artifact name: got {name!r}; expected a relative path inside the run")
        self._hand_over("artifact", name=str(path), data=base64.b64encode(data).decode())

    def _hand_over(self, what: str, **fields: Any) -> None:
        self._tracker._hand_over(what, self.node, self._attempt, **fields)


class Tracker:
    """Writes one experiment's runs. Thread-safe. Make one with :meth:`open`; close it."""

    def __init__(
        self,
        *,
        uri: str,
        experiment: str,
        runs_of: Callable[[str], Runs],
        spool: Spool,
        source_tags: Mapping[str, str],
    ) -> None:
        self.uri = uri
        self._runs = runs_of(experiment)
        self.experiment_id = self._runs.experiment_id
        """MLflow's id of the experiment, for links."""
        self._attempt = spool.owner
        self._source_tags = dict(source_tags)
        self._last_start_ms = 0
        self._closed = False
        self._mutex = threading.Lock()
        self._writer = Writer(spool, runs_of, experiment, lambda: store.ping(uri), store.display_url(uri))
        atexit.register(self.close)

    @classmethod
    def open(
        cls,
        *,
        uri: str,
        artifacts: str,
        experiment: str,
        spool: Path,
        run_ids: RunIds | None = None,
        locks: Path | None = None,
        command: str = "adapterlab",
    ) -> Tracker:
        """Open the store and the experiment, creating the experiment if nobody has.

        What a process that died had handed over is written first, in the background.

        Args:
            uri: Tracking URI; a database must have been prepared by ``schema.initialise``.
            artifacts: Folder or URL of artifacts; unused with a tracking server, which has its own.
            experiment: Name of the experiment.
            spool: Folder on this machine where entries wait until they are in MLflow.
            run_ids: Where run ids are kept as well; the catalog.
            locks: Folder of this machine's lock files.
            command: What is shown as the runs' source.

        Raises:
            UnavailableError: The store does not answer; said within seconds.
            ConflictError: The experiment was deleted, or the schema does not fit.
        """
        store.configure(uri)
        store.check_answers(uri)
        with store.readable_errors(uri):
            from mlflow.tracking import MlflowClient

            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            number = store.experiment_id(client, experiment, uri, artifacts)
        known = {experiment: Runs(client, number, run_ids, locks)}

        def runs_of(name: str) -> Runs:
            if name not in known:
                known[name] = Runs(client, store.experiment_id(client, name, uri, artifacts), run_ids, locks)
            return known[name]

        tags = {"mlflow.user": _user(), "mlflow.source.name": command, "mlflow.source.type": "LOCAL"}
        return cls(
            uri=uri,
            experiment=experiment,
            runs_of=runs_of,
            spool=Spool(spool, store.name_in_spool(uri, spool), experiment),
            source_tags=tags,
        )

    def run(
        self,
        node: str,
        *,
        name: str,
        parent: str | None,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        datasets: Iterable[Dataset] = (),
        description: str | None = None,
        new: bool = False,
    ) -> Run:
        """Start a run, or start it again: the run of ``node`` is found wherever it was made.

        Its tags say which versions and which device made it, those of the last start.

        Args:
            node: Stable identity, for example ``"<sweep key>/source/<step key>"``; the same node is the
                same run for ever.
            name: What a person reads; see ``names``.
            parent: Node of the run above; its run must exist or be created by somebody at this moment.
            tags: Tags of our own, set again when reopened.
            params: Parameters; written once, since MLflow never lets them change.
            datasets: Data sets it reads.
            description: Markdown shown at the top of the run.
            new: Whether nobody can have started this node before, which spares a search; a run id kept
                for it outside is believed all the same.

        Raises:
            ValueError: ``node`` holds a character that MLflow cannot search for.
        """
        for identity in (node, *([parent] if parent is not None else [])):
            if not _NODE.fullmatch(identity):
                raise ValueError(f"node: got {identity!r}; expected letters, digits and ._/:@+=,# space -")
        self._hand_over(
            "open",
            node,
            self._attempt,
            new=new,
            run={
                "name": name,
                "parent": parent,
                "tags": {
                    **self._source_tags,
                    **_provenance_tags(),
                    **{key: str(value) for key, value in (tags or {}).items()},
                },
                "params": {key: str(value) for key, value in (params or {}).items()},
                "datasets": [asdict(dataset) for dataset in datasets],
                "description": description,
                "start_ms": self._start_ms(),
            },
        )
        return Run(self, node, self._attempt)

    def begin_again(self) -> None:
        """Let what is opened from now on count as later than what any process has opened before.

        For a process that outlives its workers: they began later than it did, and have no more to say.
        """
        self._attempt = new_attempt()

    def existing(self, node: str) -> Run:
        """Return a handle on a run without starting it again, to add to it."""
        return Run(self, node, self._attempt)

    def run_id(self, node: str) -> str:
        """Return MLflow's id of the node's run, waiting for what was handed over to be written.

        Raises:
            UnavailableError: The store does not answer, or refused to create it.
        """
        self._writer.settle(_ANSWER_TIMEOUT_S)
        with store.readable_errors(self.uri):
            found = self._runs.run_id(node)
        if found is None:
            why = next((text for text in self.problems if text.startswith(f"{node}:")), "it does not answer")
            raise UnavailableError(
                f"MLflow {store.display_url(self.uri)} has no run for {node!r}: {why}",
                remedy="Check that the store runs; what was measured is kept and written later.",
            )
        return found

    def tree(self, parent: str) -> list[Node]:
        """Return every run below ``parent``, at any depth, parents before their children.

        Raises:
            NotFoundError: ``parent`` has no run.
            UnavailableError: The store does not answer.
        """
        self._writer.settle(_ANSWER_TIMEOUT_S)
        with store.readable_errors(self.uri):
            return self._runs.below(parent)

    def adopt(self, parent: str) -> None:
        """Make one tree of the runs of ``parent`` again, where runs between were deleted in MLflow.

        A store that does not answer is a warning: nothing of a sweep depends on it.
        """
        try:
            self._writer.settle(_ANSWER_TIMEOUT_S)
            with store.readable_errors(self.uri):
                self._runs.adopt(parent)
        except AdapterlabError as error:
            _log.warning("runs below %s may hang elsewhere until the next submit: %s", parent, error.message)

    def ended(self, top: str, *, without: str) -> set[str]:
        """Return the nodes of a tree, its top included, whose runs are there and have ended.

        Args:
            top: Node of the tree's first run; one that is not there is no error.
            without: Kind of runs to leave out.

        Raises:
            UnavailableError: The store does not answer.
        """
        self._writer.settle(_ANSWER_TIMEOUT_S)
        with store.readable_errors(self.uri):
            return self._runs.ended(top, without=without)

    def states(self, parent: str, *, without: str | None = None) -> dict[str, State] | None:
        """Return the state of every run below ``parent`` by node; ``None`` where the store does not answer.

        Args:
            parent: Top of the tree.
            without: Kind of runs to leave out, with what is below them.
        """
        try:
            self._writer.settle(_ANSWER_TIMEOUT_S)
            with store.readable_errors(self.uri):
                runs = self._runs.below(parent, without=without)
        except AdapterlabError:
            return None
        return {run.node: run.state for run in runs if run.status != "RUNNING"}

    def reap(
        self,
        parent: str,
        keep: Collection[str] = (),
        reason: str = "nobody works on it any more",
        *,
        state: State = State.KILLED,
    ) -> list[Node]:
        """End every run below ``parent`` that still says RUNNING, and return them.

        A store that does not answer is a warning: nothing of a sweep depends on it.

        Args:
            parent: Top of the tree; itself left as it is.
            keep: Nodes somebody still works on.
            reason: Why, for the tag ``adapterlab.state_reason``.
            state: As what, for the tag ``adapterlab.state``.
        """
        try:
            self._writer.settle(_ANSWER_TIMEOUT_S)
            with store.readable_errors(self.uri):
                stale = [run for run in self._runs.running_below(parent) if run.node not in keep]
                return [run for run in stale if self._runs.kill(run, reason, _now_ms(), state)]
        except AdapterlabError as error:
            _log.warning(
                "runs below %s may go on saying RUNNING until the next submit: %s", parent, error.message
            )
            return []

    def metrics(self, top: str, kind: str) -> dict[str, dict[str, float]]:
        """Return the latest value of each metric of a tree's runs of one kind, by node.

        Args:
            top: Node of the tree's first run.
            kind: Of the runs, for example ``"final"``.

        Raises:
            UnavailableError: The store does not answer.
        """
        self._writer.settle(_ANSWER_TIMEOUT_S)
        with store.readable_errors(self.uri):
            return self._runs.metrics(top, kind)

    def metrics_of_run(self, run_id: str) -> dict[str, float]:
        """Return the latest value of each metric of a run by MLflow's id; empty where it is not there.

        Raises:
            UnavailableError: The store does not answer.
        """
        with store.readable_errors(self.uri):
            return self._runs.metrics_of(run_id)

    def describe_experiment(self, views: Mapping[str, str], note: Callable[[str], str]) -> None:
        """Set tags of the experiment, and its note.

        Args:
            views: Tags, see ``views.view_tags``.
            note: Makes the new note of the one that is there, which is empty where there is none.

        Raises:
            UnavailableError: The store does not answer.
        """
        with store.readable_errors(self.uri):
            self._runs.describe_experiment(views, note)

    @property
    def problems(self) -> tuple[str, ...]:
        """What MLflow refused so far, in words."""
        return tuple(self._writer.problems)

    @property
    def backlog(self) -> int:
        """Entries handed over that are not in MLflow yet."""
        return self._writer.backlog

    def flush(self, timeout_s: float = _ANSWER_TIMEOUT_S) -> bool:
        """Wait until everything handed over is in MLflow; return whether it is."""
        return self._writer.flush(timeout_s)

    def close(self, timeout_s: float = _CLOSE_TIMEOUT_S) -> None:
        """Write what is left, for ``timeout_s`` at most; the rest is kept for the next time."""
        with self._mutex:
            if self._closed:
                return
            self._closed = True
        atexit.unregister(self.close)
        self._writer.close(timeout_s)

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start_ms(self) -> int:
        """Return the time, a ms later than the last: MLflow shows runs of one ms in any order."""
        with self._mutex:
            self._last_start_ms = max(_now_ms(), self._last_start_ms + 1)
            return self._last_start_ms

    def _end_ms(self) -> int:
        return max(_now_ms(), self._last_start_ms)  # no run may end before it starts

    def _hand_over(self, what: str, node: str, attempt: str, **fields: Any) -> None:
        if self._closed:
            raise RuntimeError("the tracker is closed")
        self._writer.hand_over({"what": what, "node": node, "attempt": attempt, **fields})


def _now_ms() -> int:
    return int(time.time() * 1000)


def _without_non_finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _without_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_non_finite(item) for item in value]
    return value


def _provenance_tags() -> dict[str, str]:
    """Return what made a run, as people see it in MLflow; asked late, when torch and its device are loaded."""
    made_with = provenance_of()
    tags = {
        VERSION_TAG: made_with.adapterlab_version,
        COMMIT_TAG: made_with.git_commit,
        "adapterlab.python": made_with.python_version,
        "adapterlab.torch": made_with.torch_version,
        "adapterlab.transformers": made_with.transformers_version,
        "adapterlab.device": made_with.device_name,
        "mlflow.source.git.commit": (made_with.git_commit or "").removesuffix(
            DIRTY
        ),  # MLflow makes a column of it
    }
    return {name: value for name, value in tags.items() if value}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"
