"""One Ray Tune run whose trials are workers: placed, retried and stopped by Tune, silent otherwise.

A *payload* is a JSON-able mapping; a *worker* is the process Tune starts for it. A worker that dies
(killed, out of memory, crashed) is started again with the same payload; one that raises is over, and
its error comes back as ours. Tune's files are scratch: the truth is in the stores the workers write to.

Stopping has two stages. Workers are first asked to stop (they are handed what to ask, and do so for
example once an epoch) and may finish what they hold; those that have not ended after a grace
period are killed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterlab.cluster.board import Board, OrdersBoard
from adapterlab.cluster.departures import Departures, departure_of, leaving_nodes
from adapterlab.cluster.outcomes import (
    Payload,
    Trainable,
    WorkerOutcome,
    attempt,
    death_of,
    never_ended,
    outcome_of,
    tell_nobody,
)
from adapterlab.cluster.placement import (
    WorkerNeeds,
    WorkersNow,
    nodes_now,
    refuse_too_large,
    room,
    selector_for_ray,
)
from adapterlab.cluster.process_state import deaths_weighed, memory_kills_are_deaths, variables_set
from adapterlab.cluster.step_clock import StepClock, timed_out
from adapterlab.records import RunInWork, State

GRACE_S = 15.0
"""How long workers may take to stop at their next epoch before they are killed."""

_POLL_S = 0.5
_WAITING_S = 10.0
"""A worker that has its place starts within this time, on a busy machine too."""
_QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no CSV, JSON or TensorBoard files
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the signals are ours
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # Tune's own state is never restored
    "TUNE_FORCE_TRIAL_CLEANUP_S": "1",
    "TUNE_WARN_THRESHOLD_S": "60",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
}


def run_workers(
    payloads: Sequence[Payload],
    trainable: Trainable,
    needs: WorkerNeeds,
    *,
    storage: Path,
    name: str,
    on_outcome: Callable[[WorkerOutcome], None] | None = None,
    should_stop: Callable[[], float | None] | None = None,
    on_workers: Callable[[WorkersNow], None] | None = None,
) -> list[WorkerOutcome]:
    """Run every payload in a worker of its own, side by side, in the Ray session that is open.

    Args:
        payloads: JSON-able mappings; started in this order.
        trainable: What each worker runs. May raise; our errors come back as they are.
        needs: What each worker is given.
        storage: Folder for Tune's scratch files; they are removed at the end.
        name: Name of the run in Ray.
        on_outcome: Called here as each worker ends, in the order in which they end.
        should_stop: Polled here twice a second; returns ``None`` to go on, else how many seconds workers may take to
            stop before they are killed.
        on_workers: Told here of every change: how many run, what they wait for while none has found a place for
            a while, and which node went away under one.

    Returns:
        One outcome per payload, in their order.

    Raises:
        UsageError: A worker needs more than the private Ray has.
    """
    if not payloads:
        return []
    from ray import tune

    texts = [json.dumps(payload, allow_nan=False) for payload in payloads]
    run = f"{name}-{uuid.uuid4().hex[:8]}"
    board = Board(run)
    count = len(texts)
    side_by_side = min(count, _side_by_side(needs) or count)
    watch = _Watch(board, needs, _Callers(on_outcome, should_stop, on_workers))

    def work(config: dict[str, Any]) -> dict[str, str]:
        return {"outcome": _work(texts[config["index"]], trainable, board, config["index"], needs)}

    work.__name__ = work.__qualname__ = "worker"  # what Ray shows of it
    with _silence(side_by_side), memory_kills_are_deaths(), deaths_weighed(watch.counts):
        tuner = tune.Tuner(
            tune.with_resources(work, _placed(needs)),
            param_space={"index": tune.grid_search(list(range(count)))},
            tune_config=tune.TuneConfig(
                scheduler=_scheduler(watch),
                max_concurrent_trials=side_by_side,
                reuse_actors=True,  # a process that has its libraries loaded takes the next order
                trial_name_creator=lambda trial: f"worker-{trial.config['index']}",
                trial_dirname_creator=lambda trial: f"worker-{trial.config['index']}",
            ),
            run_config=tune.RunConfig(
                name=run,
                storage_path=str(storage.absolute()),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=needs.max_retries),
                stop=_stopper(watch),
            ),
        )
        try:
            tuner.fit()
        except _Abandon:
            watch.abandon()
        finally:
            board.clear()
            shutil.rmtree(storage / run, ignore_errors=True)
    if watch.failure is not None:
        raise watch.failure
    return [watch.outcomes.get(index) or never_ended(index) for index in range(count)]


class _StopFlag:
    """Whether a worker is to stop, as it looks for itself."""

    def __init__(self, board: OrdersBoard) -> None:
        self._board = board
        self._asked = 0.0
        self._stopped = False
        self.leaves = False
        """Whether it is to stop because its node goes away, and is to be started again elsewhere."""

    def raised(self) -> bool:
        """Return whether to stop; looks twice a second at most."""
        now = time.monotonic()
        if not self._stopped and now - self._asked >= _POLL_S:
            self._asked = now
            all_stop = self._board.all_stop()
            self.leaves = not all_stop and self._board.shall_leave()
            self._stopped = all_stop or self.leaves
        return self._stopped


def _work(text: str, trainable: Trainable, board: Board, index: int, needs: WorkerNeeds) -> str:
    """Do one order in a worker and return its outcome as JSON."""
    import ray

    os.environ["OMP_NUM_THREADS"] = str(max(1, int(needs.cpus)))
    own = OrdersBoard(board, index, ray.get_runtime_context().get_node_id())
    watched = needs.step_timeout_s is not None  # else nobody reads it, and short trials need not wait for it
    flag = _StopFlag(own)
    told = attempt(text, trainable, flag.raised, own.in_work if watched else tell_nobody)
    if flag.leaves and outcome_of(index, told, 1).state is State.KILLED:
        # The death that Ray itself would report soon, and that Tune does not count.
        raise ray.exceptions.RayActorError(
            error_msg="the worker left its node, which goes away", preempted=True
        )
    if trace := json.loads(told).get("traceback"):
        sys.stderr.write(trace)  # into the worker's log
    return told


class _Abandon(BaseException):
    """Leaves Tune's loop without its orderly end, which may take minutes."""


