"""Trials as plain values, read from the storage without opening a study for search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from adapterlab.errors import NotFoundError
from adapterlab.records import State
from adapterlab.search.samplers import by_dimension
from adapterlab.search.storage import (
    close_storage,
    display_url,
    find_study,
    open_storage,
    readable_errors,
    study_lock,
)
from adapterlab.spec.search_space import Setting

WORKER = "worker"
"""Trial attribute: who trains it; ``None`` when it waits to be taken over."""
REASON = "reason"
"""Trial attribute: why it failed."""
COMPUTING = "computing_s"
"""Trial attribute: seconds its training took, those of a pass divided by the lanes that shared it."""
RUN_VALUES = "run_values"
"""Trial attribute: the objective of each of its runs, in their order, where there are several and all are complete."""
TRAINED_ROWS = "trained_rows"
"""Trial attribute: rows that its runs trained on, where there are several."""
RESUMED = "resumed_at"
"""Trial attribute: when a worker took it over from one that died, in seconds since 1970."""
_OWN = {WORKER, REASON, COMPUTING, RESUMED}

STATES: Mapping[TrialState, State] = {
    TrialState.WAITING: State.PENDING,
    TrialState.RUNNING: State.RUNNING,
    TrialState.COMPLETE: State.COMPLETE,
    TrialState.PRUNED: State.PRUNED,
    TrialState.FAIL: State.FAILED,
}
"""Optuna's states in our words."""


@dataclass(frozen=True)
class TrialRecord:
    """What is stored of one trial."""

    number: int
    """0 for the first."""
    state: State
    settings: Mapping[str, Setting]
    """Every dimension, fixed ones included; where the combiner is one, those of the chosen one."""
    value: float | None
    """The objective; ``None`` unless complete."""
    intermediate: Mapping[int, float]
    """The objective after each epoch, by epoch."""
    reason: str | None
    """Why it failed."""
    worker: str | None
    """Who trains or trained it."""
    attributes: Mapping[str, Any]
    """Whatever else was noted."""
    seconds: float | None
    """Computing of its training; ``None`` while it runs, and in studies that did not note it."""


def read_trials(storage_url: str, name: str) -> list[TrialRecord]:
    """Return the trials of a study, without opening it for search.

    Args:
        storage_url: Database of the studies.
        name: The study's name, or the key of its search.

    Raises:
        NotFoundError: There is no such study.
        UnavailableError: The storage cannot be reached or was never initialised.
    """
    storage = open_storage(storage_url)
    try:
        with readable_errors(storage_url):
            found = find_study(storage, name)
            if found is None:
                raise NotFoundError(f"{display_url(storage_url)}: no study {name!r}")
            return [record_of(trial) for trial in storage.get_all_trials(found[0], deepcopy=False)]
    finally:
        close_storage(storage)


def free_trials(storage_url: str, key: str, locks: Path | None = None) -> None:
    """Let whoever asks next continue a study's running trials; for who has the search to himself.

    Args:
        storage_url: Database of the studies.
        key: That of the search; nothing happens where there is no study of it yet.
        locks: Folder of lock files; absent: beside the SQLite file.

    Raises:
        UnavailableError: The storage cannot be reached or was never initialised.
    """
    storage = open_storage(storage_url)
    try:
        # Under the lock, so that a trial which another process begins just now is there to be freed, or never begins.
        with readable_errors(storage_url), study_lock(storage_url, key, locks):
            found = find_study(storage, key)
            if found is None:
                return
            for trial in storage.get_all_trials(found[0], deepcopy=False, states=(TrialState.RUNNING,)):
                storage.set_trial_user_attr(trial._trial_id, WORKER, None)
    finally:
        close_storage(storage)


def record_of(trial: FrozenTrial) -> TrialRecord:
    """Return an Optuna trial as a plain value; a partial value is no value."""
    complete = trial.state is TrialState.COMPLETE
    failed = trial.state is TrialState.FAIL
    return TrialRecord(
        number=trial.number,
        state=STATES[trial.state],
        settings=by_dimension(trial.params),
        value=trial.value if complete else None,
        intermediate=dict(sorted(trial.intermediate_values.items())),
        reason=trial.user_attrs.get(REASON) if failed else None,
        worker=trial.user_attrs.get(WORKER),
        attributes={key: value for key, value in trial.user_attrs.items() if key not in _OWN},
        seconds=trial.user_attrs.get(COMPUTING),
    )
