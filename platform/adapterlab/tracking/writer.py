"""The one thread of a process that writes to MLflow, once per second, whatever happens to the store.

Entries are applied in the order they came, those of one run together. A store that does not answer is
asked again with growing pauses (or when it says it wants to be asked) for as long as the process lives;
meanwhile entries wait on disk and in memory. An entry the store refuses is set aside on disk for the next
process to try once more, remembered in ``problems`` and logged: training never stops because of tracking.
"""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from adapterlab.errors import NotFoundError
from adapterlab.passwords import hide_passwords
from adapterlab.records import State
from adapterlab.tracking.runs import RunDescription, Runs
from adapterlab.tracking.spool import Entry, Spool
from adapterlab.tracking.store import Answer, is_passing

_MOST_WAITING = 500
"""Entries that may wait for a store that answers, some eighty runs: few enough to be written when a process ends."""
_ROOM_TIMEOUT_S = 1.0
INTERVAL_S = 0.5
"""Longest wait before entries are written; half of what is promised."""
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_LONGEST_RETRY_AFTER_S = 300.0
_GRACE_S = 1.0
_AWAY_PATIENCE_S = 3.0
_TRIES = 5
"""How often an inner fault of a store that does answer is tried again before its entry is given up."""
_PATIENCE_S = 900.0
"""How long a store that answers may turn an entry away as busy."""
_PARENT_WAIT_S = 10.0
"""How long a run waits for its parent, which another process may still be creating."""
_DEATH_REASON = "its process died before it ended"

_log = logging.getLogger(__name__)


class Writer:
    """Writes what the spool holds into MLflow.

    Args:
        spool: Where entries wait.
        runs_of: Returns the runs of an experiment by its name; leftovers may be of another one.
        experiment: The experiment of what is handed over.
        ping: Asks the store whether it answers.
        place: The store's address, for messages.
    """

    def __init__(
        self,
        spool: Spool,
        runs_of: Callable[[str], Runs],
        experiment: str,
        ping: Callable[[], Answer],
        place: str,
    ) -> None:
        self._spool = spool
        self._runs_of = runs_of
        self._experiment = experiment
        self._ping = ping
        self._place = place
        self._deadline = 0.0
        self._away_since: float | None = None
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._idle = threading.Condition()
        self._handed_over = 0
        self._finished = 0
        self._applied = 0
        """As ``_finished``, but counted run by run."""
        self._stalled_at = -1
        self.problems: list[str] = []
        """What the store refused, in words."""
        self._thread = threading.Thread(target=self._work, name="adapterlab-tracking", daemon=True)
        self._thread.start()

    def hand_over(self, entry: Entry) -> None:
        """Take one entry; returns at once, unless thousands wait and the store is taking them.

        Runs that are shorter than MLflow needs to write them would else fill the memory, and be missing
        in MLflow when their sweep ends.
        """
        with self._idle:
            self._handed_over += 1
            if self._handed_over - self._applied > _MOST_WAITING and self._applied != self._stalled_at:
                self._wake.set()
                before = self._applied
                if not self._idle.wait_for(self._has_room, _ROOM_TIMEOUT_S) and self._applied == before:
                    self._stalled_at = before  # nothing is written, so nobody waits until something is
        self._spool.append(entry)

    def _has_room(self) -> bool:
        return self._handed_over - self._applied <= _MOST_WAITING or self._away_since is not None

    @property
    def backlog(self) -> int:
        """Entries that are not in MLflow yet."""
        with self._idle:
            return self._handed_over - self._finished

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything handed over so far is written; return whether it is."""
        with self._idle:
            goal = self._handed_over
            self._wake.set()
            return self._idle.wait_for(lambda: self._finished >= goal, timeout_s)

    def settle(self, timeout_s: float) -> bool:
        """As ``flush``, but give up after a few seconds once the store is known to be away."""
        deadline = time.monotonic() + timeout_s
        while not self.flush(_FIRST_PAUSE_S):
            since = self._away_since
            if time.monotonic() > deadline or (since and time.monotonic() - since > _AWAY_PATIENCE_S):
                return False
        return True

    def close(self, timeout_s: float) -> None:
        """Write what is left, for ``timeout_s`` at most; the rest stays in the spool.

        A store that was away before is asked only for a few seconds more.
        """
        if self._away_since is not None:
            timeout_s = min(timeout_s, _AWAY_PATIENCE_S)
        self._deadline = time.monotonic() + timeout_s
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout_s + _GRACE_S)
        left = self.backlog
        if left:
            _log.warning(
                "MLflow %s: %d entries could not be written; they are kept, and written when this machine "
                "opens the store again",
                self._place,
                left,
            )
        self._spool.close(keep=bool(left))

    def _work(self) -> None:
        try:
            self._replay()
            last = False
            while not last:
                self._pause(INTERVAL_S)
                last = self._closing.is_set()
                if not self._write_waiting():
                    return
        except Exception:  # noqa: BLE001 - a thread has nobody above it
            _log.exception("tracking has stopped by a fault of its own; entries are kept on disk")

    def _pause(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    def _write_waiting(self) -> bool:
        """Write everything that waits; ``False`` if we are closing and the spool must keep the rest."""
        entries, segment = self._spool.take()
        for node, group in _by_run(entries):
            if not self._apply_patiently(self._experiment, node, group):
                return False
            with self._idle:
                self._applied += len(group)
                self._idle.notify_all()
        if segment is not None:
            self._spool.discard(segment)
        with self._idle:
            self._finished += len(entries)
            self._idle.notify_all()
        return True

    def _apply_patiently(
        self, experiment: str, node: str, group: list[Entry], *, again: bool = False
    ) -> bool:
        """Apply one run's entries, however long the store is away; ``False`` when closing takes too long."""
        pause_s, faults = _FIRST_PAUSE_S, 0
        started = time.monotonic()
        while True:
            try:
                runs = self._runs_of(experiment)
                try:
                    _apply(runs, node, group, again=again)
                except Exception:
                    again = True
                    runs.forget(node)
                    raise
            except Exception as error:  # noqa: BLE001 - no fault of a store may reach the training
                answer = self._ping()
                faults += answer.up
                if answer.up and _hopeless(error, faults, time.monotonic() - started):
                    return self._apply_one_by_one(experiment, node, group, error)
                if not answer.up and self._away_since is None:
                    self._away_since = time.monotonic()
                    _log.warning("MLflow %s %s; training goes on, results wait", self._place, answer.why)
                if self._closing.is_set() and time.monotonic() > self._deadline:
                    return False
                if answer.retry_after_s:
                    self._closing.wait(min(answer.retry_after_s, _LONGEST_RETRY_AFTER_S))
                else:
                    self._pause(pause_s)
                pause_s = min(pause_s * 2, _FIRST_PAUSE_S if self._closing.is_set() else _LONGEST_PAUSE_S)
            else:
                if self._away_since is not None:
                    self._away_since = None
                    _log.warning("MLflow %s is back; what waited is being written", self._place)
                return True

    def _apply_one_by_one(self, experiment: str, node: str, group: list[Entry], error: Exception) -> bool:
        """Lose only what is refused, not what came with it."""
        if len(group) > 1:
            return all(self._apply_patiently(experiment, node, [entry], again=True) for entry in group)
        self._refused(experiment, node, group, error)
        return True

    def _refused(self, experiment: str, node: str, group: list[Entry], error: Exception) -> None:
        text = f"{node}: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}"
        text = hide_passwords(text)
        self.problems.append(text)
        if isinstance(
            error, KeyError | TypeError
        ):  # of another version, or damaged: nobody will ever read it
            _log.warning("MLflow %s refused an entry of %s", self._place, text)
            return
        self._spool.set_aside(experiment, group)
        _log.warning(
            "MLflow %s refused an entry of %s; it is kept, and the next submit tries again", self._place, text
        )

    def _replay(self) -> None:
        """Write what processes that died had handed over, before anything of our own."""
        for leftover in self._spool.leftovers():
            entries = leftover.entries()
            for node, group in _by_run([*entries, *_endings(entries)]):
                if not self._apply_patiently(leftover.experiment, node, group, again=True):
                    return
            if entries:
                _log.info("MLflow %s: wrote %d entries a dead process left", self._place, len(entries))
            leftover.remove()