@dataclass(frozen=True)
class _Callers:
    """What the caller of a run wants to be told and asked; see :func:`run_workers`."""

    on_outcome: Callable[[WorkerOutcome], None] | None = None
    should_stop: Callable[[], float | None] | None = None
    on_workers: Callable[[WorkersNow], None] | None = None


class _Watch:
    """What the driver knows of a run: outcomes so far, and whether it is stopping."""

    def __init__(
        self,
        board: Board,
        needs: WorkerNeeds,
        callers: _Callers,
    ) -> None:
        self.outcomes: dict[int, WorkerOutcome] = {}
        self.failure: Exception | None = None
        self.trials: list[Any] = []
        self.controller: Any = None
        self._board = board
        self._clock = None if needs.step_timeout_s is None else StepClock(needs.step_timeout_s)
        self._overdue: dict[int, tuple[int, tuple[RunInWork, ...]]] = {}
        """Of workers killed for it: the deaths before, and what took too long."""
        self._callers = callers
        self._places = _Places(needs, callers.on_workers)
        self._departures = Departures()
        self._grace_s: float | None = None
        self._polled = 0.0
        self._looked = 0.0
        self._stopping_since: float | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # Tune pickles its settings to restore a run from them; the catalog is our truth, so what
        # the driver holds (databases, callbacks) stays out.
        return _Watch, (Board(""), WorkerNeeds(), _Callers())

    def step(self) -> bool:
        """Return whether Tune shall end the run now; called by its loop about ten times a second."""
        now = time.monotonic()
        if now - self._looked >= _POLL_S:
            self._looked = now
            running = [trial for trial in self.trials if trial.status == "RUNNING"]
            self._places.look(now, len(running), idle=not running and self._grace_s is None)
            self._kill_overdue(running, now)
            self._clear_leaving_nodes(running)
        self._ask(now)
        if self._grace_s is None:
            return False
        if self._stopping_since is None:
            self._stopping_since = now
            self._board.ask_all_to_stop()
        if now - self._stopping_since > self._grace_s:
            raise _Abandon
        return not any(trial.status == "RUNNING" for trial in self.trials)

    def told(self, trial: Any, text: str) -> None:
        """Note what a worker told."""
        self._note(outcome_of(trial.config["index"], text, trial.num_failures + 1))

    def counts(self, trial: Any, error: Any) -> bool:
        """Return whether a worker's death is one of those it may have; its node's is not."""
        index = trial.config["index"]
        note = self._board.read(index)
        departure = departure_of(error, None if note is None else note.node, self._is_stopping)
        said = None if departure is None else self._departures.excuse(index, departure)
        if said is None:
            return True
        self._overdue.pop(index, None)  # the next worker is none that was killed for it
        running = sum(one.status == "RUNNING" for one in self.trials if one is not trial)
        self._places.tell_departed(running, said)
        return False

    def died(self, trial: Any) -> None:
        """Note that an order's worker died, and whether that was once more than allowed."""
        self._board.forget(
            trial.config["index"]
        )  # else the next one is killed for it before it has said anything
        if trial.should_recover():
            return  # Tune starts it again
        attempts = trial.num_failures
        before, overdue = self._overdue.get(trial.config["index"], (-1, ()))
        if self._clock is not None and before == attempts - 1:
            error = timed_out(overdue, self._clock.limit_s, attempts)
        else:
            error = death_of(trial, attempts)
        self._note(WorkerOutcome(trial.config["index"], State.FAILED, None, error, attempts))

    def abandon(self) -> None:
        """Kill what did not stop in time, and free its place in the cluster."""
        with suppress(Exception):
            self.controller._actor_manager.cleanup()
        self.controller = None

    def _kill_overdue(self, running: Sequence[Any], now: float) -> None:
        """Kill the workers that take too long over something."""
        if self._clock is None:
            return
        for trial in running:
            index = trial.config["index"]
            if (note := self._board.read(index)) is None:
                continue
            overdue = self._clock.overdue(index, note, now)
            if overdue and self._overdue.get(index, (-1, ()))[0] != trial.num_failures:
                self._overdue[index] = trial.num_failures, overdue
                self._kill(trial)

    def _clear_leaving_nodes(self, running: Sequence[Any]) -> None:
        """Ask workers to stop whose node has notice to go, so that they end in order and start elsewhere."""
        leaving = leaving_nodes()
        for trial in running if leaving else ():
            index = trial.config["index"]
            note = self._board.read(index)
            if note is not None and note.node in leaving:
                self._board.ask_to_leave(index, note.node)

    def _kill(self, trial: Any) -> None:
        """End a trial's worker at once, whatever it does; Tune sees it die.

        Its node kills the process where that does not answer, as when it is stopped or never lets Python go on.
        """
        import ray

        with suppress(KeyError, AttributeError):  # it has ended meanwhile
            tracked = self.controller._trial_to_actor[trial]
            actor, _ = self.controller._actor_manager._live_actors_to_ray_actors_resources[tracked]
            ray.kill(actor)

    def _note(self, outcome: WorkerOutcome) -> None:
        self.outcomes[outcome.index] = outcome
        # Its worker may have come and gone between two looks.
        running = sum(trial.status == "RUNNING" for trial in self.trials)
        self._places.look(time.monotonic(), running, idle=False)
        if self._callers.on_outcome is not None and self.failure is None:
            try:
                self._callers.on_outcome(outcome)
            except Exception as error:  # noqa: BLE001  (raised again once Tune has ended)
                self.failure = error

    def _is_stopping(self) -> bool:
        self._ask(time.monotonic())
        return self._grace_s is not None

    def _ask(self, now: float) -> None:
        """Ask, twice a second, how long workers may still take."""
        if self.failure is not None:
            self._grace_s = GRACE_S
        elif self._callers.should_stop is not None and now - self._polled >= _POLL_S:
            self._polled = now
            try:
                self._grace_s = self._callers.should_stop()
            except Exception as error:  # noqa: BLE001  (raised again once Tune has ended)
                self.failure, self._grace_s = error, GRACE_S


