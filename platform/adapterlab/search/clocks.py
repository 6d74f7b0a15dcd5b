"""When the trials of studies were open, by the clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from optuna.trial import FrozenTrial, TrialState

from adapterlab.search.spans import joined_spans
from adapterlab.search.storage import close_storage, open_storage, readable_errors
from adapterlab.search.trials import RESUMED, WORKER


def trial_spans(storage_url: str, studies: Mapping[str, int]) -> dict[str, list[tuple[float, float]]]:
    """Return begin and end of every ended trial, in seconds since 1970, by study.

    A trial that was interrupted and trained again was open from then on: what was lost is not counted.

    Args:
        storage_url: Database of the studies.
        studies: How many trials of each study count, by its name there: a search with a greater budget goes on in
            the same study. A study that is not there is left out.

    Raises:
        UnavailableError: The storage cannot be reached or was never initialised.
    """
    storage = open_storage(storage_url)
    found: dict[str, list[tuple[float, float]]] = {}
    try:
        with readable_errors(storage_url):
            for name, count in studies.items():
                try:
                    number = storage.get_study_id_from_name(name)
                except KeyError:
                    continue
                found[name] = [
                    span
                    for trial in storage.get_all_trials(number, deepcopy=False)
                    if trial.number < count and trial.datetime_complete and (span := _span(trial, 0.0))
                ]
    finally:
        close_storage(storage)
    return found


def begun_within(trials: Sequence[FrozenTrial], limit_s: float, now: float) -> tuple[int, float]:
    """Return how many of a study's first trials began while its clock was below a limit, and what the clock says.

    The clock runs while a trial is open, once however many are; the first trial always counts.

    Args:
        trials: Of one study, by number.
        limit_s: Seconds, > 0.
        now: Seconds since 1970, until which trials that have not ended are open.

    Returns:
        A number up to that of the trials, and seconds, at least ``limit_s`` where the time is up.
    """
    counted, up = 0.0, None
    for begin, end in joined_spans(span for trial in trials if (span := _span(trial, now))):
        if up is None and counted + end - begin >= limit_s:
            up = begin + limit_s - counted
        counted += end - begin
    if up is None:
        return len(trials), counted
    for place, trial in enumerate(trials):
        if place and trial.datetime_start is not None and trial.datetime_start.timestamp() >= up:
            return place, counted
    return len(trials), counted


def _span(trial: FrozenTrial, now: float) -> tuple[float, float] | None:
    """Return when a trial was open, in seconds since 1970; ``None`` for one that waits to be trained."""
    lost = trial.state is TrialState.RUNNING and trial.user_attrs.get(WORKER) is None
    if trial.datetime_start is None or lost:
        return None
    begin = float(trial.user_attrs.get(RESUMED) or trial.datetime_start.timestamp())
    end = now if trial.datetime_complete is None else trial.datetime_complete.timestamp()
    return begin, max(begin, end)