def _apply(runs: Runs, node: str, group: list[Entry], *, again: bool) -> None:
    """Write the entries of one run, all that follow one another together.

    Args:
        runs: The runs of its experiment.
        node: The run.
        group: Its entries in order.
        again: Whether some of this may be in MLflow already, whatever the entries believe.
    """
    for entry in group:
        match entry["what"]:
            case "metrics":
                step, time_ms = entry["step"], entry["time_ms"]
                points = [(key, float(value), step, time_ms) for key, value in entry["values"].items()]
                runs.write(node, points, {})
            case "tags":
                runs.write(node, (), entry["tags"])
            case "open":
                new = entry.get("new", False) and not again
                runs.open(node, RunDescription(**entry["run"]), attempt=entry["attempt"], new=new)
            case "artifact":
                runs.artifact(node, entry["name"], base64.b64decode(entry["data"]))
            case "end":
                runs.end(node, entry["attempt"], State(entry["state"]), entry["reason"], entry["time_ms"])
    runs.flush(node)


def _by_run(entries: Iterable[Entry]) -> list[tuple[str, list[Entry]]]:
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry["node"], []).append(entry)
    return list(groups.items())


def _endings(entries: list[Entry]) -> list[Entry]:
    """Return an end for every run the dead process had opened and not ended."""
    last: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if entry["what"] in {"open", "end"}:
            last[entry["node"]] = entry
    now_ms = int(time.time() * 1000)
    return [
        {
            "what": "end",
            "node": node,
            "attempt": entry["attempt"],
            "state": str(State.KILLED),
            "reason": _DEATH_REASON,
            "time_ms": now_ms,
        }
        for node, entry in last.items()
        if entry["what"] == "open"
    ]


def _hopeless(error: Exception, faults: int, waited_s: float) -> bool:
    """Whether a store that answers will never take the entry that caused ``error``."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, NotFoundError):
        return waited_s > _PARENT_WAIT_S
    if isinstance(error, KeyError | TypeError | ValueError):
        return True  # a leftover of another version, or damaged
    if not isinstance(error, MlflowException):
        return faults >= _TRIES
    if is_passing(error):
        return waited_s > _PATIENCE_S
    return error.error_code != "INTERNAL_ERROR" or faults >= _TRIES