class _Places:
    """Says how many workers run, and what they wait for while none can start."""

    def __init__(self, needs: WorkerNeeds, tell: Callable[[WorkersNow], None] | None) -> None:
        self._needs = needs
        self._tell = tell
        self._since: float | None = None
        self._told = WorkersNow(0)

    def look(self, now: float, running: int, *, idle: bool) -> None:
        """Take note of how many workers run, and whether none does though some should."""
        self._since = (self._since or now) if idle else None
        waits = self._since is not None and now - self._since >= _WAITING_S
        said = WorkersNow(running, self._said() if waits else None)
        if said != self._told and self._tell is not None:
            self._tell(said)
        self._told = said

    def tell_departed(self, running: int, said: str) -> None:
        """Say that a node went away, and how many workers are left."""
        self._told = WorkersNow(running)
        if self._tell is not None:
            self._tell(WorkersNow(running, departed=said))

    def _said(self) -> str:
        there = room(nodes_now(), self._needs)
        now = "those of the cluster are busy, or about to start one" if there else "the cluster has none now"
        return f"waiting for a node with {self._needs} for a worker ({now})"


def _scheduler(watch: _Watch) -> Any:
    """Return the ears of a run. Not a Tune callback: those make Tune import MLflow, for seconds."""
    from ray.tune.schedulers import FIFOScheduler, TrialScheduler

    class Listen(FIFOScheduler):  # type: ignore[misc]
        def on_trial_add(self, controller: Any, trial: Any) -> None:
            super().on_trial_add(controller, trial)
            watch.trials.append(trial)
            watch.controller = controller

        def on_trial_result(self, _controller: Any, trial: Any, result: dict[str, Any]) -> Any:
            watch.told(trial, result["outcome"])
            return TrialScheduler.STOP

        def on_trial_error(self, controller: Any, trial: Any) -> None:
            super().on_trial_error(controller, trial)
            watch.died(trial)

    return Listen()


def _stopper(watch: _Watch) -> Any:
    from ray.tune import Stopper

    class Stop(Stopper):  # type: ignore[misc]
        def __call__(self, *_: Any) -> bool:
            return False

        def stop_all(self) -> bool:
            return watch.step()

    return Stop()


def _placed(needs: WorkerNeeds) -> Any:
    """Return how Tune asks Ray for a worker's place."""
    from ray import tune

    selector = {name: selector_for_ray(wanted) for name, wanted in needs.labels.items()}
    labels = {"bundle_label_selector": [selector]} if selector else {}
    return tune.PlacementGroupFactory([needs.bundle()], **labels)


def _side_by_side(needs: WorkerNeeds) -> int:
    """Return how many workers may ask for a place at once; 0: as many as there are orders.

    On a cluster, as many as the spec says: those that find no room are what an autoscaler sees.

    Raises:
        UsageError: None fits, and the Ray is private.
    """
    import ray

    found = room(nodes_now(), needs)
    private = len(ray.nodes()) == 1 and ray.nodes()[0]["NodeManagerAddress"].startswith("127.")
    if not private:
        return needs.side_by_side or found
    if not found:
        refuse_too_large(nodes_now(), needs)
    return min(found, needs.side_by_side or found)


@contextmanager
def _silence(side_by_side: int) -> Iterator[None]:
    """Keep Tune's console output, files and warnings away while the block runs."""
    logger = logging.getLogger("ray.tune")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with (
            variables_set({**_QUIET, "TUNE_MAX_PENDING_TRIALS_PG": str(side_by_side)}),
            warnings.catch_warnings(),
            contextlib.redirect_stdout(sys.stderr),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
